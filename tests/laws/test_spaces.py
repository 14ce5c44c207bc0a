"""A space is a finite set with coordinates: round trips, walks, derivation, and strangers at the door."""

from __future__ import annotations

import copy
import pickle
import random
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import NONE, Cell, Edge, Genotype
from nastk.core.cell.layout import DOWN, KEEP, SCALES, best_path, fixed_path, one_hot_path, paths
from nastk.core.errors import ConfigError, NotInSpace
from nastk.testing import choices, genotypes, weights

law = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32)


def distance(space: CellSpace, first: Genotype, second: Genotype) -> int:
    return sum(a != b for a, b in zip(space.encode(first), space.encode(second), strict=True))


@law
@given(st.data())
def test_encode_and_decode_are_inverse(space: CellSpace, data: st.DataObject) -> None:
    choice = data.draw(choices(space))
    genotype = space.decode(choice)
    assert space.encode(genotype) == choice
    assert space.decode(space.encode(genotype)) == genotype
    assert genotype in space


@law
@given(seed=seeds)
def test_a_sample_is_a_draw_of_each_decision(space: CellSpace, seed: int) -> None:
    """The draws that ``randrange`` makes, and no others: the generator is in the same state afterwards."""
    mine, plain = random.Random(seed), random.Random(seed)
    assert space.sample(mine) == space.decode([plain.randrange(len(decision.options)) for decision in space.decisions])
    assert mine.getstate() == plain.getstate()


def test_what_a_space_remembers_does_not_change_what_it_says(build: Any) -> None:
    """Parts are remembered, a stranger's never: it is refused each time, and 2 is not told from 2.0."""
    space = build({"name": "toy"}, time_steps={"choices": [2, 3]}, channels={"choices": list(range(1, 60))})
    members = [space.sample(random.Random(i)) for i in range(200)]
    for genotype in members * 2:
        assert space.decode(space.encode(genotype)) == genotype
        for _ in range(2):
            with pytest.raises(NotInSpace, match="time_steps = 4"):
                space.encode(genotype.with_parts(time_steps=4))
    assert space.encode(members[0].with_parts(time_steps=float(members[0].part("time_steps")))) == space.encode(members[0])
    assert [type(value) for name, value in members[0].parts if name == "time_steps"] == [int]


def test_more_parts_than_are_remembered(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nastk.core.cell.cells.REMEMBERED", 3)
    space = build({"name": "toy"}, channels={"choices": list(range(1, 60))})
    for i in range(100):
        genotype = space.sample(random.Random(i))
        assert space.decode(space.encode(genotype)) == genotype


def test_what_is_kept_in_a_genotype_does_not_travel(toy: CellSpace) -> None:
    """Hashes of text differ from process to process: a copy and a pickle find their own."""
    genotype = toy.sample(random.Random(0))
    bare = pickle.dumps(genotype)
    assert hash(genotype) == hash(toy.sample(random.Random(0)))
    assert genotype.digest == toy.sample(random.Random(0)).digest
    assert pickle.dumps(genotype) == bare
    for again in (pickle.loads(bare), copy.deepcopy(genotype), copy.copy(genotype)):
        assert again == genotype
        assert hash(again) == hash(genotype)
        assert again.digest == genotype.digest


def test_sampling_is_fast(build: Any) -> None:
    """Tens of thousands of members a second with their hashes; a tenth of that on a busy machine."""
    space, rng = build({"name": "nas-bench-201"}), random.Random(0)
    start = time.process_time()
    assert len({space.sample(rng) for _ in range(2000)}) > 1500
    assert 2000 / (time.process_time() - start) > 4000


@law
@given(st.data())
def test_derive_is_closed(space: CellSpace, data: st.DataObject) -> None:
    assert space.derive(data.draw(weights(space))) in space


@law
@given(st.data())
def test_derive_undoes_one_hot(space: CellSpace, data: st.DataObject) -> None:
    """Up to the searched parts that a relaxation does not cover: those take their first option."""
    found = data.draw(genotypes(space))
    full = space.full()
    fixed = {name: full.part(name) for name in space.open_parts}
    genotype = evolve(found, parts={**dict(found.parts), **fixed})
    hot = space.one_hot(genotype)
    assert space.derive(hot) == genotype
    for cell, matrix in hot.items():
        if cell != "layers":
            assert matrix.sum() == sum(len(edge.candidates) for edge in genotype.cell(cell).edges)
            assert set(np.unique(matrix)) <= {0.0, 1.0}


@law
@given(st.data())
def test_derive_keeps_the_largest_where_nothing_is_dropped(toy: CellSpace, data: st.DataObject) -> None:
    mixing = data.draw(weights(toy))
    edges, operations = toy.derive(mixing).cell("shared").edges, toy.full().cell("shared").edges[0].candidates
    for edge, row in zip(edges, mixing["shared"], strict=True):
        assert row[operations.index(edge.op)] == row.max()


@law
@given(st.data())
def test_derive_keeps_the_edges_whose_best_operation_weighs_most(build: Any, data: st.DataObject) -> None:
    space = build({"name": "spiking-cells"})
    mixing = data.draw(weights(space))
    full, cell = space.full().cell("normal"), space.derive(mixing).cell("normal")
    column = {op: i for i, op in enumerate(full.edges[0].candidates)}
    row = {(edge.src, edge.dst): mixing["normal"][i] for i, edge in enumerate(full.edges)}
    real = [i for op, i in column.items() if op != NONE]
    for node in full.inner:
        kept = {edge.src: edge for edge in cell.into(node)}
        assert len(kept) == 2
        for edge in kept.values():
            assert row[edge.src, node][column[edge.op]] == row[edge.src, node][real].max()
        dropped = [row[src, node][real].max() for src in range(node) if src not in kept]
        assert min(row[src, node][real].max() for src in kept) >= max(dropped, default=-np.inf)


@law
@given(st.data(), seeds)
def test_mutation_changes_exactly_one_decision(space: CellSpace, data: st.DataObject, seed: int) -> None:
    genotype = data.draw(genotypes(space))
    child = space.mutate(genotype, random.Random(seed))
    assert child in space
    assert distance(space, genotype, child) == 1
    assert child == space.mutate(genotype, random.Random(seed))


@law
@given(st.data(), seeds)
def test_every_decision_of_a_child_comes_from_a_parent(space: CellSpace, data: st.DataObject, seed: int) -> None:
    first, second = data.draw(genotypes(space)), data.draw(genotypes(space))
    child = space.crossover(first, second, random.Random(seed))
    assert child in space
    for mine, a, b in zip(space.encode(child), space.encode(first), space.encode(second), strict=True):
        assert mine in (a, b)


@settings(deadline=None, max_examples=4)
@given(st.data())
def test_neighbours_are_all_members_one_decision_away(space: CellSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    found = list(space.neighbours(genotype))
    assert len(set(found)) == len(found) == sum(len(d.options) - 1 for d in space.decisions)
    assert all(other in space and distance(space, genotype, other) == 1 for other in found)


@law
@given(st.data())
def test_any_member_is_reached_from_any_other(space: CellSpace, data: st.DataObject) -> None:
    """Decision by decision, each step a neighbour."""
    here, there = data.draw(genotypes(space)), data.draw(genotypes(space))
    target = space.encode(there)
    steps = distance(space, here, there)
    for i, option in enumerate(target):
        choice = space.encode(here)
        if choice[i] != option:
            here = space.decode([*choice[:i], option, *choice[i + 1 :]])
            steps -= 1
    assert (here, steps) == (there, 0)


def test_a_walk_over_neighbours_visits_the_whole_toy_space(toy: CellSpace) -> None:
    start = toy.decode([0] * len(toy.decisions))
    seen, edge = {start}, [start]
    while edge:
        edge = [g for here in edge for g in toy.neighbours(here) if not (g in seen or seen.add(g))]  # type: ignore[func-returns-value]
    assert len(seen) == toy.size == 4**3


def test_mutations_and_samples_visit_the_whole_toy_space(toy: CellSpace) -> None:
    rng = random.Random(0)
    assert {toy.sample(rng) for _ in range(1500)} == (seen := {toy.mutate(toy.sample(rng), rng) for _ in range(1500)})
    assert len(seen) == toy.size


@law
@given(seeds)
def test_samples_are_members(space: CellSpace, seed: int) -> None:
    genotype = space.sample(random.Random(seed))
    assert genotype in space
    assert genotype == space.sample(random.Random(seed))


def test_a_space_of_one_member_mutates_to_itself(build: Any) -> None:
    space = build({"name": "toy", "operations": ["conv_3x3"]})
    (only,) = {space.sample(random.Random(i)) for i in range(3)}
    assert space.size == 1
    assert space.mutate(only, random.Random(0)) == only
    assert list(space.neighbours(only)) == []


def test_sizes_by_arithmetic(build: Any) -> None:
    """A node with n predecessors keeps 2 of them, each with one of 4 operations: (n choose 2) * 16."""
    one = (1 * 16) * (3 * 16) * (6 * 16) * (10 * 16)
    assert build({"name": "spiking-cells"}).size == one**2
    assert build({"name": "spiking-cells", "sharing": "shared"}).size == one
    assert build({"name": "spiking-cells", "sharing": "per_cell"}).size == one**3
    assert build({"name": "spiking-cells", "layer_level": "searched"}).size == one**2 * 4
    assert build({"name": "darts-cells"}).size == (7**8 * 180) ** 2


def changed(genotype: Genotype, cell: str, *edges: Edge, **frame: Any) -> Genotype:
    return evolve(genotype, cells={**dict(genotype.cells), cell: evolve(genotype.cell(cell), edges=edges, **frame)})


def test_strangers_are_refused_with_the_reason(build: Any) -> None:
    space = build({"name": "spiking-cells"})
    member = space.decode([0] * len(space.decisions))
    edges = member.cell("normal").edges
    missing = evolve(member, parts={k: v for k, v in member.parts if k != "time_steps"})
    tiny = Cell(2, [Edge(0, 2, "conv_3x3"), Edge(1, 2, "conv_3x3")], (2,))
    for stranger, message in [
        (evolve(member, space="toy"), "is of the space 'toy', not of 'spiking-cells'"),
        (evolve(member, cells={"normal": member.cell("normal")}), "has the cells normal; 'spiking-cells' has normal, reduce"),
        (changed(member, "normal", evolve(edges[0], op="conv_9x9"), *edges[1:]), "'normal': edge 0->2 has the operation 'conv_9"),
        (changed(member, "reduce", evolve(edges[0], op=NONE), *edges[1:]), "'reduce': edge 0->2 has the operation 'none'"),
        (changed(member, "normal", *edges[1:]), r"node 2 has arrivals from \[1\], the space wants 2"),
        (changed(member, "normal", *edges, Edge(2, 3, "conv_3x3")), r"node 3 has arrivals from \[0, 1, 2\]"),
        (evolve(member, cells={**dict(member.cells), "normal": tiny}), "has 2 inputs, 3 nodes .* the space has 2, 6"),
        (changed(member, "normal", *edges, outputs=(2, 3, 5)), r"outputs \[2, 3, 5\]"),
        (member.with_parts(time_steps=7), "it has time_steps = 7, the space time_steps = 2"),
        (member.with_parts(neuron="if"), "it has neuron = 'if'"),
        (member.with_parts(neuron__v_th=3.0), "neuron.v_th = 3.0"),
        (member.with_parts(layers="000"), "layers = '000'"),
        (member.with_parts(colour="red"), "it has a part 'colour'"),
        (missing, "it has no time_steps"),
    ]:
        assert stranger not in space
        with pytest.raises(NotInSpace, match=message):
            space.encode(stranger)
    assert "a string" not in space


def test_strangers_of_a_space_that_keeps_every_edge(toy: CellSpace) -> None:
    member = toy.decode([0] * len(toy.decisions))
    edges = member.cell("shared").edges
    with pytest.raises(NotInSpace, match="edges differ from the space's"):
        toy.encode(changed(member, "shared", *edges[1:]))
    with pytest.raises(NotInSpace, match="'conv_9x9'; the space has none, skip_connect"):
        toy.encode(changed(member, "shared", evolve(edges[0], op="conv_9x9"), *edges[1:]))


@pytest.mark.parametrize("operations", [[], ["none"], ["skip_connect", "skip_connect"], ["skip_connect|conv_3x3"]])
def test_candidates_that_are_no_search_are_refused(build: Any, operations: list[str]) -> None:
    with pytest.raises(ConfigError, match="distinct names"):
        build({"name": "toy", "operations": operations})


def test_attention_can_be_a_candidate(build: Any) -> None:
    space = build({"name": "toy", "model": {"attention": "cbam", "attention_location": "candidate"}})
    assert space.full().cell("shared").edges[0].candidates[-1] == "attention"
    with pytest.raises(ConfigError, match="'none' cannot be a candidate"):
        build({"name": "toy", "model": {"attention_location": "candidate"}})


def test_the_number_of_cells_must_be_fixed_where_cells_are_numbered(build: Any) -> None:
    for setting in ({"sharing": "per_cell"}, {"layer_level": "searched"}):
        with pytest.raises(ConfigError, match=r"model\.cells: must be fixed"):
            build({"name": "spiking-cells", "model": {"cells": {"choices": [3, 4]}}, **setting})


# The layer level


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.integers(0, 2**32))
def test_the_best_path_is_the_best_of_all(layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    moves = rng.random((layers - 1, SCALES, 2)) * (rng.random((layers - 1, SCALES, 2)) < 0.9)  # some exact zeros

    def product(path: str) -> float:
        scales = list(map(int, path))
        return float(np.prod([moves[i, a, b - a] for i, (a, b) in enumerate(pairwise(scales))]))

    found = best_path(moves)
    assert found in paths(layers)
    assert product(found) == pytest.approx(max(map(product, paths(layers))), rel=1e-12)


def test_ties_keep_the_scale() -> None:
    assert best_path(np.ones((5, SCALES, 2))) == "000000"


@pytest.mark.parametrize("layers", range(1, 8))
def test_paths_are_all_there_and_are_their_own_best(layers: int) -> None:
    found = paths(layers)
    brute = {
        path
        for path in map("".join, _strings(layers))
        if path[0] == "0" and all(int(b) - int(a) in (KEEP, DOWN) for a, b in pairwise(path))
    }
    assert set(found) == brute
    assert len(set(found)) == len(found)
    assert [best_path(one_hot_path(path)) for path in found] == list(found)


def _strings(layers: int) -> list[tuple[str, ...]]:
    strings: list[tuple[str, ...]] = [()]
    for _ in range(layers):
        strings = [(*s, str(scale)) for s in strings for scale in range(SCALES)]
    return strings


def test_the_fixed_path_reduces_at_the_thirds() -> None:
    assert fixed_path(20) == "0" * 6 + "1" * 7 + "2" * 7
    assert fixed_path(8) == "00111222"
    assert fixed_path(3) == "012"
