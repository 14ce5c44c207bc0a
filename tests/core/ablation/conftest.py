"""Small studies, whole and killed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

TINY: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 96, "test_images": 32},
    "model": {"channels": 2, "cells": 1, "time_steps": 1},
    "proxy": {"channels": 0, "cells": 0},
    "strategy": {"name": "darts", "epochs": 1, "warmup": 0, "batch": 16, "alpha_lr": 0.3},
    "train": {"epochs": 1, "batch": 16},
    "device": "cpu",
    "seeds": [0, 1],
    "random_search": False,
    "vary": {"model.attention": ["none", "eca"]},
}
"""A study of four runs of about a second."""
TABLES = ("table.md", "table.tex", "table.csv")


@pytest.fixture
def tiny() -> Callable[..., dict[str, Any]]:
    """A small study with other entries; ``None`` takes one out."""

    def made(**entries: Any) -> dict[str, Any]:
        document = copy.deepcopy(TINY) | entries
        return {name: value for name, value in document.items() if value is not None}

    return made


@pytest.fixture
def table() -> Callable[[Path], dict[str, str]]:
    """The tables of a study's directory, without its name."""
    return lambda path: {name: (path / name).read_text().replace(f"Study {path.name}\n", "") for name in TABLES}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
