"""Regularized evolution: Algorithm 1 of Real et al., step by step, and that it beats random search in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import mean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Genotype
from nastk.core.seeds import rng

NAME = "regularized-evolution"
Make = Callable[..., Any]


def worth(genotype: Genotype, epochs: int = 0) -> float:
    """A random accuracy for each candidate, all different."""
    del epochs
    return rng(7, genotype.to_json()).random()


def distance(context: Any, one: Genotype, other: Genotype) -> int:
    return sum(a != b for a, b in zip(context.space.encode(one), context.space.encode(other), strict=True))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=st.integers(1, 6), sample=st.integers(1, 4), batch=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_oldest_die_and_children_differ_in_one_decision(
    landscape: Make, population: int, sample: int, batch: int, seed: int
) -> None:
    context = landscape(
        {"name": NAME, "trials": 20, "population": population, "sample": sample, "batch": batch}, worth, seed=seed
    )
    born: list[Genotype] = []
    before: Any = None
    for state in context.states():
        if before is not None:
            new = [proposal.genotype for proposal in context.asked[-1]]
            if len(born) >= population:
                assert all(min(distance(context, child, member) for member in before.members) <= 1 for child in new)
            born += new
        assert list(state.members) == born[-population:]
        assert list(state.accuracies) == [worth(member) for member in born[-population:]]
        before = state
    assert len(born) == 20
    best = max(born, key=worth)
    assert context.strategy.recommend(context, before) == [best], "the best of the history, though it may be dead"
    assert before.trials == 20


def test_the_parent_is_the_best_of_the_sample(landscape: Make) -> None:
    """With a sample that surely holds every member, it is the best that is alive; every decision is changed at times."""
    context = landscape({"name": NAME, "trials": 200, "population": 4, "sample": 80}, worth, space="nas-bench-201")
    changed: Counter[int] = Counter()
    before: Any = None
    for state in context.states():
        if before is not None and len(before.members) == 4:
            parent = max(before.members, key=worth)
            child = context.asked[-1][0].genotype
            differs = [a != b for a, b in zip(context.space.encode(parent), context.space.encode(child), strict=True)]
            assert sum(differs) == 1
            changed[differs.index(True)] += 1
        before = state
    assert set(changed) == {i for i, decision in enumerate(context.space.decisions) if len(decision.options) > 1}


def test_the_sample_is_drawn_with_replacement(landscape: Make) -> None:
    """Of two members, two are drawn: one in four times the worse one twice. Without replacement it would never breed."""
    context = landscape({"name": NAME, "trials": 9, "population": 2, "sample": 2}, worth, space="nas-bench-201")
    state = list(context.states())[2]
    better, worse = sorted(state.members, key=worth, reverse=True)
    if distance(context, better, worse) < 3:
        pytest.fail("choose another seed: a child has to tell its parent")
    count = 0
    for step in range(1000):
        context.step = step
        (proposal,) = context.strategy.ask(context, state)
        count += distance(context, proposal.genotype, worse) == 1
    assert 190 < count < 310, count


def test_failed_trials_die_of_age_and_are_not_recommended(landscape: Make) -> None:
    context = landscape(
        {"name": NAME, "trials": 60, "population": 5}, lambda g, n: None if worth(g) < 0.7 else worth(g, n), seed=3
    )
    state = context.end()
    assert 0 < state.failed < 60
    assert state.trials == 60
    assert worth(context.strategy.recommend(context, state)[0]) >= 0.7


def test_it_beats_random_search_in_a_table(landscape: Make) -> None:
    """NATS-Bench, CIFAR-100, 100 candidates, P = 10 and S = 3 as in NAS-Bench-201; means over 40 seeds."""
    from nastk.plugins.benchmarks.nats_bench import NatsBench, NatsBenchConfig

    table = NatsBench(NatsBenchConfig(dataset="cifar100"))
    spec = {"space": "nas-bench-201", "model": {"neuron": "relu", "time_steps": 1}}
    found: dict[str, list[float]] = {NAME: [], "random-search": []}
    for name, accuracies in found.items():
        for seed in range(40):
            context = landscape({"name": name, "trials": 100}, lambda g, _: table.look_up(g)["accuracy"], seed=seed, **spec)
            accuracies.append(table.test(context.strategy.recommend(context, context.end())[0]))
    report = {name: mean(accuracies) for name, accuracies in found.items()}
    assert report[NAME] > report["random-search"] + 0.005, report
