"""Hypothesis strategies for cells, genotypes and mixing weights: the face for tests of spaces and plug-ins.

Needs ``hypothesis``, which nastk itself does not depend on: ``pip install "nastk[test]"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.layout import SCALES, SEARCHED
from nastk.core.cell.space import Choice, Relaxable, SearchSpace
from nastk.core.config import SpacePart, structure
from nastk.core.settings import ModelConfig


def build_space(name: str, model: dict[str, Any] | None = None, **settings: Any) -> Any:
    """The space plug-in of this name, built as a run builds it; ``model`` is the run's ``[model]`` table as plain data.

    Raises :class:`~nastk.core.errors.ConfigError` for settings that a run would refuse.
    """
    config = structure(model or {}, ModelConfig, "model")
    return SpacePart.named(name, **settings).build(config)


@st.composite
def cells(
    draw: st.DrawFn, inputs: int = 2, nodes: int = 4, operations: Sequence[str] = ("none", "skip_connect", "conv_3x3")
) -> Cell:
    """Any cell with this many inputs and at most ``nodes`` inner ones; each pair of nodes has one operation or no edge.

    Nodes may be dead (reach no output) or have no arrivals, ``none`` edges occur where ``none`` is an operation, and
    the outputs are any distinct nodes in any order, inputs among them.
    """
    count = inputs + draw(st.integers(0, nodes))
    kind = st.sampled_from([None, *operations])
    pairs = [(src, dst) for dst in range(inputs, count) for src in range(dst)]
    ops = draw(st.lists(kind, min_size=len(pairs), max_size=len(pairs)))
    outputs = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))
    return Cell(inputs, [Edge(src, dst, op) for (src, dst), op in zip(pairs, ops, strict=True) if op is not None], tuple(outputs))


def choices(space: SearchSpace) -> st.SearchStrategy[Choice]:
    """Any choice of a space: one option number for each decision."""
    return st.tuples(*(st.integers(0, len(decision.options) - 1) for decision in space.decisions))


def genotypes(space: SearchSpace) -> st.SearchStrategy[Genotype]:
    """Any member of a space."""
    return choices(space).map(space.decode)


def weights(space: Relaxable, low: float = -10.0, high: float = 10.0) -> st.SearchStrategy[dict[str, np.ndarray[Any, Any]]]:
    """Finite mixing weights of a space, each in ``[low, high]``, ties among them: what ``derive`` takes.

    ``(E, O)`` for each cell, and ``(L - 1, SCALES, 2)`` under ``"layers"`` where the path of layers is searched.
    """
    full = space.full()
    shapes: dict[str, tuple[int, ...]] = {name: (len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    path = str(full.part("layers"))
    if SEARCHED in path:
        shapes["layers"] = (len(path) - 1, SCALES, 2)
    elements = st.floats(low, high, allow_nan=False, allow_infinity=False)
    return st.fixed_dictionaries({name: hnp.arrays(np.float64, shape, elements=elements) for name, shape in shapes.items()})
