"""Trials side by side in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import wait

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from nastk.core import mark
from nastk.core.errors import ConfigError, NastkError
from nastk.core.run.executor import Executor, Work
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import packed
from nastk.plugins.executors.worker import Limits, Worker, with_causes


@frozen(kw_only=True)
class ProcessesConfig:
    """Settings of ``processes``."""

    workers: int = field(
        default=0, validator=ge(0), metadata={"help": "processes; 0: one a device, or as many as the cores and threads allow"}
    )
    threads: int = field(default=1, validator=ge(1), metadata={"help": "threads of a worker"})
    devices: tuple[str, ...] = field(
        default=(), metadata={"help": "CUDA devices (numbers or UUIDs) that the workers share out; none: all see all"}
    )
    timeout: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"help": "seconds after which a trial is ended and has failed"}
    )
    memory: int = field(
        default=0, validator=ge(0), metadata={"help": "MiB that a trial may take on the host; 0: any amount (Linux only)"}
    )
    retries: int = field(
        default=2, validator=ge(0), metadata={"help": "further tries of a trial whose worker was killed or exited"}
    )


@mark.executor("processes", config=ProcessesConfig)
class Processes(Executor):
    """Trials side by side in spawned processes; a killed, hung or exhausted one costs its trial alone.

    A worker builds data and space anew from the run's configuration, once, and then takes one trial after the other.
    Reports are those of ``inline``; a trial that was tried again has the causes in its figure ``retried``. How many run
    side by side is also how many the strategy proposes in one step (its ``batch``). Workers end with the driver.

    Raises :class:`ConfigError` for a memory limit where the system has none, :class:`NastkError` when workers do not
    get ready.
    """

    isolated = True

    def __init__(self, config: ProcessesConfig) -> None:
        if config.memory and not sys.platform.startswith("linux"):
            raise ConfigError([f"memory: a limit needs Linux, this is {sys.platform}"], "executor processes")
        self.config = config
        self._work = b""
        self._workers: list[Worker] = []
        self._unready = 0

    @property
    def count(self) -> int:
        """Workers that run side by side."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.config.workers or len(self.config.devices) or max(1, cores // self.config.threads)

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        pickled = packed(work)
        if pickled != self._work:
            self.close()
            self._work = pickled
        waiting = deque(range(len(trials)))
        causes: list[list[str]] = [[] for _ in trials]
        done: dict[int, Report] = {}
        try:
            for number in range(len(trials)):
                while number not in done:
                    self._start(trials, waiting)
                    self._listen(trials, waiting, causes, done)
                yield with_causes(done.pop(number), causes[number])
        finally:
            for worker in [w for w in self._workers if w.trial is not None]:
                self._drop(worker)

    def close(self) -> None:
        for worker in list(self._workers):
            self._drop(worker)

    def _start(self, trials: Sequence[Proposal], waiting: deque[int]) -> None:
        """Give every idle worker a trial, and make workers that are missing."""
        busy = sum(worker.trial is not None for worker in self._workers)
        while len(self._workers) < min(self.count, busy + len(waiting)):
            devices = self.config.devices
            device = devices[len(self._workers) % len(devices)] if devices else ""
            self._workers.append(Worker(self._work, Limits(self.config.threads, self.config.memory, device)))
        for worker in self._workers:
            if waiting and worker.ready and worker.trial is None:
                number = waiting.popleft()
                worker.give(number, trials[number])

    def _listen(
        self, trials: Sequence[Proposal], waiting: deque[int], causes: list[list[str]], done: dict[int, Report]
    ) -> None:
        """Wait for the next word of a worker, its end, or the end of a trial's time."""
        limit, now = self.config.timeout, time.monotonic()
        left = [w.began + limit - now for w in self._workers if w.trial is not None] if limit is not None else []
        heard = wait([w.pipe for w in self._workers], max(0.0, min(left)) if left else None)
        for worker in list(self._workers):
            number = worker.trial
            if worker.pipe in heard:
                try:
                    report = worker.received()
                except EOFError:
                    self._died(worker, trials, waiting, causes, done)
                    continue
                if report is None:
                    self._unready = 0
                elif number is not None:
                    done[number], worker.trial = report, None
            elif limit is not None and number is not None and time.monotonic() - worker.began >= limit:
                done[number] = Report(trials[number], failure=f"it took longer than {limit:g} s (timeout){worker.tail()}")
                self._drop(worker)

    def _died(
        self, worker: Worker, trials: Sequence[Proposal], waiting: deque[int], causes: list[list[str]], done: dict[int, Report]
    ) -> None:
        cause, number = worker.ended(), worker.trial
        if not worker.ready:
            self._unready += 1
            if self._unready > self.config.retries:
                raise NastkError(f"Workers of the executor 'processes' do not get ready: {cause}.{worker.tail()}")
        elif number is not None and len(causes[number]) < self.config.retries:
            causes[number].append(cause)
            waiting.appendleft(number)
        elif number is not None:
            done[number] = Report(trials[number], failure=f"{cause}{worker.tail()}")
        self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        self._workers.remove(worker)
        with suppress(OSError):
            worker.close()
