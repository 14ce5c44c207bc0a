"""Who performs the jobs of a study: this process, or a spawned process for each job, some side by side. Torch-free."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from attrs import frozen

from nastk.core.ablation.plan import Job

TRIES = 3
"""Beginnings of a job whose process is killed; each goes on where the one before was."""
TAIL = 1000
"""Characters of a killed process's output that go into the reason."""


@frozen
class Ended:
    """A job that is over: ``reason`` says why it failed, and is empty where it did not."""

    key: str
    reason: str
    seconds: float


class Crew(ABC):
    """Performs jobs, ``size`` of them at a time."""

    size: int = 1

    @abstractmethod
    def start(self, job: Job) -> None:
        """Begin a job; called for no more than ``size`` at a time."""

    @abstractmethod
    def ended(self) -> Sequence[Ended]:
        """Wait until at least one job is over."""

    def close(self) -> None:  # noqa: B027  optional
        """End whatever is running; it is gone on with later."""


class Here(Crew):
    """In this process. Ctrl-C and SIGTERM reach the run, which keeps what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._job: Job | None = None

    def start(self, job: Job) -> None:
        self._job = job

    def ended(self) -> Sequence[Ended]:
        from nastk.core.ablation.work import STOPS, Work, perform, reason

        assert self._job is not None
        job, began, why = self._job, time.perf_counter(), ""
        try:
            perform(self.folder, Work.of(job))
        except STOPS:
            raise
        except Exception as error:  # a run must not end the study; the reason is kept
            why = reason(error)
        return [Ended(job.key, why, time.perf_counter() - began)]


class Processes(Crew):
    """A process for each job. One that is killed costs its run some time: it is begun again where it was.

    Each starts anew, so a plug-in has to be installed; one that was offered to this process alone is unknown there.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.threads = max(1, (os.cpu_count() or 1) // size)
        self._running: dict[Connection, tuple[Job, BaseProcess, float]] = {}
        self._tries: dict[str, int] = {}

    def start(self, job: Job) -> None:
        from nastk.core.ablation.work import Work, serve

        context = multiprocessing.get_context("spawn")  # a fork of a process that has imported torch may hang
        pipe, other = context.Pipe(duplex=False)
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = (other, str(self.folder), Work.of(job), self.threads, str(log))
        process = context.Process(target=serve, args=arguments, daemon=False)
        process.start()
        other.close()
        self._tries[job.key] = self._tries.get(job.key, 0) + 1
        self._running[pipe] = (job, process, time.perf_counter())

    def ended(self) -> Sequence[Ended]:
        found: list[Ended] = []
        while not found:
            for pipe in wait(list(self._running)):
                assert isinstance(pipe, Connection)
                job, process, began = self._running.pop(pipe)
                try:
                    why = str(pipe.recv())
                except (EOFError, OSError):
                    process.join()
                    if self._tries[job.key] < TRIES:
                        self.start(job)
                        continue
                    why = f"its process {_end(process.exitcode or 0)} {TRIES} times{self._tail(job)}"
                process.join()
                pipe.close()
                self._log(job).unlink(missing_ok=True)
                found.append(Ended(job.key, why, time.perf_counter() - began))
        return found

    def close(self) -> None:
        for pipe, (_, process, _) in self._running.items():
            process.kill()
            process.join()
            pipe.close()
        self._running.clear()

    def _log(self, job: Job) -> Path:
        return self.folder / f"{job.key}.log"

    def _tail(self, job: Job) -> str:
        text = self._log(job).read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
        return f": {text}" if text else ""


def _end(code: int) -> str:
    """How a process ended, in words."""
    try:
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    except ValueError:
        return f"was killed by signal {-code}"
