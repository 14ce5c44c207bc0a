"""What ``nastk run --dry-run`` says of a run against the run itself: time and memory of whole runs on the bundled digits.

One thread, and all clocks are the CPU time of the process, so a busy host matters less; each run and each estimate has a
process of its own. Memory is the largest resident size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import harness
import report
from harness import Row

RUNS: dict[str, tuple[str, ...]] = {
    "ma-darts, the defaults": (),
    "darts of second order, 4 epochs of each stage": (
        "strategy=darts",
        "strategy.order=2",
        "strategy.epochs=4",
        "train.epochs=4",
    ),
    "random-search": ("strategy=random-search",),
}


def side(what: str, sets: list[str]) -> dict[str, Any]:
    """The estimate of a run, or a run, in this process."""
    time.perf_counter = time.time = time.process_time  # type: ignore[assignment]
    import torch

    torch.set_num_threads(1)
    from nastk.core.run.estimate import measure, peak
    from nastk.core.run.run import run
    from nastk.core.run.runfile import configure

    config = configure(sets=[*sets, "device=cpu"])
    if what == "estimate":
        found = measure(config, 0.0)
        stages = {stage.stage: 60 * stage.minutes for stage in found.stages}
        return {"cpu": 60 * found.minutes, "mb": found.memory_mib, "itself": time.process_time(), "stages": stages}
    with tempfile.TemporaryDirectory() as folder:
        result = run(config, out=f"{folder}/run")
    stages = {stage: result[stage]["seconds"] for stage in ("search", "train")}
    return {"cpu": time.process_time(), "mb": peak(torch.device("cpu")), "stages": stages}


def measured(what: str, sets: tuple[str, ...]) -> dict[str, Any]:
    """:func:`side` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--side", what, *sets]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def remark(found: dict[str, Any]) -> str:
    """The stages, and what an estimate took itself."""
    text = f"search {found['stages']['search']:.3g} s, train {found['stages']['train']:.3g} s"
    return text + (f"; took {found['itself']:.2g} s" if "itself" in found else "")


def main() -> None:
    """Measure, print, write ``dry_run.json``."""
    parser = report.arguments(__doc__)
    parser.set_defaults(rounds=1, warmups=0, threads=[1])
    options = parser.parse_args()
    rows = []
    for case, sets in RUNS.items():
        pair = []
        for name, what in (("the run", "run"), ("its estimate", "estimate")):
            found = measured(what, sets)
            row = Row(case, name, 1, {"set": list(sets)}, not pair, found["cpu"], None, found["mb"], samples=[], valid=True)
            row.reason = remark(found)
            pair.append(row)
        harness.relate(pair[1], pair[0])
        rows += pair
    report.publish("dry_run", "Estimate and run", rows, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        print(json.dumps(side(sys.argv[2], sys.argv[3:])))
    else:
        main()
