"""How a cell is wired: which of the full cell's edges a member keeps. Torch-free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from nastk.core.cell.graph import NONE, Cell, Edge
from nastk.core.cell.space import Choice, Decision
from nastk.core.errors import NotInSpace


@frozen
class Wiring(ABC):
    """The members of one full cell, as decisions."""

    full: Cell

    @property
    def operations(self) -> tuple[str, ...]:
        """The candidates of every edge."""
        return self.full.edges[0].candidates

    @abstractmethod
    def decisions(self, prefix: str) -> tuple[Decision, ...]:
        """The decisions of one cell; ``prefix`` is the cell's name."""

    @abstractmethod
    def decode(self, choice: Sequence[int]) -> Cell:
        """The cell of a choice."""

    @abstractmethod
    def encode(self, cell: Cell) -> Choice:
        """The choice of a cell; raises :class:`NotInSpace`."""

    @abstractmethod
    def derive(self, weights_EO: NDArray[Any]) -> Cell:
        """The cell that the mixing weights stand for."""

    def one_hot(self, cell: Cell) -> NDArray[Any]:
        """``(E, O)``: one where the cell's operations are, zero elsewhere."""
        ops = {(edge.src, edge.dst): edge.op for edge in cell.edges}
        rows = [[float(ops.get((e.src, e.dst)) == op) for op in e.candidates] for e in self.full.edges]
        return np.array(rows)


def full_cell(inputs: int, nodes: int, operations: Sequence[str], outputs: Sequence[int]) -> Cell:
    """Every edge from every earlier node, each a mixture of all operations."""
    mixture = "|".join(operations)
    edges = [Edge(src, dst, mixture) for dst in range(inputs, inputs + nodes) for src in range(dst)]
    return Cell(inputs, edges, outputs)


def edges_by_target(cell: Cell) -> list[list[tuple[int, Edge]]]:
    """For each inner node, its incoming edges with their row in the weights."""
    rows = list(enumerate(cell.edges))
    return [[(row, edge) for row, edge in rows if edge.dst == node] for node in cell.inner]


@frozen
class TopEdges(Wiring):
    """Each node keeps ``degree`` incoming edges (all, where it has fewer), each with one operation that is not ``none``.

    Derivation as in DARTS (Liu et al. 2019, section 2.4): a node keeps the edges whose best operation weighs most.
    ``ranking`` are the operations that count in that comparison; by default all but ``none``. SpikeDHS leaves out its
    first one, a skip: it can win an edge but not earn it.
    """

    degree: int = 2
    ranking: tuple[str, ...] = field(default=())

    @property
    def chosen_from(self) -> tuple[str, ...]:
        """The operations a kept edge can have."""
        return tuple(op for op in self.operations if op != NONE)

    def _sources(self, node: int) -> tuple[tuple[int, ...], ...]:
        return tuple(combinations(range(node), min(self.degree, node)))

    def decisions(self, prefix: str) -> tuple[Decision, ...]:
        found: list[Decision] = []
        for node in self.full.inner:
            found.append(Decision(f"{prefix}.{node}.from", self._sources(node)))
            found += [Decision(f"{prefix}.{node}.op{i}", self.chosen_from) for i in range(min(self.degree, node))]
        return tuple(found)

    def decode(self, choice: Sequence[int]) -> Cell:
        numbers = iter(choice)
        operations = self.chosen_from
        edges = [
            Edge(src, node, operations[next(numbers)]) for node in self.full.inner for src in self._sources(node)[next(numbers)]
        ]
        return Cell(self.full.inputs, edges, self.full.outputs)

    def encode(self, cell: Cell) -> Choice:
        _same_frame(cell, self.full)
        choice: list[int] = []
        operations = self.chosen_from
        for node in self.full.inner:
            into = cell.into(node)
            sources, possible = tuple(edge.src for edge in into), self._sources(node)
            if sources not in possible:
                wanted = min(self.degree, node)
                raise NotInSpace(f"node {node} has arrivals from {list(sources)}, the space wants {wanted} distinct ones")
            choice.append(possible.index(sources))
            choice += [_operation_number(edge, operations) for edge in into]
        return tuple(choice)

    def derive(self, weights_EO: NDArray[Any]) -> Cell:
        allowed = [self.operations.index(op) for op in self.chosen_from]
        ranked = [self.operations.index(op) for op in self.ranking or self.chosen_from]
        kept: list[Edge] = []
        for rows in edges_by_target(self.full):
            # At a tie the best of all operations decides, so that one-hot weights of a skip give back its edge.
            strength = {row: (-weights_EO[row, ranked].max(), -weights_EO[row, allowed].max(), row) for row, _ in rows}
            for row, edge in sorted(rows, key=lambda pair: strength[pair[0]])[: self.degree]:
                best = allowed[int(np.argmax(weights_EO[row, allowed]))]
                kept.append(Edge(edge.src, edge.dst, self.operations[best]))
        return evolve(self.full, edges=kept)


@frozen
class EveryEdge(Wiring):
    """Every edge stays and takes one of all operations, ``none`` among them (NAS-Bench-201). Derivation: the arg max."""

    def decisions(self, prefix: str) -> tuple[Decision, ...]:
        return tuple(Decision(f"{prefix}.{e.src}-{e.dst}", e.candidates) for e in self.full.edges)

    def decode(self, choice: Sequence[int]) -> Cell:
        edges = [options[number] for options, number in zip(self._plain, choice, strict=True)]
        return Cell(self.full.inputs, edges, self.full.outputs)

    @cached_property
    def _plain(self) -> tuple[tuple[Edge, ...], ...]:
        """Each edge with each of its candidates; made once, as edges never change."""
        return tuple(tuple(Edge(edge.src, edge.dst, op) for op in edge.candidates) for edge in self.full.edges)

    def encode(self, cell: Cell) -> Choice:
        _same_frame(cell, self.full)
        if [(e.src, e.dst) for e in cell.edges] != [(e.src, e.dst) for e in self.full.edges]:
            raise NotInSpace("the cell's edges differ from the space's, which keeps every edge")
        operations = self.operations
        return tuple([_operation_number(edge, operations) for edge in cell.edges])

    def derive(self, weights_EO: NDArray[Any]) -> Cell:
        return self.decode([int(np.argmax(row)) for row in weights_EO])


def _same_frame(cell: Cell, full: Cell) -> None:
    if (cell.inputs, cell.outputs) != (full.inputs, full.outputs) or cell.nodes != full.nodes:
        raise NotInSpace(
            f"the cell has {cell.inputs} inputs, {cell.nodes} nodes and outputs {list(cell.outputs)}; "
            f"the space has {full.inputs}, {full.nodes} and {list(full.outputs)}"
        )


def _operation_number(edge: Edge, operations: Sequence[str]) -> int:
    if edge.op not in operations:
        raise NotInSpace(f"edge {edge.src}->{edge.dst} has the operation {edge.op!r}; the space has {', '.join(operations)}")
    return operations.index(edge.op)
