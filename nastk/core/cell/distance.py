"""How far two architectures are apart, from their cells alone (D-DARTS, Heuillet et al., arXiv 2108.09306). Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from nastk.core.cell.graph import NONE, Cell, Genotype
from nastk.core.errors import NastkError

FAR = 1.0
"""The largest distance: of a cell from none, of edges without a common operation where all have weight 1."""
Row = frozenset[str]
"""The operations of one edge."""


def distance(first: Genotype, second: Genotype, weights: Mapping[str, float] | None = None) -> float:
    """The mean over the cells of the two genotypes, in [0, 1]; a cell that only one of them has counts 1.

    Cells are matched by name, and a cell is the set of its edges' operations: where an edge lies does not count, nor do
    parts and attentions. So 0 means the same sets, not the same network. ``weights`` in (0, 1] say how much each
    operation counts; 1 unless given. Symmetric; with the same names of cells also a pseudo-metric. Raises
    :class:`NastkError` for a weight out of range.
    """
    found = distances(first, second, weights)
    return sum(found.values()) / len(found) if found else 0.0


def distances(first: Genotype, second: Genotype, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """:func:`distance` of each cell by name: the symmetric Hausdorff distance of the two sets of edges."""
    weights = weights or {}
    for op, weight in weights.items():
        if not 0 < weight <= 1:
            raise NastkError(f"The weight of {op!r} in a distance must be above 0 and at most 1, got {weight}.")
    mine, theirs = dict(first.cells), dict(second.cells)
    both = sorted(mine.keys() | theirs.keys())
    return {name: _hausdorff(_rows(mine.get(name)), _rows(theirs.get(name)), weights) for name in both}


def _rows(cell: Cell | None) -> set[Row] | None:
    return None if cell is None else {frozenset(edge.candidates) - {NONE} for edge in cell.edges} - {frozenset()}


def _hausdorff(first: set[Row] | None, second: set[Row] | None, weights: Mapping[str, float]) -> float:
    """How far the row of either set is, that is farthest from the other; FAR where only one has a row or is there."""
    if first is None or second is None:
        return FAR
    if not first or not second:
        return FAR if first or second else 0.0
    near = {(a, b): _ground(a, b, weights) for a, b in product(first, second)}
    forth = max(min(near[a, b] for b in second) for a in first)
    back = max(min(near[a, b] for a in first) for b in second)
    return max(forth, back)


def _ground(first: Row, second: Row, weights: Mapping[str, float]) -> float:
    """Half the weighted Hamming distance of two rows, at most FAR: two single operations are their mean weight apart."""
    return min(sum(weights.get(op, 1.0) for op in sorted(first ^ second)) / 2, FAR)
