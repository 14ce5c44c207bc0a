"""DARTS's known failure and what guards do about it, the table of docs/strategies.md: ``python benchmarks/collapse.py``.

A planted collapse. ``toy`` without ``none``, on ``synthetic`` with few and noisy images: a supernet of 128 images learns
them by heart, its convolutions are of no use on the images of alpha, and a skip, which has nothing to learn, wins edge
after edge. Yet convolutions are what the classes need, and they learn it where there are images enough. So first-order
DARTS searches with 320 images, once without a guard and once with each; every cell that comes out is trained on 2048
other images of the same kind and looked at on its validation part.

``--natural`` searches ``nas-bench-201`` on the bundled digits instead, for long and with a fast alpha, and plants nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from attrs import frozen

from nastk.core.cell.graph import Genotype
from nastk.core.document import overlay
from nastk.core.events import Event, Notice
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.search import search
from nastk.core.run.store import RunDirectory
from nastk.core.run.trial import Proposal
from nastk.strategies.mixing import SKIP

PLANTED: dict[str, Any] = {
    "space": {"name": "toy", "operations": [SKIP, "conv_3x3", "avg_pool_3x3"]},
    "dataset": {"name": "synthetic", "size": 12, "train_images": 320, "noise": 40.0},
    "model": {"neuron": "relu", "time_steps": 1, "channels": 8, "cells": 3},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 32},
    "strategy": {"name": "darts", "epochs": 24, "warmup": 0, "batch": 32, "alpha_lr": 0.1},
    "device": "cpu",
}
NATURAL = {
    **PLANTED,
    "space": "nas-bench-201",
    "dataset": "digits",
    "strategy": {**PLANTED["strategy"], "epochs": 40, "alpha_lr": 0.03},
}
ENOUGH = {"dataset": {"train_images": 2048, "seed": 1}}
"""Images on which a derived cell is trained."""
EPOCHS = 8
"""Epochs for which it is."""

GUARDS: dict[str, dict[str, Any]] = {
    "none": {},
    "guard.max_skips = 1": {"guard": {"max_skips": 1}},
    "guard.stop_skips = 1": {"guard": {"stop_skips": 1}},
    "guard.skip_dropout = 0.5": {"guard": {"skip_dropout": 0.5}},
    "relaxation.partial = 4": {"relaxation": {"partial": 4}},
    "weighting.kind = 'sigmoid'": {"weighting": {"kind": "sigmoid"}},
    "regulariser.beta_decay = 5": {"regulariser": {"beta_decay": 5.0}},
    "perturbation.kind = 'random'": {"perturbation": {"kind": "random"}},
}


@frozen
class Outcome:
    """One search: the member, the skips of its normal cell, the epochs it took, its largest skip lead, and what was said."""

    genotype: Genotype
    skips: int
    epochs: int
    lead: float
    notices: tuple[str, ...]


def searched(settings: Mapping[str, Any], seed: int, tables: Mapping[str, Any] = PLANTED) -> Outcome:
    """Search with these settings of the strategy on top."""
    run = Run(configure(overlay(tables, {"strategy": settings, "seed": seed})))
    heard: list[Event] = []
    run.context.emit = heard.append
    with tempfile.TemporaryDirectory() as folder:
        found = search(run.strategy, run.context, RunDirectory(Path(folder)))
    notices = tuple(event.text for event in heard if isinstance(event, Notice))
    leads = [event.figures["skip_lead"] for event in heard if hasattr(event, "figures")]
    skips = sum(edge.op == SKIP for edge in found.genotype.cell("shared").edges)
    return Outcome(found.genotype, skips, found.steps, max(leads), notices)


def trained(genotype: Genotype, seed: int) -> float:
    """Validation accuracy of a member that is trained on images enough."""
    run = Run(configure(overlay(PLANTED, {**ENOUGH, "seed": seed})))
    return run.context.evaluation(Proposal(genotype, EPOCHS)).accuracy


def row(name: str, found: Sequence[Outcome], accuracies: Sequence[float]) -> str:
    """A row of the table: the figures of all seeds."""
    edges = len(found[0].genotype.cell("shared").edges)
    said = sum(any("into skips" in text or "collapses" in text for text in outcome.notices) for outcome in found)
    cells = [
        f"`{name}`" if name != "none" else "no guard",
        f"{', '.join(str(outcome.skips) for outcome in found)} of {edges}",
        ", ".join(str(outcome.epochs) for outcome in found),
        f"{mean(outcome.lead for outcome in found):.2f}",
        f"{said} of {len(found)}",
        ", ".join(f"{accuracy:.2f}" for accuracy in accuracies) or "",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--natural", action="store_true", help="nas-bench-201 on digits; cells are not trained")
    parser.add_argument("--only", default="", help="guards whose name contains this")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| guard | skips, a seed each | epochs | largest skip lead | told of | accuracy when trained |")
    print("| --- " * 6 + "|")
    for name, settings in GUARDS.items():
        if chosen.only in name:
            found = [searched(settings, seed, NATURAL if chosen.natural else PLANTED) for seed in range(chosen.seeds)]
            accuracies = [] if chosen.natural else [trained(outcome.genotype, i) for i, outcome in enumerate(found)]
            print(row(name, found, accuracies), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
