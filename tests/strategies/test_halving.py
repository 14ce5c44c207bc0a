"""Successive halving and Hyperband: the published table, the schedule of what is proposed, and who is promoted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Genotype
from nastk.core.errors import ConfigError
from nastk.core.seeds import rng
from nastk.strategies.halving import Rung, levels
from nastk.strategies.hyperband import hyperband_brackets
from nastk.strategies.successive_halving import SuccessiveHalving, SuccessiveHalvingConfig

Make = Callable[..., Any]
TABLE_1 = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(27, 3), (9, 9), (3, 27), (1, 81)],
    2: [(9, 9), (3, 27), (1, 81)],
    1: [(6, 27), (2, 81)],
    0: [(5, 81)],
}
"""Li et al., Table 1: candidates and resource of each rung for R = 81 and eta = 3, by bracket."""


def worth(genotype: Genotype, epochs: int = 0) -> float:
    """A random accuracy for each candidate, all different, a little better with every epoch."""
    return 0.8 * rng(7, genotype.to_json()).random() + epochs / 1000


def test_the_published_table() -> None:
    found = [[(rung.candidates, rung.epochs) for rung in bracket] for bracket in hyperband_brackets(81, 3)]
    assert found == [TABLE_1[s] for s in (4, 3, 2, 1, 0)]


@given(epochs=st.integers(1, 3000), eta=st.integers(2, 6))
def test_brackets(epochs: int, eta: int) -> None:
    brackets = hyperband_brackets(epochs, eta)
    most = levels(epochs, eta)
    assert eta**most <= epochs < eta ** (most + 1)
    assert [len(bracket) for bracket in brackets] == list(range(most + 1, 0, -1))
    for bracket in brackets:
        assert bracket[-1].epochs == epochs, "the last rung is the longest training"
        assert bracket[-1].candidates >= 1
        for rung, following in pairwise(bracket):
            assert following.candidates == rung.candidates // eta
            assert rung.epochs < following.epochs
            assert abs(following.epochs - eta * rung.epochs) <= eta / 2 + 1, "rounded, no more"
        if epochs == eta**most:
            assert sum(rung.candidates * rung.epochs for rung in bracket) <= (most + 1) * epochs


@given(s=st.integers(0, 6), eta=st.integers(2, 4), factor=st.integers(1, 5))
def test_every_rung_of_successive_halving_costs_the_same(s: int, eta: int, factor: int) -> None:
    config = SuccessiveHalvingConfig(trials=eta**s, epochs=factor * eta**s, eta=eta, shortest=factor)
    (bracket,) = SuccessiveHalving(config).brackets
    assert len(bracket) == s + 1
    assert {rung.candidates * rung.epochs for rung in bracket} == {factor * eta**s}


@pytest.mark.parametrize(
    ("settings_", "wanted"),
    [
        ({"trials": 2, "epochs": 27}, [(2, 27)]),
        ({"trials": 100, "epochs": 10}, [(100, 1), (33, 3), (11, 10)]),
        ({"trials": 27, "epochs": 27, "shortest": 3}, [(27, 3), (9, 9), (3, 27)]),
        ({"trials": 16, "epochs": 8, "eta": 2}, [(16, 1), (8, 2), (4, 4), (2, 8)]),
    ],
)
def test_rungs_end_where_candidates_or_epochs_do(settings_: dict[str, int], wanted: list[tuple[int, int]]) -> None:
    (bracket,) = SuccessiveHalving(SuccessiveHalvingConfig(**settings_)).brackets
    assert bracket == tuple(Rung(*rung) for rung in wanted)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 20), st.integers(2, 4), st.integers(1, 7), st.integers(1, 2), st.integers(0, 99))
def test_the_best_of_each_rung_are_the_next(landscape: Make, epochs: int, eta: int, batch: int, rounds: int, seed: int) -> None:
    spec = {"name": "hyperband", "epochs": epochs, "eta": eta, "batch": batch, "rounds": rounds}
    context = landscape(spec, worth, space="nas-bench-201", seed=seed)
    state = context.end()
    asked = [proposal for proposals in context.asked for proposal in proposals]
    assert context.step == context.strategy.steps == len(context.asked)
    assert all(len(proposals) <= batch for proposals in context.asked)
    for bracket in hyperband_brackets(epochs, eta) * rounds:
        survivors: list[Genotype] = []
        for rung in bracket:
            trained = [asked.pop(0) for _ in range(rung.candidates)]
            assert {proposal.epochs for proposal in trained} == {rung.epochs}
            if survivors:
                assert [proposal.genotype for proposal in trained] == survivors[: rung.candidates]
            survivors = sorted([proposal.genotype for proposal in trained], key=worth, reverse=True)
    assert not asked
    finalists = [r.proposal.genotype for r in context.trials.values() if r.proposal.epochs == epochs]
    assert context.strategy.recommend(context, state) == [max(finalists, key=worth)]
    assert context.strategy.finished(state)


def test_the_longest_training_decides_and_not_the_highest_accuracy(landscape: Make) -> None:
    """Here every training makes worse; the recommended candidate is still one that was trained to the end."""
    context = landscape({"name": "hyperband"}, lambda genotype, epochs: worth(genotype) - epochs / 20)
    state = context.end()
    assert state.epochs == 9
    last = [r for r in context.trials.values() if r.proposal.epochs == 9]
    assert state.accuracy == max(r.accuracy for r in last) < max(r.accuracy for r in context.trials.values())


def test_failed_trials_go_last(landscape: Make) -> None:
    """The longer trainings all fail: what ended well is recommended, of the shorter training."""
    context = landscape({"name": "successive-halving", "trials": 9}, lambda g, n: None if n > 3 else worth(g, n))
    state = context.end()
    assert (state.failed, state.epochs) == (1, 3)
    context = landscape({"name": "successive-halving", "trials": 9}, lambda g, n: None if worth(g) < 0.3 else worth(g, n))
    state = context.end()
    promoted = {p.genotype for proposals in context.asked for p in proposals if p.epochs > 1}
    assert all(worth(genotype) >= 0.3 for genotype in promoted)
    assert state.failed


def test_a_first_rung_longer_than_the_last_is_refused(landscape: Make) -> None:
    with pytest.raises(ConfigError, match="shortest: 10 epochs are more than the longest training, epochs = 9"):
        landscape({"name": "successive-halving", "shortest": 10}, worth)


def test_it_finds_better_ones_than_random_search_for_the_same_epochs(landscape: Make) -> None:
    """Where a short training tells much of a long one: 81 epochs each, means over 30 seeds."""

    def noisy(genotype: Genotype, epochs: int) -> float:
        return 0.8 * worth(genotype) + 0.2 * rng(epochs, genotype.to_json()).random() / epochs

    found = {}
    for name, spec in (("successive-halving", {"trials": 27}), ("random-search", {"trials": 9, "epochs": 9})):
        scores = []
        for seed in range(30):
            context = landscape({"name": name, **spec}, noisy, space="nas-bench-201", seed=seed)
            scores.append(worth(context.strategy.recommend(context, context.end())[0]))
        found[name] = sum(scores) / len(scores)
    assert found["successive-halving"] > found["random-search"] + 0.02, found
