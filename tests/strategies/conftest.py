"""Runs of the search that take a fraction of a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nastk.core.document import overlay
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory

TINY: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 32},
    "model": {"neuron": "relu", "time_steps": 1, "channels": 2, "cells": 1, "attention": "none"},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 16},
    "device": "cpu",
}

Prepare = Callable[..., Run]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """A run of a strategy at tiny size, bound to a fresh directory: ``prepare("darts", model={...}, epochs=3)``."""
    numbers = itertools.count()

    def prepared(
        strategy: str, *, seed: int = 0, into: Path | None = None, tables: dict[str, Any] | None = None, **settings: Any
    ) -> Run:
        document = overlay(overlay(TINY, {"strategy": {"name": strategy, **settings}, "seed": seed}), tables or {})
        found = Run(configure(document))
        found.store = RunDirectory(into or tmp_path / f"run{next(numbers)}")
        return found

    return prepared
