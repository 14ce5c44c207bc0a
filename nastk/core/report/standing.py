"""How far a run or a study is, read while somebody else writes it. Torch-free, so that looking costs little."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nastk.core.errors import OutputError
from nastk.core.report.amounts import number_at, table_at, text_at
from nastk.core.report.documents import Job, TrialRow, jobs_of, json_of, toml_of, trials_of
from nastk.core.report.timeline import Stage, Timeline, timeline
from nastk.core.run.lock import holder
from nastk.core.run.metrics import FILE as METRICS
from nastk.core.run.metrics import read

MANIFEST, RESULT, STUDY, TRIALS = "manifest.toml", "result.json", "study.toml", "trials.sqlite"
SHOWN = ("strategy", "space", "dataset", "benchmark")


@frozen
class RunStanding:
    """A run at one moment."""

    path: Path
    state: str
    """``done``, ``running`` or ``interrupted``."""
    holder: str
    """Who is writing, where it is running."""
    about: str
    """Strategy, space, data and seed, in words."""
    timeline: Timeline = field(repr=False)
    trials: int
    best: float | None
    """The best validation accuracy of a trial, a share."""
    accuracy: float | None
    """On the test data, once they were opened."""
    now: float
    """When it was looked at, seconds since 1970."""

    @property
    def over(self) -> bool:
        """Whether nobody goes on with it."""
        return self.state != "running"

    @property
    def stage(self) -> Stage | None:
        """What was begun last."""
        return self.timeline.stages[-1] if self.timeline.stages else None


@frozen
class StudyStanding:
    """A study at one moment."""

    path: Path
    state: str
    holder: str
    jobs: tuple[Job, ...] = field(repr=False)
    running: tuple[tuple[str, Stage | None], ...] = field(repr=False)
    """The jobs under way: name, and the stage that each is in."""
    now: float

    @property
    def over(self) -> bool:
        """Whether nobody goes on with it."""
        return self.state != "running"

    def count(self, state: str) -> int:
        """How many jobs are ``done``, ``running``, ``waiting`` or ``failed``."""
        return sum(job.state == state for job in self.jobs)

    @property
    def left(self) -> float | None:
        """Seconds to the end if the jobs to come take what those that are done took, side by side as now."""
        done = [job.seconds for job in self.jobs if job.state == "done"]
        to_do = self.count("waiting") + self.count("running")
        if not to_do:
            return 0.0
        return sum(done) / len(done) * to_do / max(1, self.count("running")) if done else None


Standing = RunStanding | StudyStanding


class Watch:
    """Looks at one directory again and again; a file that has not changed since is not read again.

    Raises :class:`OutputError` where there is neither a run nor a study.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[Path, tuple[tuple[tuple[int, int], ...], Any]] = {}
        if not (path / MANIFEST).is_file() and not (path / STUDY).is_file():
            why = f"it has no {MANIFEST} and no {STUDY}" if path.is_dir() else "there is no such directory"
            raise OutputError(f"{path} is neither a run nor a study: {why}.")

    def look(self) -> Standing:
        """How far it is now. Raises :class:`OutputError` for a file that is damaged, not for one that is being written."""
        return self._study() if (self.path / STUDY).is_file() else self._run()

    def _run(self) -> RunStanding:
        owner = holder(self.path)  # asked first: what was written before it let go is seen below
        result = json_of(self.path / RESULT)
        state = "running" if owner else "done" if result.get("status") == "done" else "interrupted"
        found = self._trials()
        worth = [v for trial in found if trial.failure is None and (v := number_at(trial.figures, "accuracy")) is not None]
        names = result or table_at(toml_of(self.path / MANIFEST), "config")
        about = " ".join(word for name in SHOWN if (word := text_at(names, name)))
        seed = number_at(names, "seed")
        return RunStanding(
            path=self.path,
            state=state,
            holder=owner,
            about=about + ("" if seed is None else f", seed {seed:.0f}"),
            timeline=self._timeline(self.path),
            trials=len(found),
            best=max(worth, default=None),
            accuracy=number_at(result, "test", "accuracy"),
            now=time.time(),
        )

    def _study(self) -> StudyStanding:
        owner = holder(self.path)
        jobs = jobs_of(self.path)
        running = tuple((_name(job), self._stage(self.path / job.key)) for job in jobs if job.state == "running") if owner else ()
        finished = bool(jobs) and all(job.state in ("done", "failed") for job in jobs)
        state = "running" if owner else "done" if finished else "interrupted"
        return StudyStanding(self.path, state, owner, jobs, running, time.time())

    def _stage(self, folder: Path) -> Stage | None:
        stages = self._timeline(folder).stages
        return stages[-1] if stages else None

    def _timeline(self, folder: Path) -> Timeline:
        path = folder / METRICS
        return self._fresh(path, [path], lambda: timeline(read(path))) or Timeline()

    def _trials(self) -> Sequence[TrialRow]:
        path = self.path / TRIALS
        beside = path.with_name(f"{TRIALS}-wal")
        found: Sequence[TrialRow] = self._fresh(path, [path, beside], lambda: trials_of(self.path)[0]) or ()
        return found

    def _fresh(self, name: Path, files: Sequence[Path], make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made anew when one of the files has changed; ``None`` where none of them is there."""
        stamps = tuple(stamp for path in files if (stamp := _stamp(path)) is not None)
        if not stamps:
            return None
        if name not in self._kept or self._kept[name][0] != stamps:
            self._kept[name] = (stamps, make())
        return self._kept[name][1]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _name(job: Job) -> str:
    return f"{job.cell or 'a shared search'}, seed {job.seed}"
