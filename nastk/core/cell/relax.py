"""The relaxation: the same fold with every edge a mixture. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from attrs import evolve, frozen

from nastk.core.cell.graph import NONE, Algebra, Cell, Edge

V = TypeVar("V")
Weights = Mapping[tuple[int, int], Sequence[Any]]


class Mixable(Algebra[V], Protocol[V]):
    """An algebra whose values can be mixed."""

    def mix(self, edge: Edge, weighted: Sequence[tuple[Any, V]]) -> V:
        """The weighted sum of the candidates' contributions; never empty."""


def rows(cell: Cell, weights_EO: Sequence[Sequence[Any]]) -> Weights:
    """The mixing weights of each edge of a full cell, by (source, target)."""
    return {(edge.src, edge.dst): row for edge, row in zip(cell.edges, weights_EO, strict=True)}


@frozen
class Mixed(Algebra[V]):
    """Turns an algebra of plain edges into one of mixtures: ``sum_o w_o op_o(x)``; ``none`` adds nothing and is not computed."""

    inner: Mixable[V]
    weights: Weights

    def apply(self, edge: Edge, value: V) -> V:
        pairs = zip(self.weights[edge.src, edge.dst], edge.candidates, strict=True)
        return self.inner.mix(edge, [(w, self.inner.apply(evolve(edge, op=op), value)) for w, op in pairs if op != NONE])

    def arrive(self, edge: Edge, value: V) -> V:
        return self.inner.arrive(edge, value)

    def join(self, node: int, arrivals: Sequence[V]) -> V:
        return self.inner.join(node, arrivals)

    def output(self, values: Sequence[V]) -> V:
        return self.inner.output(values)
