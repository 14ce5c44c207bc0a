"""Evaluations of a table a second, by strategy, in CPU seconds: ``python benchmarks/bench_rate.py [STRATEGY ...]``."""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from nastk.core.bench.entering import prepared
from nastk.core.bench.tournament import play


def main() -> None:
    """Each strategy in ``nats-bench``, one core, as ``nastk bench`` plays it; the median over rounds taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strategies", nargs="*", default=["random-search", "regularized-evolution", "local-search"])
    parser.add_argument("--budget", type=int, default=300, help="evaluations of a search (default 300)")
    parser.add_argument("--seeds", type=int, default=20, help="searches a round (default 20)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default 7)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = {name: prepared({"name": "nats-bench"}, [name], options.budget, None, [])[0] for name in options.strategies}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    walls: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds + 1):
        for name, run in runs.items():
            wall, start = time.perf_counter(), time.process_time()
            count = sum(play(run, turn * options.seeds + seed).evaluations for seed in range(options.seeds))
            spent, passed = time.process_time() - start, time.perf_counter() - wall
            if turn:  # the first round warms up
                rates[name].append(count / spent)
                walls[name].append(passed / spent)
    for name in runs:
        rate, busy = statistics.median(rates[name]), statistics.median(walls[name])
        print(f"{name}: {rate:,.0f} evaluations a CPU second (best round {max(rates[name]):,.0f}; wall / CPU {busy:.2f})")


if __name__ == "__main__":
    main()
