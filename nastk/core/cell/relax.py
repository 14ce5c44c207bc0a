"""The relaxation: the same fold with every edge a mixture. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from attrs import evolve, field, frozen

from nastk.core.cell.graph import NONE, Algebra, Cell, Edge

V = TypeVar("V")
Weights = Mapping[tuple[int, int], Iterable[Any]]


class Mixable(Algebra[V], Protocol[V]):
    """An algebra whose values can be mixed."""

    def mix(self, edge: Edge, weighted: Sequence[tuple[Any, V]]) -> V:
        """The weighted sum of the candidates' contributions; never empty."""


def rows(cell: Cell, weights_EO: Iterable[Any] | None) -> Weights:
    """The mixing weights of each edge of a full cell, by (source, target); nothing from nothing."""
    if weights_EO is None:
        return {}
    return {(edge.src, edge.dst): row for edge, row in zip(cell.edges, weights_EO, strict=True)}


def attended(inner: Mixable[V], edge: Edge, weights_A: Iterable[Any] | None, value: V) -> V:
    """What arrives through a mixture of attentions, ``sum_a w_a A_a(x)``; without weights, through the edge's one."""
    if weights_A is None and len(edge.attentions) > 1:
        raise ValueError(f"the edge {edge.src}->{edge.dst} chooses among attentions, which has no meaning without weights")
    if weights_A is None:
        return inner.arrive(edge, value)
    pairs = zip(weights_A, edge.attentions, strict=True)
    return inner.mix(edge, [(weight, inner.arrive(evolve(edge, attention=name), value)) for weight, name in pairs])


@frozen
class Mixed(Algebra[V]):
    """Turns an algebra of plain edges into one of mixtures: ``sum_o w_o op_o(x)``; ``none`` adds nothing and is not computed.

    ``attention`` are the weights of each edge's attentions, where the edges choose.
    """

    inner: Mixable[V]
    weights: Weights
    attention: Weights = field(factory=dict)

    def apply(self, edge: Edge, value: V) -> V:
        pairs = zip(self.weights[edge.src, edge.dst], edge.candidates, strict=True)
        return self.inner.mix(edge, [(w, self.inner.apply(evolve(edge, op=op), value)) for w, op in pairs if op != NONE])

    def arrive(self, edge: Edge, value: V) -> V:
        return attended(self.inner, edge, self.attention.get((edge.src, edge.dst)), value)

    def join(self, node: int, arrivals: Sequence[V]) -> V:
        return self.inner.join(node, arrivals)

    def output(self, values: Sequence[V]) -> V:
        return self.inner.output(values)
