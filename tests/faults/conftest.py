"""Short whole runs, and ways to end them in the middle."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import define, frozen

import nastk
from nastk.core.events import Event, Progress
from nastk.core.run import trial_log
from nastk.core.run.compare import difference
from nastk.core.run.run import Run
from nastk.core.run.store import RunDirectory
from nastk.core.run.trial import Report
from nastk.core.run.trial_log import TrialLog

TINY: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 40},
    "model": {"channels": 2, "cells": 1},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"epochs": 2, "batch": 16, "drop_path": 0.2},
    "device": "cpu",
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "darts": {"name": "darts", "epochs": 2, "warmup": 1, "batch": 16, "alpha_lr": 0.3, "guard": {"skip_dropout": 0.2}},
    "random-search": {"name": "random-search", "trials": 3, "batch": 2, "epochs": 1},
    "random-sampling-with-weight-sharing": {"name": "random-sampling-with-weight-sharing", "epochs": 2, "batch": 16},
}
"""One of each: a supernet by gradients, trials, a supernet by draws and a ranking."""


class Killed(BaseException):
    """The process ends here."""


def kill() -> None:
    """End the process, as far as a test can."""
    raise Killed


@define
class Moments:
    """Counts the moments of a run at which something is half done; at one of them something happens."""

    at: int | None
    happens: Callable[[], None]
    count: int = 0

    def here(self) -> None:
        """One more of them."""
        self.count += 1
        if self.count == self.at:
            self.happens()


@contextmanager
def moments(at: int | None, happens: Callable[[], None] = kill) -> Iterator[Moments]:
    """Around each batch, each file that is written, each trial that is kept: before, half way, after."""
    found = Moments(at, happens)
    write, emit, keep, replace = RunDirectory.write, Run.emit, TrialLog.keep, Path.replace

    def written(self: RunDirectory, name: str, content: str | bytes) -> Path:
        found.here()
        done = write(self, name, content)
        found.here()
        return done

    def replaced(self: Path, target: Any) -> Path:
        found.here()
        return replace(self, target)

    def emitted(self: Run, event: Event) -> None:
        emit(self, event)
        if isinstance(event, Progress):
            found.here()

    def kept(self: TrialLog, number: int, report: Report) -> None:
        found.here()
        keep(self, number, report)
        found.here()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "write", written)
        patch.setattr(Path, "replace", replaced)
        patch.setattr(Run, "emit", emitted)
        patch.setattr(TrialLog, "keep", kept)
        yield found


def settings(strategy: str, minutes: float = 1e-9, **tables: Any) -> dict[str, Any]:
    """A whole run in seconds; checkpoints within every epoch are ``minutes`` apart, by default one a batch."""
    return {**TINY, "strategy": STRATEGIES[strategy], "checkpoint_minutes": minutes, **tables}


def end(directory: Path) -> dict[str, Any]:
    """All that a run found, without what a clock wrote."""
    store = RunDirectory(directory)
    result = store.read_json("result.json")
    for stage in ("search", "train"):
        result[stage].pop("seconds")
    found: dict[str, Any] = {"result": result, "genotype": (directory / "genotype.json").read_text()}
    for stage in ("search", "train"):
        saved = store.load(stage)
        found[stage] = {name: value for name, value in (saved or {}).items() if name != "seconds"}
    log = TrialLog(directory)
    reports = log.read()
    log.close()
    assert None not in reports, "a trial is damaged"
    found["trials"] = [[r.proposal.digest, {k: v for k, v in r.figures.items() if k != "seconds"}] for r in reports if r]
    return found


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Two ends are equal to the bit."""
    assert difference(first, second) == ""


def whole(directory: Path) -> None:
    """No file of a run directory is torn or left over."""
    for path in directory.rglob("*.json"):
        json.loads(path.read_text())
    assert not list(directory.rglob(".*.*")), "a temporary file was left"
    assert not list(directory.glob("checkpoints/within-*")), "a checkpoint within a step was left"
    if (directory / trial_log.FILE).is_file():
        connection = sqlite3.connect(directory / trial_log.FILE)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


@frozen
class Uninterrupted:
    """How a run ends that nobody interrupted, and how many moments it has, with checkpoints every batch and every 5 minutes."""

    strategy: str
    end: dict[str, Any]
    moments: int
    rare: int


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=list(STRATEGIES))
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """A strategy's run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    counts = []
    for name, minutes in (("often", 1e-9), ("rarely", 5.0)):
        with moments(None) as counted:
            nastk.run(settings(request.param, minutes), out=folder / name)
        counts.append(counted.count)
        whole(folder / name)
    same(end(folder / "often"), end(folder / "rarely"))
    return Uninterrupted(request.param, end(folder / "often"), *counts)
