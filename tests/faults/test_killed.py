"""A process that ends at any moment: the run goes on, and ends to the bit as if nothing had been."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

import nastk
from nastk.core.run.within import WithinStage
from tests.faults.conftest import Killed, Uninterrupted, end, kill, moments, same, settings, whole


def survives(uninterrupted: Uninterrupted, kills: list[int], minutes: float) -> None:
    """Kill a run again and again, then let it end."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        source: dict[str, Any] = {"config": settings(uninterrupted.strategy, minutes), "out": directory}
        for kill in [*kills, None]:
            with moments(kill):
                try:
                    nastk.run(**source)
                except Killed:
                    if (directory / "manifest.toml").is_file():
                        source = {"resume": directory}
                    continue
            break
        whole(directory)
        same(uninterrupted.end, end(directory))


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_killed_once(uninterrupted: Uninterrupted, share: float) -> None:
    """Within the search, at its end, within the training."""
    survives(uninterrupted, [max(1, int(share * uninterrupted.moments))], minutes=1e-9)


def test_killed_and_killed_again_with_rare_checkpoints(uninterrupted: Uninterrupted) -> None:
    count = uninterrupted.rare
    survives(uninterrupted, [count // 5, count // 3, count // 4], minutes=5.0)


@pytest.mark.slow
@given(strategies.data())
@hypothesis_settings(deadline=None, max_examples=40)
def test_killed_anywhere(uninterrupted: Uninterrupted, data: strategies.DataObject) -> None:
    """Forty times for each strategy, up to three kills each."""
    kills = data.draw(strategies.lists(strategies.integers(1, uninterrupted.rare), min_size=1, max_size=3))
    survives(uninterrupted, kills, data.draw(strategies.sampled_from([1e-9, 0.001, 5.0])))


def test_moments_are_spread_over_the_run(uninterrupted: Uninterrupted) -> None:
    """The shares above mean something: there are many moments."""
    assert uninterrupted.rare > 40


def test_killed_between_a_checkpoint_and_the_clearing_up_behind_it(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """What was kept within the last step of a stage does not stay when the next process has nothing left to do in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WithinStage, "done", lambda self: kill() if self.store.load("search") else None)
        with pytest.raises(Killed):
            nastk.run(settings(uninterrupted.strategy), out=tmp_path / "run")
    nastk.run(resume=tmp_path / "run")
    whole(tmp_path / "run")
    same(uninterrupted.end, end(tmp_path / "run"))
