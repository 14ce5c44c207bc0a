"""The loop of a study: what is done stays done, what is half done is gone on with, what fails is kept with its reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from nastk.core.ablation.ledger import Ledger
from nastk.core.ablation.plan import Job, Plan
from nastk.core.ablation.work import MANIFEST, finished
from nastk.core.ablation.workers import Crew, Here, Processes
from nastk.core.errors import OutputError
from nastk.core.words import toml


@frozen
class Standing:
    """How far a study is; searches that several cells share count too."""

    total: int
    done: int
    """Found done at the start, too."""
    failed: int
    running: tuple[str, ...]
    """Labels of the cells, each with its seed."""
    seconds: float
    """What a job took here, the mean; 0 while none has ended."""
    workers: int
    last: str = ""
    """What has just ended, in words."""

    @property
    def left(self) -> float | None:
        """Seconds to the end at the mean pace so far; ``None`` while nobody can know."""
        return None if not self.seconds else self.seconds * (self.total - self.done - self.failed) / self.workers


Progress = Callable[[Standing], None]


def unheard(standing: Standing) -> None:
    """For who has nobody to tell."""
    del standing


def carry_out(plan: Plan, folder: Path, ledger: Ledger, workers: int, progress: Progress, retry: bool = False) -> None:
    """Do every job that is not done and has not failed; with ``retry`` those that have failed are gone on with, too.

    Raises :class:`NastkError` when the study is stopped.
    """
    crew: Crew = Here(folder) if workers == 1 else Processes(folder, workers)
    try:
        _Loop(plan, folder, ledger, crew, progress, retry).run()
    finally:
        crew.close()


class _Loop:
    def __init__(self, plan: Plan, folder: Path, ledger: Ledger, crew: Crew, progress: Progress, retry: bool) -> None:
        self.jobs = {job.key: job for job in plan.jobs}
        self.folder, self.ledger, self.crew, self.progress = folder, ledger, crew, progress
        self.names = _names(plan)
        self.took: list[float] = []
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        self.running: dict[str, Job] = {}
        ledger.plan(
            [(c.digest, c.label, c.role, toml(c.values)) for c in plan.cells],
            [(job.key, job.cell, job.config.seed, job.kind) for job in plan.jobs],
        )
        self._remember(retry)

    def run(self) -> None:
        self._tell()
        while waiting := [job for key, job in self.jobs.items() if key not in {*self.done, *self.failed, *self.running}]:
            self._start(waiting)
            if self.running:
                self._listen()
        while self.running:
            self._listen()

    def _remember(self, retry: bool) -> None:
        """What was done before: the runs themselves say so. A failure stays while the run's directory does, or until a retry."""
        known = {entry.key: entry for entry in self.ledger.entries()}
        for key, job in self.jobs.items():
            try:
                numbers = finished(self.folder, job)
            except OutputError as error:
                self._fail(key, str(error))
                continue
            if numbers is not None:
                self._keep(key, numbers)
            elif not retry and known[key].state == "failed" and (self.folder / key / MANIFEST).is_file():
                self.failed[key] = known[key].reason
            else:
                self.ledger.set(key, "waiting")

    def _start(self, waiting: Sequence[Job]) -> None:
        for job in waiting:
            if lost := next((key for key in job.after if key in self.failed), None):
                self._fail(job.key, f"it needs {self.names[lost]}, which failed: {self.failed[lost]}")
            elif len(self.running) < self.crew.size and self.done.issuperset(job.after):
                self.ledger.set(job.key, "running")
                self.running[job.key] = job
                self.crew.start(job)
        self._tell()

    def _listen(self) -> None:
        for ended in self.crew.ended():
            job = self.running.pop(ended.key)
            if ended.reason:
                self._fail(ended.key, ended.reason, ended.seconds)
            else:
                self.took.append(ended.seconds)
                self._keep(ended.key, finished(self.folder, job) or {}, ended.seconds)
            self._tell(f"{self.names[ended.key]}: {ended.reason or 'done'}")

    def _keep(self, key: str, numbers: Mapping[str, float], seconds: float = 0.0) -> None:
        self.ledger.keep(key, numbers)
        self.ledger.set(key, "done", seconds=seconds)
        self.done.add(key)

    def _fail(self, key: str, reason: str, seconds: float = 0.0) -> None:
        self.ledger.set(key, "failed", reason, seconds)
        self.failed[key] = reason

    def _tell(self, last: str = "") -> None:
        mean = sum(self.took) / len(self.took) if self.took else 0.0
        running = tuple(self.names[key] for key in self.running)
        size = min(self.crew.size, os.cpu_count() or 1)
        self.progress(Standing(len(self.jobs), len(self.done), len(self.failed), running, mean, size, last))


def _names(plan: Plan) -> dict[str, str]:
    labels = {cell.digest: cell.label for cell in plan.cells}
    return {job.key: f"{labels.get(job.cell, 'search')}, seed {job.config.seed}" for job in plan.jobs}
