"""Sorting, crowding and hypervolume against brute force, and against pymoo where it is installed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.strategies.pareto import crowding, dominates, fronts, hypervolume

Points = list[tuple[int, ...]]


@st.composite
def points(draw: st.DrawFn, most: int = 12) -> Points:
    """Costs on a small grid, so that ties and equal points occur."""
    objectives = draw(st.integers(1, 4))
    return draw(st.lists(st.tuples(*[st.integers(0, 5)] * objectives), min_size=1, max_size=most))


def peeled(costs: Sequence[Sequence[float]]) -> list[list[int]]:
    """Fronts by their definition: what nothing that is left dominates, again and again."""
    left, found = set(range(len(costs))), []
    while left:
        front = sorted(i for i in left if not any(dominates(costs[j], costs[i]) for j in left))
        found.append(front)
        left -= set(front)
    return found


@settings(deadline=None, max_examples=60)
@given(points())
def test_fronts_are_what_peeling_leaves(costs: Points) -> None:
    assert fronts(costs) == peeled(costs)


@given(points())
def test_dominance_is_a_strict_order(costs: Points) -> None:
    for a, b, c in itertools.product(costs[:5], repeat=3):
        assert not dominates(a, a)
        assert not (dominates(a, b) and dominates(b, a))
        assert not (dominates(a, b) and dominates(b, c)) or dominates(a, c)


def test_crowding_of_an_example() -> None:
    """Four points of a front: ends infinite, the others half the perimeter of the box between their neighbours, scaled."""
    assert crowding([(0, 10), (2, 6), (5, 5), (10, 0)]) == [math.inf, 5 / 10 + 5 / 10, 8 / 10 + 6 / 10, math.inf]
    assert crowding([(1, 1)]) == [math.inf]
    assert crowding([(1, 2), (1, 2), (1, 2)]) == [math.inf, 0.0, math.inf], "no range, no distance"


@settings(deadline=None, max_examples=60)
@given(points(most=6))
def test_the_hypervolume_is_the_cells_below(costs: Points) -> None:
    """On a grid of whole numbers, every unit cell is dominated as a whole or not at all."""
    reference = (4,) * len(costs[0])
    cells = itertools.product(range(4), repeat=len(reference))
    wanted = sum(any(all(x <= y for x, y in zip(point, cell, strict=True)) for point in costs) for cell in cells)
    assert hypervolume(costs, reference) == wanted


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 4))
def test_against_pymoo(seed: int, count: int, objectives: int) -> None:
    sorting = pytest.importorskip("pymoo.util.nds.non_dominated_sorting")
    operators = pytest.importorskip("pymoo.operators.survival.rank_and_crowding.metrics")
    indicators = pytest.importorskip("pymoo.indicators.hv")
    costs = np.random.default_rng(seed).random((count, objectives))
    found = fronts(costs.tolist())
    assert found == [sorted(front.tolist()) for front in sorting.NonDominatedSorting().do(costs)]
    for front in found:
        if len(front) > 2:  # of fewer it says 0 or infinite, by its own rule
            theirs = operators.calc_crowding_distance(costs[front]) * objectives  # it gives the mean over the objectives
            np.testing.assert_allclose(crowding(costs[front].tolist()), theirs)
    reference = [0.9] * objectives
    assert hypervolume(costs.tolist(), reference) == pytest.approx(indicators.HV(ref_point=np.array(reference))(costs))
