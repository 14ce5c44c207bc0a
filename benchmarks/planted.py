"""One-shot strategies against random search at equal cost, on a task with a known answer: ``python benchmarks/planted.py``.

Only convolutions one behind the other can tell the classes of ``synthetic`` apart: one member of ``toy`` in sixteen has
them on both edges that decide. A strategy searches; then random search has the processor seconds that this took, for
members trained 10 epochs, the training that the found member gets for the comparison, too. Accuracy is that on VALID.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.search import search
from nastk.core.run.store import RunDirectory
from nastk.core.run.trial import Proposal
from nastk.core.seeds import rng

TABLES: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 12, "train_images": 1024, "test_images": 32},
    "model": {"neuron": "plif", "time_steps": 2, "channels": 8, "cells": 3, "attention": "none"},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 32},
    "device": "cpu",
}
BILEVEL: dict[str, Any] = {"epochs": 20, "warmup": 5, "batch": 32, "alpha_lr": 0.1}
SUPERNET: dict[str, Any] = {"epochs": 20, "batch": 32}
STRATEGIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("darts", "gdas", "pc-darts", "snas", "fair-darts"), BILEVEL),
    "random-sampling-with-weight-sharing": {**SUPERNET, "candidates": 64, "per_step": 16},
    "one-shot-evolution": {**SUPERNET, "generations": 6, "population": 12},
}
EPOCHS = 10


def compared(strategy: str, seed: int) -> dict[str, Any]:
    """One search, and the random members that cost as much."""
    run = Run(configure({**TABLES, "strategy": {"name": strategy, **STRATEGIES[strategy]}, "seed": seed}))
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = search(run.strategy, run.context, RunDirectory(Path(folder))).genotype
    seconds = time.process_time() - start
    trial = run.context.evaluation
    mine = trial(Proposal(found, EPOCHS)).accuracy
    draws, drawn, start = rng(seed, "random members"), [], time.process_time()
    while time.process_time() - start < seconds:
        drawn.append(trial(Proposal(run.space.sample(draws), EPOCHS)).accuracy)
    ops = {(edge.src, edge.dst): edge.op for edge in found.cell("shared").edges}
    hit = ops[0, 1] == ops[1, 2] == "conv_3x3"
    return {"hit": hit, "accuracy": mine, "members": len(drawn), "mean": mean(drawn), "best": max(drawn), "seconds": seconds}


def main(arguments: Sequence[str]) -> None:
    """A row a strategy, the figures of all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strategies", nargs="*", default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| strategy | both convolutions | accuracy | best of random search (members) | their mean |")
    print("| --- " * 5 + "|")
    for name in chosen.strategies:
        rows = [compared(name, seed) for seed in range(chosen.seeds)]
        mine = ", ".join(f"{row['accuracy']:.2f}" for row in rows)
        best = ", ".join(f"{row['best']:.2f} ({row['members']})" for row in rows)
        print(f"| `{name}` | {sum(row['hit'] for row in rows)} of {len(rows)} | {mine} | {best} | "
              f"{mean(row['mean'] for row in rows):.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
