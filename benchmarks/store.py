"""What keeping a run costs, and how trials scale over processes: ``python benchmarks/store.py [overhead trials scaling]``.

``overhead``: the share of default runs on the digits that is spent in checkpoints, lines of metrics and trials. ``trials``:
a search in a table is killed when 10,000 trials are kept, listed, and resumed. ``scaling``: the same random search on one
worker and on two, by the clock, so on an idle machine of two cores or more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
TRIALS, DRAWS = 10_000, 17_000
"""Trials to keep, and draws from the 15,625 members of the table, some of which come twice."""
ROUNDS = 3


def command(out: Path, *settings: str) -> list[str]:
    """A quiet run with these settings."""
    return [sys.executable, "-m", "nastk", "run", *(w for s in settings for w in ("--set", s)), "--out", str(out), "-q"]


def overhead(folder: Path) -> dict[str, Any]:
    """Seconds of a default run, and of all that its store does."""
    import nastk
    from nastk.core.run.store import RunDirectory
    from nastk.core.run.trial_log import TrialLog
    from nastk.plugins.reporters.jsonl import Jsonl

    spent = {"seconds": 0.0}

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                spent["seconds"] += time.perf_counter() - began

        return call

    kept = {RunDirectory: "save", TrialLog: "keep", Jsonl: "hear"}
    for cls, name in kept.items():
        setattr(cls, name, timed(getattr(cls, name)))
    shares = {}
    for strategy in ("ma-darts", "random-search"):
        spent["seconds"], began = 0.0, time.perf_counter()
        nastk.run(strategy=strategy, seed=0, out=folder / strategy)
        whole = time.perf_counter() - began
        shares[strategy] = {"run_s": whole, "store_s": spent["seconds"], "percent": 100 * spent["seconds"] / whole}
    return shares


def trials(folder: Path) -> dict[str, Any]:
    """Seconds to list a killed search, and from its resumption to its end: the draws before, and the few that are left."""
    import nastk
    import nastk.core.run.run  # not a part of what is timed
    from nastk.core.run.runs import runs

    out = folder / "many"
    settings = "benchmark=nats-bench", "strategy=random-search", f"strategy.trials={DRAWS}"
    process = subprocess.Popen(command(out, *settings), stdout=subprocess.DEVNULL)
    while process.poll() is None and _kept(out) < TRIALS:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        raise SystemExit("The search ended before it could be killed.")
    there = _kept(out)
    began = time.perf_counter()
    runs(folder)
    listing = time.perf_counter() - began
    began = time.perf_counter()
    nastk.run(resume=out)
    return {"trials": there, "list_s": listing, "resumed_and_ended_s": time.perf_counter() - began}


def _kept(out: Path) -> int:
    try:
        with sqlite3.connect(f"file:{out / 'trials.sqlite'}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM trials").fetchone()[0])
    except sqlite3.Error:
        return 0


def scaling(folder: Path) -> dict[str, Any]:
    """Seconds of the search with one worker and with two, in turn."""
    search = "strategy={ name = 'random-search', trials = 12, epochs = 3, batch = 12 }", "train.epochs=1", "model.attention=none"
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(ROUNDS):
        for workers, found in seconds.items():
            out = folder / f"{workers}-{number}"
            subprocess.run(command(out, *search, f"executor={{ name = 'processes', workers = {workers} }}"), check=True,
                           stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
            found.append(json.loads((out / "result.json").read_text(encoding="utf-8"))["search"]["seconds"])
    one, two = (median(found) for found in seconds.values())
    return {"one_worker_s": seconds[1], "two_workers_s": seconds[2], "ratio": one / two}


CASES = {"overhead": overhead, "trials": trials, "scaling": scaling}


def main() -> None:
    """Measure, print, write ``store.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)} (default all)")
    parser.add_argument("--out", type=Path, help="folder of the JSON file (default: only print)")
    options = parser.parse_args()
    found = {}
    for name in options.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = CASES[name](Path(folder))
        print(name, json.dumps(found[name], indent=1), flush=True)
    if options.out:
        (options.out / "store.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
