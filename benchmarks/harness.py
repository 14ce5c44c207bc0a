"""Compares sides step by step, A B A B, each in a process of its own, and says when the host was too busy to tell.

A side is a script that calls :func:`worker.serve` when it is started with ``--worker``. All sides of a case are alive at
once and take turns; the others wait for input meanwhile. Figures are medians over the rounds after the warm-up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
BUSY = 1.3
"""A result is invalid when wall time exceeds CPU time over threads by more than this factor."""


@dataclass(frozen=True)
class Side:
    """What is run: a script, its settings, and the Python that runs it."""

    name: str
    script: str
    settings: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable


@dataclass(frozen=True)
class Effort:
    """How often everything is measured. ``times`` steps are one sample: more than one where a step takes milliseconds."""

    rounds: int = 5
    warmups: int = 2
    times: int = 1


@dataclass
class Row:
    """One side of one case. Seconds a step and MB are medians; ratios are the reference over this side, so above 1 is better."""

    case: str
    side: str
    threads: int
    settings: dict[str, Any]
    reference: bool = False
    cpu: float | None = None
    wall: float | None = None
    peak_mb: float | None = None
    others: float | None = None
    """Share of the host's CPU time that other processes took meanwhile."""
    samples: list[dict[str, float]] = field(default_factory=list)
    valid: bool = False
    reason: str = ""
    cpu_ratio: float | None = None
    wall_ratio: float | None = None
    memory_ratio: float | None = None

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def fault(side: Side) -> str:
    """Why a side does not start, or nothing. For a side that only checks something before the others are timed."""
    try:
        Worker(side, 1).close()
    except Failed as error:
        return str(error)
    return ""


def peak_mb(side: Side) -> float:
    """The MB that one step of a side takes. Raises :class:`Failed`."""
    worker = Worker(side, 1)
    try:
        return worker.sample(1)["peak_mb"]
    finally:
        worker.close()


def compare(case: str, sides: Sequence[Side], threads: int, effort: Effort, refused: str = "") -> list[Row]:
    """Measure the sides of a case in turns; the first is the reference of all ratios. ``refused``: why not, if so."""
    rows = [Row(case, side.name, threads, side.settings, reference=i == 0, reason=refused) for i, side in enumerate(sides)]
    if refused:
        return rows
    workers: list[tuple[Row, Worker]] = []
    try:
        for row, side in zip(rows, sides, strict=True):
            try:
                workers.append((row, Worker(side, threads)))
            except Failed as error:
                row.reason = str(error)
        for turn in range(effort.warmups + effort.rounds):
            for row, worker in list(workers):
                try:
                    sample = worker.sample(effort.times)
                except Failed as error:
                    row.reason = str(error)
                    workers.remove((row, worker))
                    worker.close()
                    continue
                if turn >= effort.warmups:
                    row.samples.append(sample)
    finally:
        for _, worker in workers:
            worker.close()
    for row in rows:
        judge(row)
    for row in rows[1:]:
        relate(row, rows[0])
    return rows


def judge(row: Row) -> None:
    """Medians of a row, and whether they can be believed."""
    if row.reason or not row.samples:
        row.reason = row.reason or "nothing was measured"
        return
    row.cpu, row.wall, row.others = (median(s[name] for s in row.samples) for name in ("cpu", "wall", "others"))
    row.peak_mb = max(s["peak_mb"] for s in row.samples)
    row.valid = row.wall <= BUSY * row.cpu / row.threads
    if not row.valid:
        excess = row.wall * row.threads / row.cpu
        row.reason = f"invalid: wall is {excess:.2f} x CPU / threads; other processes took {100 * row.others:.0f} % of the host"


def relate(row: Row, reference: Row) -> None:
    """Ratios of a row, where both sides are valid."""
    if not (row.valid and reference.valid):
        return
    row.cpu_ratio = _over(reference.cpu, row.cpu)
    row.wall_ratio = _over(reference.wall, row.wall)
    row.memory_ratio = _over(reference.peak_mb, row.peak_mb)


def _over(reference: float | None, mine: float | None) -> float | None:
    return reference / mine if reference and mine else None


class Failed(Exception):
    """A side could not start or broke off; the text says why."""


class Worker:
    """A running side."""

    def __init__(self, side: Side, threads: int) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        settings = json.dumps({**side.settings, "threads": threads})
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the worker
        self.process = subprocess.Popen(
            [side.python, str(HERE / side.script), "--worker", settings],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            bufsize=1,
        )
        try:
            found = self._answer()
            if "unavailable" in found:
                raise Failed(f"not available: {found['unavailable']}")
        except BaseException:
            self.close()
            raise

    def sample(self, times: int) -> dict[str, float]:
        """CPU and wall seconds a step, peak memory, and the share of the host that others took meanwhile."""
        assert self.process.stdin is not None
        before = host_seconds()
        with suppress(BrokenPipeError):  # the answer will say why
            self.process.stdin.write(json.dumps({"times": times}) + "\n")
        found = self._answer()
        busy = host_seconds() - before - found["cpu"] * times
        found["others"] = max(0.0, busy) / (found["wall"] * times * (os.cpu_count() or 1))
        return found

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.process.wait()
        self.log.seek(0)
        last = [text for text in self.log.read().splitlines() if text.strip()][-1:]
        killed = "ended by a signal (out of memory?)" if code < 0 else f"ended with code {code}"
        raise Failed(f"{killed}: {' '.join(last)}" if last else killed)

    def close(self) -> None:
        """End the process; its input is closed, and it is killed if that does not help."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def host_seconds() -> float:
    """CPU seconds that all processes of this host (and its hypervisor, stealing) have taken; 0 where that is not known."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def free_mb() -> float:
    """Memory that is free for new processes, in MB; infinite where that is not known."""
    info = Path("/proc/meminfo")
    if not info.is_file():
        return float("inf")
    return next(int(line.split()[1]) / 1024 for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
