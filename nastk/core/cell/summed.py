"""A wiring whose edges keep several operations at once, and the wirings by name. Torch-free.

An edge ``"skip_connect|conv_3x3"`` of a member computes the sum of its operations: the mixture of the supernet with every
weight 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from nastk.core.cell.graph import NONE, Cell, Edge
from nastk.core.cell.space import Choice, Decision
from nastk.core.cell.wiring import TopEdges, Wiring, edges_by_target
from nastk.core.errors import NotInSpace

WiringName = Literal["sparse", "edge", "complete"]
"""What a member keeps: ``degree`` edges a node with one operation; every edge, up to two; every edge, any number."""
HALF = 0.5


@frozen
class SummedEdges(Wiring):
    """Every edge stays and takes any set of at most ``most`` operations, which are summed; the empty set is ``none``.

    Derivation: the heaviest operations of an edge that weigh more than a half, where each is weighted by itself (a sigmoid);
    a node that would get nothing takes its heaviest one. After the parsers ``edge`` and ``complete`` of D-DARTS
    (Heuillet et al., arXiv 2108.09306), whose threshold is a strategy's here; that no node is left without arrivals is ours.
    """

    most: int

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """What an edge can be, fewest operations first; operations in the order of the full cell."""
        plain = [op for op in self.operations if op != NONE]
        return (NONE, *("|".join(ops) for n in range(1, min(self.most, len(plain)) + 1) for ops in combinations(plain, n)))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {op: number for number, op in enumerate(self.sums)}

    def decisions(self, prefix: str) -> tuple[Decision, ...]:
        return tuple(Decision(f"{prefix}.{e.src}-{e.dst}", self.sums) for e in self.full.edges)

    def decode(self, choice: Sequence[int]) -> Cell:
        edges = [Edge(e.src, e.dst, self.sums[number]) for e, number in zip(self.full.edges, choice, strict=True)]
        return Cell(self.full.inputs, edges, self.full.outputs)

    def encode(self, cell: Cell) -> Choice:
        if (cell.inputs, cell.outputs) != (self.full.inputs, self.full.outputs):
            raise NotInSpace("the cell's inputs or outputs differ from the space's")
        if [(e.src, e.dst) for e in cell.edges] != [(e.src, e.dst) for e in self.full.edges]:
            raise NotInSpace("the cell's edges differ from the space's, which keeps every edge")
        for edge in cell.edges:
            if edge.op not in self._numbers:
                raise NotInSpace(f"edge {edge.src}->{edge.dst} has {edge.op!r}, no sum of at most {self.most} of the operations")
        return tuple(self._numbers[edge.op] for edge in cell.edges)

    def derive(self, weights_EO: NDArray[Any]) -> Cell:
        kept = {row: self._over_half(weights_EO[row]) for row in range(len(self.full.edges))}
        plain = [i for i, op in enumerate(self.operations) if op != NONE]
        for rows in edges_by_target(self.full):
            if not any(kept[row] for row, _ in rows):
                row, best = max(((row, i) for row, _ in rows for i in plain), key=lambda place: float(weights_EO[place]))
                kept[row] = [best] if weights_EO[row, best] > 0 else []
        edges = [evolve(e, op="|".join(e.candidates[i] for i in kept[row]) or NONE) for row, e in enumerate(self.full.edges)]
        return evolve(self.full, edges=edges)

    def _over_half(self, weights_O: NDArray[Any]) -> list[int]:
        """The heaviest operations above a half, in the order of the full cell; the earlier one at a tie."""
        over = [i for i, op in enumerate(self.operations) if op != NONE and weights_O[i] > HALF]
        return sorted(sorted(over, key=lambda i: (-weights_O[i], i))[: self.most])

    def one_hot(self, cell: Cell) -> NDArray[Any]:
        held = {(edge.src, edge.dst): edge.candidates for edge in cell.edges}
        return np.array([[float(op in held[e.src, e.dst]) for op in e.candidates] for e in self.full.edges])


def wired(name: WiringName, full: Cell, degree: int, ranking: tuple[str, ...] = ()) -> Wiring:
    """The wiring of this name; ``degree`` and ``ranking`` are those of :class:`TopEdges` and count for ``sparse``."""
    if name == "sparse":
        return TopEdges(full, degree, ranking)
    return SummedEdges(full, 2 if name == "edge" else len(full.edges[0].candidates))
