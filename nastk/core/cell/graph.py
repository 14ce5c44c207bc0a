"""A cell is a small frozen graph, and its meaning is one fold. Torch-free.

Tensors, shapes, costs, pictures and test integers are algebras passed to :func:`fold`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from attrs import evolve, field, frozen

from nastk.core.errors import SchemaError
from nastk.core.types import Pairs, Scalar

SCHEMA = 1
NONE = "none"
MOST_NODES = 10_000
"""Nodes of a cell that is read from a document: a number above is damage, and would only fill the memory."""
V = TypeVar("V")
_PLACE = attrgetter("src", "dst", "op")
_JSON = json.JSONEncoder(sort_keys=True)


@frozen(order=True, cache_hash=True)
class Edge:
    """``op`` carries the value of node ``src`` to node ``dst``; ``src < dst``, so every cell is acyclic.

    In a relaxed cell ``op`` is a mixture, written with bars: ``"none|skip_connect|conv_3x3"``. ``attention`` is the edge's
    own where every edge chooses one, a mixture in a relaxed cell; else the parts of the genotype say what stands there.
    """

    src: int
    dst: int
    op: str
    attention: str = NONE

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.src < self.dst:
            raise SchemaError(f"Edge {self.src}->{self.dst} ({self.op}): an edge must go from a lower to a higher node.")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The operations of a mixture; the one operation of a plain edge."""
        return tuple(self.op.split("|"))

    @property
    def attentions(self) -> tuple[str, ...]:
        """The attentions of a mixture; the one attention of a plain edge."""
        return tuple(self.attention.split("|"))

    @property
    def label(self) -> str:
        """The operation, and the attention where the edge has one of its own: ``"conv_3x3+se"``."""
        return self.op if self.attention == NONE else f"{self.op}+{self.attention}"

    def to_list(self) -> list[Any]:
        """``[src, dst, op]``, and the attention where the edge has one of its own."""
        return [self.src, self.dst, self.op] if self.attention == NONE else [self.src, self.dst, self.op, self.attention]


def _sorted_edges(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    # By a key: comparing two edges takes longer than all else that is done to a cell.
    return tuple(sorted(edges, key=_PLACE))


def _in_order(nodes: Iterable[int]) -> tuple[int, ...]:
    return tuple(nodes)


@frozen(cache_hash=True)
class Cell:
    """Nodes ``0 .. inputs-1`` are given, every later node joins its arrivals, ``outputs`` leave the cell in order."""

    inputs: int
    edges: tuple[Edge, ...] = field(converter=_sorted_edges)
    outputs: tuple[int, ...] = field(converter=_in_order)

    def __attrs_post_init__(self) -> None:
        if self.inputs < 1 or not self.outputs:
            raise SchemaError("A cell needs at least one input and one output.")
        places = {(edge.dst, edge.src) for edge in self.edges}
        if places and min(places)[0] < self.inputs:
            raise SchemaError("An edge must not end in an input of the cell.")
        if min(self.outputs) < 0:
            raise SchemaError("A cell's outputs are node numbers, 0 or above.")
        if len(places) < len(self.edges):
            raise SchemaError("A cell has at most one edge from one node to another.")

    @property
    def nodes(self) -> int:
        """Number of nodes, inputs included."""
        return 1 + max([self.inputs - 1, *self.outputs, *[edge.dst for edge in self.edges]])

    @property
    def inner(self) -> range:
        """The nodes that join arrivals."""
        return range(self.inputs, self.nodes)

    def into(self, node: int) -> tuple[Edge, ...]:
        """The edges that end in a node, in order."""
        return tuple(edge for edge in self.edges if edge.dst == node)


class Algebra(Protocol[V]):
    """What the parts of a cell mean in one domain."""

    def apply(self, edge: Edge, value: V) -> V:
        """The contribution of the edge's operation to its target."""

    def arrive(self, edge: Edge, value: V) -> V:
        """What the edge does to its contribution as a whole (attention); often the identity."""

    def join(self, node: int, arrivals: Sequence[V]) -> V:
        """The value of a node; ``arrivals`` may be empty."""

    def output(self, values: Sequence[V]) -> V:
        """The value of the cell from the values of its outputs."""


def fold(cell: Cell, algebra: Algebra[V], inputs: Sequence[V]) -> V:
    """The meaning of a cell in an algebra. ``inputs`` has one value for each input node."""
    if len(inputs) != cell.inputs:
        raise ValueError(f"the cell has {cell.inputs} inputs, {len(inputs)} values were given")
    values = list(inputs)
    for node in cell.inner:
        arrivals = [algebra.arrive(e, algebra.apply(e, values[e.src])) for e in cell.into(node)]
        values.append(algebra.join(node, arrivals))
    return algebra.output([values[node] for node in cell.outputs])


def canonical(cell: Cell) -> Cell:
    """The same meaning without what cannot matter: ``none`` edges and nodes that reach no output; order kept.

    A node without arrivals stays: an operation with a bias turns its zero into something.
    """
    return _cell_from_dict(_canonical_dict(cell))


def _canonical_dict(cell: Cell) -> dict[str, Any]:
    edges = [edge.to_list() for edge in cell.edges if edge.op != NONE]
    sources: dict[int, list[int]] = {}
    for src, dst, *_ in edges:
        sources.setdefault(dst, []).append(src)
    alive, found = {*range(cell.inputs)}, [*cell.outputs]
    while found:
        node = found.pop()
        if node not in alive:
            alive.add(node)
            found += sources.get(node, ())
    rename = {old: new for new, old in enumerate(sorted(alive))}
    kept = [[rename[src], rename[dst], *what] for src, dst, *what in edges if dst in alive]
    return {"inputs": cell.inputs, "edges": kept, "outputs": [rename[node] for node in cell.outputs]}


def _sorted_pairs(pairs: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(dict(pairs).items()))


@frozen(cache_hash=True)
class Genotype:
    """A whole architecture: its cells, and in ``parts`` all that is not topology (neuron, attention, time steps, widths).

    Complete: a network can be built from it without the space it came from. Hashable; ``cells`` and ``parts`` accept
    mappings or pairs and are kept sorted.
    """

    space: str
    cells: tuple[tuple[str, Cell], ...] = field(converter=_sorted_pairs)
    parts: Pairs = field(converter=_sorted_pairs)

    def cell(self, name: str) -> Cell:
        """The cell of this name."""
        return dict(self.cells)[name]

    def part(self, name: str, default: Scalar | None = None) -> Scalar:
        """A part's value; ``KeyError`` when it is absent and no default is given."""
        found = dict(self.parts).get(name, default)
        if found is None:
            raise KeyError(name)
        return found

    def section(self, prefix: str) -> dict[str, Scalar]:
        """The parts below a prefix: ``section("neuron")`` of ``neuron.tau`` is ``{"tau": ...}``."""
        return {name.removeprefix(prefix + "."): v for name, v in self.parts if name.startswith(prefix + ".")}

    def with_parts(self, **parts: Scalar) -> Genotype:
        """A copy with some parts replaced; a double underscore in a name stands for a dot."""
        new = {name.replace("__", "."): value for name, value in parts.items()}
        return evolve(self, parts={**dict(self.parts), **new})

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name the architecture: equal for equal canonical cells and parts, in any process."""
        reduced = {name: _canonical_dict(cell) for name, cell in self.cells}
        text = _JSON.encode([self.space, reduced, self.parts])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """A JSON document with the schema version; the inverse of :meth:`from_json`."""
        document = {
            "schema": SCHEMA,
            "space": self.space,
            "digest": self.digest,
            "cells": {name: _cell_to_dict(cell) for name, cell in self.cells},
            "parts": dict(self.parts),
        }
        return json.dumps(document, indent=2) + "\n"

    @staticmethod
    def from_json(text: str, source: str = "the given text") -> Genotype:
        """Read what :meth:`to_json` wrote; ``source`` is named in the :class:`SchemaError` of a bad document."""
        try:
            document = json.loads(text)
            schema = document["schema"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SchemaError(f"{source} is no genotype: {type(error).__name__}: {error}") from error
        if schema != SCHEMA:
            raise SchemaError(f"{source} has genotype schema {schema!r}, this nastk reads {SCHEMA}.")
        try:
            cells = {_text(name): _cell_from_dict(cell) for name, cell in document["cells"].items()}
            genotype: Genotype = Genotype(_text(document["space"]), cells, _checked_parts(document["parts"]))
        except SchemaError as error:
            raise SchemaError(f"{source} is no genotype: {error}") from error
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise SchemaError(f"{source} is no genotype: {type(error).__name__}: {error}") from error
        if document.get("digest", genotype.digest) != genotype.digest:
            stated = document["digest"]
            raise SchemaError(f"{source} is damaged: its digest is {stated!r}, its content gives {genotype.digest!r}.")
        return genotype


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r}")
    return value


def _checked_parts(parts: Any) -> dict[str, Scalar]:
    for name, value in parts.items():
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"part {name!r} has the value {value!r}")
    return dict(parts)


def _cell_to_dict(cell: Cell) -> dict[str, Any]:
    return {"inputs": cell.inputs, "edges": [edge.to_list() for edge in cell.edges], "outputs": list(cell.outputs)}


def _cell_from_dict(document: Any) -> Cell:
    edges = [Edge(_integer(src), _integer(dst), *map(_text, what)) for src, dst, *what in document["edges"]]
    cell = Cell(_integer(document["inputs"]), edges, tuple(_integer(node) for node in document["outputs"]))
    if cell.nodes > MOST_NODES:
        raise SchemaError(f"A cell has at most {MOST_NODES} nodes, this one {cell.nodes}.")
    return cell
