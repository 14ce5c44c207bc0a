"""Runs the benchmarks, one after the other, and prints one table: ``python benchmarks/run.py [--short] [NAME ...]``.

In full they write ``benchmarks/results``, from which ``table.py`` makes the tables of the documentation. ``--short`` takes
minutes, writes to ``benchmarks/.short`` and is no basis for a claim.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import report
import table
from harness import HERE

SHORT = HERE / ".short"
FEWER = ("--rounds", "3", "--warmups", "1", "--threads", "1")
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "search_step": (*FEWER, "--batch", "4"),
    "neuron": FEWER,
    "retrain": (*FEWER, "--batch", "8", "--time-steps", "2"),
    "augmentation": (*FEWER, "--times", "20"),
}
"""Name -> what the short setting adds to its command line."""
SEPARATE: dict[str, tuple[str, ...]] = {"peers": (*FEWER, "--batch", "4")}
"""Those that install other packages, and run only when they are named."""


def main() -> int:
    """Run them; 1 when one of them broke off."""
    known = {**BENCHMARKS, **SEPARATE}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default {', '.join(BENCHMARKS)})")
    parser.add_argument("--short", action="store_true", help="few rounds of small batches")
    options = parser.parse_args()
    if unknown := set(options.names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    names = options.names or list(BENCHMARKS)
    folder = SHORT if options.short else table.RESULTS
    broken = []
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), "--out", str(folder), *(known[name] if options.short else ())]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
        if done.returncode:
            broken.append(name)
            print(done.stdout[-3000:])
    found = table.results(folder)
    report.show([found[name] for name in names if name in found and name not in broken])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
