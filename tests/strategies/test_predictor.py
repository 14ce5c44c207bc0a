"""The predictor: its encoding against all walks, its forest against scikit-learn's own mean, and what it proposes."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.errors import BrokenPlugin
from nastk.core.seeds import rng
from nastk.strategies.path_encoding import encoded, path_features

NAME = "predictor"
Make = Callable[..., Any]
OPERATIONS = ("none", "skip_connect", "conv_3x3")


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    inputs, inner = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    pairs = [(src, dst) for dst in range(inputs, inputs + inner) for src in range(dst)]
    kept = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1))
    edges = [Edge(src, dst, draw(st.sampled_from(OPERATIONS))) for src, dst in kept]
    outputs = draw(st.lists(st.integers(inputs, inputs + inner - 1), unique=True, min_size=1))
    return Cell(inputs, edges, tuple(outputs))


def walks(cell: Cell, longest: int) -> set[str]:
    """Every ascending choice of nodes that edges other than none connect, from an input to an output."""
    op = {(edge.src, edge.dst): edge.op for edge in cell.edges if edge.op != "none"}
    found = set()
    for length in range(longest + 1):
        for nodes in itertools.combinations(range(cell.nodes), length + 1):
            steps = list(itertools.pairwise(nodes))
            if nodes[0] < cell.inputs and nodes[-1] in cell.outputs and all(step in op for step in steps):
                found.add("shared:" + ">".join([str(nodes[0]), *(op[step] for step in steps)]))
    return found


@settings(deadline=None, max_examples=60)
@given(cells(), st.integers(1, 4))
def test_paths_are_all_walks_from_an_input_to_an_output(cell: Cell, longest: int) -> None:
    genotype = Genotype("any", {"shared": cell}, {"neuron": "lif", "time_steps": 2})
    assert path_features(genotype, longest) == walks(cell, longest) | {"neuron=lif", "time_steps=2"}


def test_columns_are_what_tells_genotypes_apart() -> None:
    found = encoded([frozenset("ab"), frozenset("ac"), frozenset("abd")])
    assert found.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert found.dtype == np.float32


def worth(genotype: Genotype, epochs: int = 0) -> float:
    """The sum over the edges of what an operation is worth there."""
    del epochs
    return sum(rng(5, str(edge)).random() for edge in genotype.cell("shared").edges) / 6


def test_the_forest_is_scikit_learns_and_a_function_of_its_seed() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    from nastk.strategies.forest import forest

    generator = np.random.default_rng(0)
    x, queries = generator.random((30, 5)).round().astype(np.float32), generator.random((20, 5)).astype(np.float32)
    y = x.sum(-1).tolist()
    mean, deviation = forest(x, y, queries, 20, 3)
    theirs = ensemble.RandomForestRegressor(20, random_state=3).fit(x, y)
    np.testing.assert_allclose(mean, theirs.predict(queries))
    np.testing.assert_allclose(deviation, np.std([tree.predict(queries) for tree in theirs.estimators_], axis=0))
    assert (mean, deviation) == forest(x, y, queries, 20, 3)
    assert mean != forest(x, y, queries, 20, 4)[0]


@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 4), initial=st.integers(1, 6), seed=st.integers(0, 99))
def test_it_tries_new_neighbours_of_the_best(landscape: Make, batch: int, initial: int, seed: int) -> None:
    pytest.importorskip("sklearn")
    spec = {"name": NAME, "trials": 16, "batch": batch, "initial": initial, "trees": 5}
    context = landscape(spec, worth, space="nas-bench-201", seed=seed)
    before: Any = None
    for state in context.states():
        if before is not None and before.trials >= initial:
            parents = sorted(before.members, key=worth, reverse=True)[:5]
            for proposal in context.asked[-1]:
                assert any(proposal.genotype in context.space.neighbours(parent) for parent in parents)
                assert proposal.genotype not in before.members
        before = state
    assert len(context.trials) == before.trials == 16, "nothing is tried twice"


def test_the_largest_draws_are_tried(landscape: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a predictor that is sure and right, the best of the mutants are proposed, the best first."""
    context = landscape({"name": NAME, "trials": 30, "batch": 4, "candidates": 300}, worth, space="nas-bench-201")
    pytest.importorskip("sklearn")
    known: list[list[Genotype]] = []

    def mutants(*args: Any) -> list[Genotype]:
        found = original(*args)
        known.append(found)
        return found

    original = context.strategy._mutants
    monkeypatch.setattr(context.strategy, "_mutants", mutants)

    def sure(x: Any, y: Any, queries: Any, trees: int, seed: int) -> tuple[list[float], list[float]]:
        del x, y, trees, seed
        return [worth(genotype) for genotype in known[-1]], [0.0] * len(queries)

    monkeypatch.setattr("nastk.strategies.predictor.forest", sure)
    for _ in context.states():
        if known:
            best = sorted(known[-1], key=worth, reverse=True)[:4]
            asked = [proposal.genotype for proposal in context.asked[-1]]
            assert asked == best[: len(asked)]
    assert known


def test_it_beats_random_search(landscape: Make) -> None:
    pytest.importorskip("sklearn")
    found: dict[str, float] = {}
    for name, extra in ((NAME, {"batch": 10, "trees": 20}), ("random-search", {})):
        best = []
        for seed in range(4):
            context = landscape({"name": name, "trials": 50, **extra}, worth, space="nas-bench-201", seed=seed)
            best.append(worth(context.strategy.recommend(context, context.end())[0]))
        found[name] = sum(best) / len(best)
    assert found[NAME] > found["random-search"] + 0.03, found


def test_it_ends_where_nothing_new_is_left_and_where_all_fails(landscape: Make) -> None:
    pytest.importorskip("sklearn")
    context = landscape({"name": NAME, "trials": 120, "batch": 10, "trees": 5}, worth)
    assert context.end().trials == 120
    assert len(context.trials) <= context.space.size
    context = landscape({"name": NAME, "trials": 25, "trees": 5}, lambda *_: None)
    assert context.end().failed == 25
    fails = landscape({"name": NAME, "trials": 30, "trees": 5}, lambda g, _: None if worth(g) > 0.36 else worth(g))
    state = fails.end()
    assert 0 < state.failed < 30
    assert worth(fails.strategy.recommend(fails, state)[0]) <= 0.36


def test_global_random_numbers_change_nothing(landscape: Make) -> None:
    pytest.importorskip("sklearn")
    found = []
    for seed in range(2):
        random.seed(seed)
        np.random.seed(seed)
        context = landscape({"name": NAME, "trials": 20, "trees": 5}, worth, space="nas-bench-201")
        found.append((context.end(), list(context.trials)))
    assert found[0] == found[1]


def test_without_scikit_learn_it_says_what_to_install(landscape: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(BrokenPlugin, match=r"needs sklearn, .*: pip install \"nastk\[predictor\]\"$"):
        landscape({"name": NAME}, worth)
