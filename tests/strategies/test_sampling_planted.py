"""Every strategy that samples against random search at equal cost, on candidates that were really trained.

All 64 members of ``toy`` are trained on ``synthetic``, where convolutions one behind the other are needed (see
``test_planted.py``), for two epochs and for six. Then every strategy searches in these reports with many seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from statistics import mean
from typing import Any

import pytest

from nastk.core.cell.graph import Genotype
from nastk.core.run.run import Run
from nastk.core.run.trial import Proposal

DATA = range(2)
SEEDS = range(100)
EPOCHS = (2, 6)
TABLES = {
    "dataset": {"size": 12, "train_images": 640},
    "model": {"neuron": "relu", "time_steps": 1, "channels": 6, "cells": 1, "attention": "none"},
    "train": {"batch": 32},
}
SINGLE: dict[str, Any] = {"trials": 16, "epochs": 6}
STRATEGIES: dict[str, dict[str, Any]] = {
    "random-search": SINGLE,
    "regularized-evolution": {**SINGLE, "population": 5},
    "local-search": SINGLE,
    "reinforce": {**SINGLE, "lr": 0.3},
    "nsga2": {**SINGLE, "population": 5},
    "predictor": {**SINGLE, "initial": 6, "batch": 2},
    "successive-halving": {"trials": 24, "epochs": 6, "shortest": 2},
    "hyperband": {"epochs": 6, "rounds": 4},
}
"""96 epochs of training each."""
MARGINS = {
    "predictor": 0.02,
    "successive-halving": 0.02,
    "hyperband": 0.01,
    "nsga2": 0.005,
    "regularized-evolution": -0.01,
    "local-search": -0.01,
    "reinforce": -0.01,
}
"""By how much the mean accuracy of what they recommend has to be above random search's; 16 trials are too few for some."""


@pytest.mark.slow
def test_against_random_search_at_equal_cost(prepare: Callable[..., Run], landscape: Callable[..., Any]) -> None:
    pytest.importorskip("sklearn")
    found: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for data in DATA:
        run = prepare("random-search", seed=data, tables=TABLES)
        every = [run.space.decode(choice) for choice in product(*(range(len(d.options)) for d in run.space.decisions))]
        table = {(g, n): run.context.evaluation(Proposal(g, n)).accuracy for g in every for n in EPOCHS}

        def worth(genotype: Genotype, epochs: int, table: dict[Any, float] = table) -> float:
            return table[genotype, epochs]

        for name, settings in STRATEGIES.items():
            for seed in SEEDS:
                context = landscape({"name": name, **settings}, worth, seed=seed, model=TABLES["model"])
                genotype = context.strategy.recommend(context, context.end())[0]
                assert sum(proposal.epochs for asked in context.asked for proposal in asked) <= 96
                found[name].append(table[genotype, EPOCHS[-1]])
    report = {name: mean(accuracies) for name, accuracies in found.items()}
    print(report)
    for name, margin in MARGINS.items():
        assert report[name] > report["random-search"] + margin, report
