"""Local search: every move is to the best neighbour, every restart from a true local optimum, nothing is paid twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Genotype
from nastk.core.seeds import rng

NAME = "local-search"
Make = Callable[..., Any]


def random_worth(seed: int) -> Callable[..., float]:
    """A random accuracy for each candidate, all different; the same for equal seeds."""
    return lambda genotype, _epochs=0: rng(seed, genotype.to_json()).random()


def path_of(context: Any, here: Genotype, worth: Callable[..., float]) -> Genotype:
    """Where a climb goes from here: the best neighbour, or here where none is better."""
    return max([here, *context.space.neighbours(here)], key=worth)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 5), seed=st.integers(0, 999))
def test_every_move_is_algorithm_1(landscape: Make, batch: int, seed: int) -> None:
    worth = random_worth(seed)
    context = landscape({"name": NAME, "trials": 50, "batch": batch}, worth, seed=seed)
    before: Any = None
    moves = restarts = 0
    for state in context.states():
        if before is not None and before.here is not None and state.here != before.here:
            here, best = before.here, path_of(context, before.here, worth)
            while best != here and here != state.here:  # where all neighbours were known before, it goes on at once
                assert all((neighbour, 4) in context.trials for neighbour in context.space.neighbours(here)), "it left too early"
                here, best, moves = best, path_of(context, best, worth), moves + 1
            if state.here is None:
                restarts += 1
                assert best == here, "it started anew where it could still climb"
            else:
                assert here == state.here
        before = state
    assert before.optima >= restarts
    assert moves + restarts
    assert len(context.trials) == before.trials == 50, "every trial is a new one, and counts"
    assert all(len(asked) <= batch for asked in context.asked)
    assert context.strategy.recommend(context, before) == [max((r.proposal.genotype for r in context.trials.values()), key=worth)]


def test_a_step_pays_for_no_more_than_a_batch(landscape: Make) -> None:
    context = landscape({"name": NAME, "trials": 60, "batch": 4}, random_worth(1))
    count = 0
    for _ in context.states():
        assert len(context.trials) - count <= 4
        count = len(context.trials)


def test_a_smooth_landscape_is_climbed_without_restart(landscape: Make) -> None:
    def worth(genotype: Genotype, epochs: int) -> float:
        del epochs
        return sum(edge.op == "conv_3x3" for edge in genotype.cell("shared").edges) / 10

    context = landscape({"name": NAME, "trials": 200}, worth, space="nas-bench-201")
    for state in context.states():
        if state.accuracy == 0.6:
            break
    assert state.optima == 0
    assert state.accuracy == 0.6
    assert state.trials <= 1 + 6 * 24


def test_it_ends_when_the_space_is_used_up(landscape: Make) -> None:
    worth = random_worth(2)
    context = landscape({"name": NAME, "trials": 400}, worth)
    state = context.end()
    every = {context.space.decode(choice) for choice in product(*(range(len(d.options)) for d in context.space.decisions))}
    assert len(every) == context.space.size
    assert len(context.trials) == len(every)
    assert context.strategy.recommend(context, state) == [max(every, key=worth)]


def test_failed_trials_are_never_a_place_to_stand(landscape: Make) -> None:
    worth = random_worth(4)
    context = landscape({"name": NAME, "trials": 60}, lambda g, _: None if worth(g) > 0.6 else worth(g))
    for state in context.states():
        assert state.here is None or worth(state.here) <= 0.6 or state.height == -1.0
    assert state.failed
    assert worth(context.strategy.recommend(context, state)[0]) <= 0.6


def test_the_budget_ends_it_among_the_neighbours(landscape: Make) -> None:
    context = landscape({"name": NAME, "trials": 60}, random_worth(5), budget={"evaluations": 7})
    assert context.strategy.recommend(context, context.end())[0] in context.space
    assert len(context.trials) == 7
