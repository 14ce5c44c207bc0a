"""DARTS's known failure, planted: few noisy images, where a skip wins because it has nothing to learn. And the guards."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from nastk.core.run.run import Run
from nastk.core.run.runfile import configure

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "collapse.py"
SEED = 0


@pytest.fixture(scope="module")
def collapse() -> Iterator[ModuleType]:
    """The script of the documented table, on one thread."""
    spec = importlib.util.spec_from_file_location("collapse", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unguarded(collapse: ModuleType) -> Any:
    return collapse.searched({}, SEED)


@pytest.mark.slow
def test_plain_darts_collapses_and_says_so_once(unguarded: Any) -> None:
    assert unguarded.skips >= 2
    told = [text for text in unguarded.notices if "turning into skips" in text]
    assert len(told) == 1
    assert "guards: strategy.guard" in told[0]


@pytest.mark.slow
def test_a_cap_and_an_early_stop_act(collapse: ModuleType, unguarded: Any) -> None:
    capped = collapse.searched({"guard": {"max_skips": 1}}, SEED)
    assert capped.skips <= 1 < unguarded.skips
    stopped = collapse.searched({"guard": {"stop_skips": 1}}, SEED)
    assert stopped.epochs < unguarded.epochs
    assert any("collapses to" in text for text in stopped.notices)


@pytest.mark.slow
def test_the_collapsed_cell_is_worse_where_there_are_images_enough(collapse: ModuleType) -> None:
    """What makes it a failure: the space has a better cell, that a search on enough images finds."""
    space = Run(configure(collapse.PLANTED)).space
    fixed = [0] * (len(space.decisions) - 3)
    skips, convolutions = (space.decode([option] * 3 + fixed) for option in (0, 1))
    assert {edge.op for edge in skips.cell("shared").edges} == {"skip_connect"}
    assert {edge.op for edge in convolutions.cell("shared").edges} == {"conv_3x3"}
    assert collapse.trained(convolutions, SEED) > collapse.trained(skips, SEED) + 0.2
