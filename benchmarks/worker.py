"""One side of a comparison, in a process of its own: it loads, prepares, and runs a step whenever it is told to.

Standard library alone, so that a side can live in another environment. JSON lines on stdin and stdout::

    <- {"ready": true}                        or {"unavailable": "why"}
    -> {"times": 1}                           run the step so often
    <- {"cpu": s, "wall": s, "peak_mb": MB}   seconds a step; peak resident size over the size after the imports
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
Step = Callable[[], object]


class Unavailable(Exception):
    """This side cannot run here, and its text says why."""


def is_worker() -> bool:
    """Whether this process was started as a side of a comparison."""
    return sys.argv[1:2] == ["--worker"]


def serve(load: Callable[[Settings], object], prepare: Callable[[Settings], Step]) -> None:
    """Answer the harness until it hangs up. ``load`` imports what the side needs, ``prepare`` builds it and gives the step."""
    wire = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(**content: Any) -> None:
        wire.write(json.dumps(content) + "\n")

    settings: Settings = json.loads(sys.argv[2])
    try:
        load(settings)
        before = resident_mb()[0]
        step = prepare(settings)
    except Unavailable as error:
        answer(unavailable=str(error))
        return
    answer(ready=True)
    for line in sys.stdin:
        times = json.loads(line)["times"]
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        answer(cpu=cpu / times, wall=wall / times, peak_mb=resident_mb()[1] - before)


def resident_mb() -> tuple[float, float]:
    """Resident size of this process now, and the largest so far, in MB (2**20 bytes)."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: on Linux a new process starts with its parent's.
        kib = {line.split(":")[0]: line.split()[1] for line in status.read_text().splitlines() if line.startswith("Vm")}
        return int(kib["VmRSS"]) / 1024, int(kib["VmHWM"]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return peak, peak
