"""From the start of a process to an answer: ``import nastk``, ``--help``, ``plugins``, the first search step of ``nastk run``.

Wall and CPU seconds of whole processes, one after the other in turns; files are in the cache of the system after the first
turn, and kernels in nastk's own. The first search step is that of a run on the bundled digits with the default strategy,
without the epochs that train weights alone. "Python alone" and "import torch" are what nobody can go below.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import report
import table

BAR = 5.0
"""Seconds to the first search step."""
FIRST_STEP = """
import os, sys
from nastk.core.hookspecs import hookimpl
from nastk.core.registry import registry

class Listener:
    @hookimpl
    def nastk_event(self, event):
        if type(event).__name__ == "Progress" and event.stage == "search":
            os._exit(0)

registry().hooks.register(Listener())
from nastk.cli import main
sys.argv = ["nastk", "run", "--quiet", "--set", "strategy.warmup=0", "--out", sys.argv[1]]
main()
sys.exit("the run ended before its first step")
"""
NASTK = "import sys; from nastk.cli import main; sys.argv[0] = 'nastk'; main()"
CASES: dict[str, tuple[str, ...]] = {
    "Python alone": ("-c", "pass"),
    "import torch": ("-c", "import torch"),
    "import nastk": ("-c", "import nastk"),
    "nastk --help": ("-c", NASTK, "--help"),
    "nastk plugins": ("-c", NASTK, "plugins"),
    "nastk run, first search step": ("-c", FIRST_STEP),
}
RUN = "nastk run, first search step"


def measured(words: tuple[str, ...]) -> tuple[float, float]:
    """Wall and CPU seconds of a Python with these arguments; raises where it fails."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr[-500:]}")
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def measure(rounds: int, names: list[str]) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) a round, after one that warms the caches."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name, samples in found.items():
                words = CASES[name]
                sample = measured((*words, str(Path(folder) / f"run{turn}")) if name == RUN else words)
                if turn:
                    samples.append(sample)
    return found


def main() -> None:
    """Measure, print, write ``cold_start.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after one that warms up (default 5)")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="of the cases (default all)")
    parser.add_argument("--out", type=Path, help="folder of the JSON file (default: only print)")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, samples in measure(options.rounds, options.only).items():
        wall, cpu = (median(values) for values in zip(*samples, strict=True))
        rows.append({"case": name, "wall": wall, "cpu": cpu, "samples": samples})
        verdict = "" if name != RUN else f"  ({'within' if wall < BAR else 'over'} the bar of {BAR:g} s)"
        print(f"{name:32} wall {wall:6.2f} s   CPU {cpu:6.2f} s{verdict}")
    if options.out:
        words = " ".join(sys.argv[1:])
        header = {"cpu": report.cpu_model(), "versions": report.versions(report.PACKAGES), "commit": report.commit()}
        header |= {"command": f"python benchmarks/cold_start.py {words}", "n": options.rounds}
        options.out.mkdir(parents=True, exist_ok=True)
        document = {"format": f"{table.FORMAT}-cold-start", "header": header, "rows": rows}
        (options.out / "cold_start.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
