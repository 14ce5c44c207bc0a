"""What a cell means, in whole numbers: the fold, its relaxation, its canonical form, and how it is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import MOST_NODES, NONE, Cell, Edge, Genotype, canonical, fold
from nastk.core.cell.relax import Mixed, rows
from nastk.core.errors import SchemaError
from nastk.testing import cells, genotypes

law = settings(deadline=None, max_examples=60)
PRIME = 2**61 - 1


@frozen
class Ints:
    """Whole numbers: each operation another map (not zero at zero, as one with a bias), arrivals and outputs in order.

    With ``numbered`` the maps depend on node numbers too, so that edges cannot be taken for one another.
    """

    numbered: bool = True

    def apply(self, edge: Edge, value: int) -> int:
        if edge.op == NONE:
            return 0
        number = crc32(edge.op.encode()) + (1009 * edge.src + 10007 * edge.dst if self.numbered else 0)
        return (number * value + number // 7) % PRIME

    def arrive(self, edge: Edge, value: int) -> int:
        return value * (3 + edge.src if self.numbered else 3) % PRIME  # zero stays zero

    def join(self, node: int, arrivals: Sequence[int]) -> int:
        total = sum(arrivals) + (node if self.numbered else 0)
        return (total * total + 5) % PRIME

    def output(self, values: Sequence[int]) -> int:
        total = 0
        for value in values:
            total = (total * 31 + value) % PRIME
        return total

    def mix(self, edge: Edge, weighted: Sequence[tuple[Any, int]]) -> int:
        del edge
        return sum(int(weight) * value for weight, value in weighted) % PRIME


def start(cell: Cell) -> list[int]:
    return [101 + 17 * i for i in range(cell.inputs)]


def alive(cell: Cell) -> set[int]:
    """The nodes from which an output can be reached without a ``none`` edge."""
    found = set(cell.outputs)
    while more := {e.src for e in cell.edges if e.op != NONE and e.dst in found} - found:
        found |= more
    return found


def spread(cell: Cell, gaps: Sequence[int]) -> Cell:
    """The same cell with dead nodes put before each inner node, fed by input 0."""
    rename = {i: i for i in range(cell.inputs)}
    edges, at = [], cell.inputs
    for node, gap in zip(cell.inner, gaps, strict=False):
        edges += [Edge(0, at + i, "conv_3x3") for i in range(gap)]
        at += gap
        rename[node] = at
        at += 1
    edges += [Edge(rename[e.src], rename[e.dst], e.op) for e in cell.edges]
    return Cell(cell.inputs, edges, tuple(rename[node] for node in cell.outputs))


@law
@given(st.data())
def test_a_relaxed_cell_at_one_hot_weights_means_the_discrete_cell(space: CellSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    hot = space.one_hot(genotype)
    for name, full in space.full().cells:
        cell = genotype.cell(name)
        mixed: Mixed[int] = Mixed(Ints(), rows(full, hot[name].tolist()))
        summed: Mixed[int] = Mixed(Ints(), {(e.src, e.dst): [1] * len(e.candidates) for e in cell.edges})
        assert fold(full, mixed, start(full)) == fold(cell, summed, start(cell))


@law
@given(cells())
def test_the_integers_tell_operations_apart(cell: Cell) -> None:
    """The algebra of these tests is no constant: another operation on an edge that matters gives another number."""
    for i, edge in enumerate(cell.edges):
        if edge.op != NONE and edge.dst in alive(cell):
            other = Cell(cell.inputs, [*cell.edges[:i], Edge(edge.src, edge.dst, "other"), *cell.edges[i + 1 :]], cell.outputs)
            assert fold(other, Ints(), start(cell)) != fold(cell, Ints(), start(cell))


@law
@given(cells(nodes=6))
def test_canonical_is_idempotent_and_keeps_the_meaning(cell: Cell) -> None:
    reduced = canonical(cell)
    assert canonical(reduced) == reduced
    assert fold(reduced, Ints(numbered=False), start(cell)) == fold(cell, Ints(numbered=False), start(cell))


@law
@given(cells(nodes=6))
def test_canonical_takes_away_none_edges_and_dead_nodes_only(cell: Cell) -> None:
    living = alive(cell)
    kept = [e for e in cell.edges if e.op != NONE and e.dst in living]
    order = sorted(living | set(range(cell.inputs)))
    reduced = canonical(cell)
    assert [(order[e.src], order[e.dst], e.op) for e in reduced.edges] == [(e.src, e.dst, e.op) for e in kept]
    assert [order[node] for node in reduced.outputs] == list(cell.outputs)
    assert reduced.inputs == cell.inputs


@law
@given(cells(), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_dead_nodes_between_do_not_change_the_digest(cell: Cell, gaps: list[int]) -> None:
    wide = spread(cell, gaps)
    assert Genotype("s", {"a": wide}, {}).digest == Genotype("s", {"a": cell}, {}).digest
    if sum(gaps[: len(cell.inner)]):
        assert canonical(wide) != wide


@law
@given(cells(), cells())
def test_the_digest_tells_cells_apart(first: Cell, second: Cell) -> None:
    a, b = (Genotype("s", {"a": cell}, {"t": 1}) for cell in (first, second))
    assert (a.digest == b.digest) == (canonical(first) == canonical(second))
    assert a.digest != a.with_parts(t=2).digest


@law
@given(st.data())
def test_a_genotype_survives_json(space: CellSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    again = Genotype.from_json(genotype.to_json())
    assert again == genotype
    assert again.digest == genotype.digest == json.loads(genotype.to_json())["digest"]


@law
@given(cells(nodes=6), st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False)))
def test_any_cell_and_parts_survive_json(cell: Cell, parts: dict[str, Any]) -> None:
    genotype = Genotype("any", {"a": cell}, parts)
    assert Genotype.from_json(genotype.to_json()) == genotype


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_the_digest_is_the_same_in_another_process(build: Any, seed: str) -> None:
    genotype = build({"name": "spiking-cells"}).decode([0] * len(build({"name": "spiking-cells"}).decisions))
    program = "import sys; from nastk.core.cell.graph import Genotype; print(Genotype.from_json(sys.stdin.read()).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", program], input=genotype.to_json(), env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == genotype.digest


GOOD = Genotype("s", {"a": Cell(1, [Edge(0, 1, "skip_connect")], (1,))}, {"t": 1})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def damaged(path: Sequence[Any], value: Any) -> str:
    document = json.loads(GOOD.to_json())
    del document["digest"]
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], 2, "schema 2, this nastk reads 1"),
        (["digest"], "0" * 16, "damaged: its digest is '0000000000000000'"),
        (["space"], 3, "expected text, got 3"),
        (["cells"], [], "no genotype"),
        (["cells", "a"], {}, "no genotype.*edges"),
        (["cells", "a", "inputs"], 0, "at least one input"),
        (["cells", "a", "inputs"], True, "expected a whole number, got True"),
        (["cells", "a"], {"inputs": 10**12, "edges": [], "outputs": [0]}, "at most 10000 nodes"),
        (["cells", "a", "outputs"], [], "at least one input and one output"),
        (["cells", "a", "outputs"], [-1], "0 or above"),
        (["cells", "a", "outputs"], [10**9], "at most 10000 nodes"),
        (["cells", "a", "edges"], [[0, 10**9, "skip_connect"]], "at most 10000 nodes"),
        (["cells", "a", "edges"], [[1, 1, "skip_connect"]], "from a lower to a higher"),
        (["cells", "a", "edges"], [[0, 1.5, "skip_connect"]], "expected a whole number, got 1.5"),
        (["cells", "a", "edges"], [[0, 1]], "no genotype"),
        (["cells", "a", "edges"], [[0, 1, 3]], "expected text, got 3"),
        (["cells", "a", "edges"], [[0, 1, "conv_1x1"], [0, 1, "skip_connect"]], "at most one edge"),
        (["parts"], [["t", 1]], "no genotype"),
        (["parts", "t"], None, "part 't' has the value None"),
        (["parts", "t"], [1], "part 't'"),
    ],
)
def test_a_damaged_document_is_refused_by_name(path: list[Any], value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=f"^found.json .*{message}"):
        Genotype.from_json(damaged(path, value), "found.json")


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '"schema"', "{}", "[" * 100_000, '{"schema": 1}', "1" * 5000])
def test_what_is_no_genotype_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match=r"found\.json is no genotype"):
        Genotype.from_json(text, "found.json")


@settings(deadline=None, max_examples=150)
@given(st.text() | json_values.map(json.dumps))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        Genotype.from_json(text)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["space", "cells", "parts", "digest", "cells/a", "cells/a/edges", "parts/t"]), json_values)
def test_garbage_inside_a_genotype_is_read_or_refused(path: str, value: Any) -> None:
    """Never another error: what is read survives being written."""
    try:
        genotype = Genotype.from_json(damaged(path.split("/"), value))
    except SchemaError:
        return
    assert Genotype.from_json(genotype.to_json()).digest == genotype.digest


def test_the_largest_cell_that_is_read() -> None:
    assert Genotype.from_json(damaged(["cells", "a", "outputs"], [MOST_NODES - 1])).cell("a").nodes == MOST_NODES
    with pytest.raises(SchemaError):
        Genotype.from_json(damaged(["cells", "a", "outputs"], [MOST_NODES]))


def test_fold_wants_a_value_for_each_input() -> None:
    with pytest.raises(ValueError, match="1 inputs, 2 values"):
        fold(GOOD.cell("a"), Ints(), [1, 2])
