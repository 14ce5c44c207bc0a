"""Whether a run that goes on and on keeps its memory: ``python benchmarks/soak.py --minutes 30``.

Random search of tiny networks, each trained in a worker of the executor ``processes``, until the time is over. The resident
memory of the driver is looked at every five seconds; what counts is how it moves after the first fifth of the time. Linux.
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

RESULTS = Path(__file__).resolve().parent / "results"
EVERY = 5.0
SETTINGS = {
    "strategy": '{ name = "random-search", trials = 1000000, epochs = 1, batch = 4 }',
    "space": "spiking-cells",
    "dataset": '{ name = "synthetic", size = 8, train_images = 64, test_images = 32 }',
    "model": '{ channels = 2, cells = 1, time_steps = 1, attention = "none" }',
    "train": "{ epochs = 1, batch = 16 }",
    "executor": '{ name = "processes", workers = 1 }',
}


def resident(process: int) -> float:
    """MiB of a process that lie in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(minutes: float) -> dict[str, object]:
    """Run, look, and sum up."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "nastk", "run", *words, "--set", f"budget.minutes={minutes}", "--out", str(out), "-q"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        samples, began = [], time.monotonic()
        while process.poll() is None and time.monotonic() - began < 60 * minutes:
            samples.append((time.monotonic() - began, resident(process.pid)))
            time.sleep(EVERY)
        code = process.wait()
        search = json.loads((out / "result.json").read_text(encoding="utf-8"))["search"]
    late = [size for at, size in samples if at > 12 * minutes]
    half = len(late) // 2
    first, second = median(late[:half]), median(late[half:])
    return {
        "minutes": minutes,
        "exit_code": code,
        "search": search,
        "mib": {"median_of_first_half": first, "median_of_second_half": second, "least": min(late), "most": max(late)},
        "growth_percent": 100 * (second / first - 1),
        "range_percent": 100 * (max(late) / min(late) - 1),
        "samples": [[round(at), round(size, 1)] for at, size in samples],
    }


def main() -> None:
    """Measure, print, write ``soak.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long (default 30)")
    parser.add_argument("--out", type=Path, help="folder of the JSON file (default: only print)")
    options = parser.parse_args()
    found = soak(options.minutes)
    print(json.dumps({name: value for name, value in found.items() if name != "samples"}, indent=1))
    if options.out:
        (options.out / "soak.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
