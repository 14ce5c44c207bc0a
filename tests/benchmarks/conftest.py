"""The benchmark scripts are no package: they are found as they are when one of them runs, by their folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

SCRIPTS = str(Path(__file__).parents[2] / "benchmarks")
if SCRIPTS not in sys.path:
    sys.path.append(SCRIPTS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
