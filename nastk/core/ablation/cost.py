"""Random search at the cost of a strategy: how many trials, of how many epochs. Torch is imported for ``parameters`` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import mean
from typing import Any

from nastk.core.ablation.study import RandomSearchCost, Study
from nastk.core.cell.space import Relaxable
from nastk.core.config import unstructure
from nastk.core.errors import ConfigError
from nastk.core.seeds import rng
from nastk.core.settings import RunConfig

BASELINE = "random-search"
EPOCHS = 4
"""Epochs of a trial, where the cost is that of a supernet."""
UNBOUNDED = 1_000_000
"""Trials of a search that the clock ends."""
DRAWS = 8
"""Members whose parameters are counted."""


def random_row(study: Study, baseline: RunConfig) -> dict[str, Any]:
    """The run file of the baseline with random search in its place, at equal cost.

    A strategy of trials: the same number of the same length. A supernet: an epoch goes through WEIGHTS and ALPHA once, as an
    epoch of a trial does, so ``trials * epochs`` is the number of its epochs, rounded up to whole trials. Matched by
    ``parameters``, each epoch counts the learned numbers that it updates; matched by ``seconds``, the search ends after
    those that the baseline's search took under the same seed. Raises :class:`ConfigError` where the cost is not known.
    """
    document: dict[str, Any] = unstructure(baseline)
    limits = {name: value for name, value in document.get("budget", {}).items() if name not in ("steps", "evaluations")}
    return {**document, "strategy": {"name": BASELINE, **_cost(study, baseline)}, "budget": limits}


def _cost(study: Study, baseline: RunConfig) -> dict[str, int]:
    if isinstance(study.random_search, RandomSearchCost):
        return {"trials": study.random_search.trials, "epochs": study.random_search.epochs}
    if study.settings.match == "seconds":
        return {"trials": UNBOUNDED, "epochs": EPOCHS}
    settings, budget = baseline.strategy.config, baseline.budget
    epochs, trials = getattr(settings, "epochs", None), getattr(settings, "trials", None)
    if not isinstance(epochs, int):
        raise ConfigError(
            [
                f"random_search: nobody knows what {baseline.strategy.name!r} costs, it has no setting `epochs`: "
                "write random_search = false, or { trials = N, epochs = N }"
            ],
            study.source,
        )
    if isinstance(trials, int):
        return {"trials": min(trials, budget.evaluations or trials), "epochs": epochs}
    passes: float = min(epochs, budget.steps or epochs)
    if study.settings.match == "parameters":
        passes *= _share(baseline)
    length = max(1, min(EPOCHS, round(passes)))
    return {"trials": math.ceil(round(passes / length, 6)), "epochs": length}


def _share(baseline: RunConfig) -> float:
    """Learned numbers of the supernet, as a multiple of those of a drawn member, both at proxy size."""
    from nastk.core.run.run import prepare

    session = prepare(baseline)
    if not issubclass(session.strategy.requires, Relaxable):
        return 1.0
    draws = [session.space.sample(rng(0, "study", "cost", draw)) for draw in range(DRAWS)]
    members = mean(_learned(session.context.network(genotype)) for genotype in draws)
    return _learned(session.context.supernet()) / members


def _learned(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def ends_by_clock(study: Study) -> bool:
    """Whether the row of random search has to wait for the seconds of the baseline."""
    return study.settings.match == "seconds" and study.random_search is True


def has_row(study: Study, cells: Mapping[str, RunConfig]) -> bool:
    """Whether random search gets a row of its own: unless it is refused, or a cell searches at random already."""
    return study.random_search is not False and all(config.strategy.name != BASELINE for config in cells.values())
