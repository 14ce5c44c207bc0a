"""The path encoding: which paths from an input to an output a cell has, and what else the genotype says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nastk.core.cell.graph import NONE, Cell, Genotype


def path_features(genotype: Genotype, longest: int) -> frozenset[str]:
    """The features of a genotype, as text.

    A path is the operations on the way from an input of a cell to one of its outputs (White et al., AAAI 2021, section
    4), with the attentions where edges have their own; an edge ``none`` leads nowhere. Paths of more than ``longest``
    edges are left out: their number grows fast, and the paper finds the long ones of little use. Every part (neuron,
    attention, time steps ...) is a feature too.
    """
    paths = [f"{name}:{path}" for name, cell in genotype.cells for path in _paths(cell, longest)]
    return frozenset([*paths, *(f"{name}={value}" for name, value in genotype.parts)])


def _paths(cell: Cell, longest: int) -> set[str]:
    leaving: dict[int, list[tuple[int, str]]] = {}
    for edge in cell.edges:
        if edge.op != NONE:
            leaving.setdefault(edge.src, []).append((edge.dst, edge.label))
    found = set()
    open_ = [(node, str(node), 0) for node in range(cell.inputs)]
    while open_:
        node, path, length = open_.pop()
        if node in cell.outputs:
            found.add(path)
        if length < longest:
            open_ += [(dst, f"{path}>{op}", length + 1) for dst, op in leaving.get(node, ())]
    return found


def encoded(features: Sequence[frozenset[str]]) -> NDArray[np.float32]:
    """One row ``(N, F)`` of zeros and ones for each set, a column a feature that some set has and another has not."""
    every = frozenset.union(*features) - frozenset.intersection(*features)
    columns = {name: column for column, name in enumerate(sorted(every))}
    x_NF = np.zeros((len(features), len(columns)), np.float32)
    for row, found in enumerate(features):
        for name in found:
            if name in columns:
                x_NF[row, columns[name]] = 1.0
    return x_NF
