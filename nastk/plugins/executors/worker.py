"""A process that runs trials one after the other, and the driver's end of it.

Each worker has a pipe of its own: one that is killed, in whatever moment, can hold nothing that others wait for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing.connection import Connection, wait
from pathlib import Path

from attrs import evolve, frozen

from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import unpacked

READY = "ready"
TAIL = 2000
"""Characters of a worker's output that go into the report of a trial that it did not finish."""
MIB = 2**20


@frozen
class Limits:
    """What a worker may use."""

    threads: int
    memory: int
    """MiB of private memory above what it holds when it is ready; 0: any amount."""
    device: str
    """Value of CUDA_VISIBLE_DEVICES; empty: as in the driver."""


def serve(pipe: Connection, work: bytes, limits: Limits, log: str) -> None:
    """The worker's life: get ready, then a report for each proposal, until the pipe or the driver ends."""
    _follow_the_driver()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    if limits.device:
        os.environ["CUDA_VISIBLE_DEVICES"] = limits.device
    import torch

    torch.set_num_threads(limits.threads)
    call = unpacked(work)
    if limits.memory:
        _limit(limits.memory)
    pipe.send(READY)
    while True:
        try:
            proposal: Proposal = pipe.recv()
        except EOFError:
            return
        try:
            report = call(proposal)
        except Exception as error:  # a candidate must not end the worker; the reason is kept in its report
            traceback.print_exc()
            report = Report(proposal, failure=f"{type(error).__name__}: {error}")
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send(report)


def _follow_the_driver() -> None:
    """End with the driver, even when it is killed: nobody reads what an orphan finds."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit(memory: int) -> None:
    import resource

    status = Path("/proc/self/status").read_text().split()
    held = 1024 * int(status[status.index("VmData:") + 1])
    resource.setrlimit(resource.RLIMIT_DATA, (held + memory * MIB, resource.RLIM_INFINITY))


class Worker:
    """The driver's end: one process, at most one trial in it."""

    def __init__(self, work: bytes, limits: Limits) -> None:
        context = multiprocessing.get_context("spawn")
        handle, self.log = tempfile.mkstemp(prefix="nastk-worker-", suffix=".log")
        os.close(handle)
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, work, limits, self.log), daemon=True)
        self.process.start()
        other.close()
        self.ready = False
        self.trial: int | None = None
        self.began = 0.0

    def give(self, number: int, proposal: Proposal) -> None:
        """Start a trial. A worker that has died meanwhile is found out by :meth:`ended`."""
        self.trial, self.began = number, time.monotonic()
        try:
            self.pipe.send(proposal)
        except OSError:
            self.process.join()

    def received(self) -> Report | None:
        """What it has sent: its first word (``None``), or the report of its trial. Raises :class:`EOFError` when it died."""
        try:
            message = self.pipe.recv()
        except OSError as error:
            raise EOFError from error
        if message == READY:
            self.ready = True
            return None
        report: Report = message
        return report

    def ended(self) -> str:
        """Why it is no more, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            try:
                return f"the worker was killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"the worker was killed by signal {-code}"
        return f"the worker exited with code {code}"

    def tail(self) -> str:
        """The end of what it wrote to standard output and error."""
        try:
            text = Path(self.log).read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
        except OSError:
            return ""
        return f"\n{text}" if text else ""

    def close(self) -> None:
        """End it at once, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()
        Path(self.log).unlink(missing_ok=True)


def with_causes(report: Report, causes: list[str]) -> Report:
    """A report that says why its trial had to be tried again."""
    return evolve(report, figures={**report.figures, "retried": causes}) if causes else report
