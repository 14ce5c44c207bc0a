"""Hypothesis strategies for cells, genotypes and mixing weights: the face for tests of spaces and plug-ins.

Needs ``hypothesis``, which nastk itself does not depend on: ``pip install "nastk[test]"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nastk.core.cell.attended import attention_of
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.layout import SCALES, SEARCHED
from nastk.core.cell.space import Choice, Relaxable, SearchSpace
from nastk.core.config import SpacePart, structure
from nastk.core.laws.context import SmallContext as SmallContext
from nastk.core.laws.context import small_context as small_context
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind


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

    ``(E, O)`` for each cell, ``(E, A)`` under ``"NAME.attention"`` where edges choose one, and ``(L - 1, SCALES, 2)`` under
    ``"layers"`` where the path of layers is searched.
    """
    full = space.full()
    shapes: dict[str, tuple[int, ...]] = {name: (len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    choosing = {name: cell.edges[0].attentions for name, cell in full.cells if len(cell.edges[0].attentions) > 1}
    shapes |= {attention_of(name): (shapes[name][0], len(attentions)) for name, attentions in choosing.items()}
    path = str(full.part("layers"))
    if SEARCHED in path:
        shapes["layers"] = (len(path) - 1, SCALES, 2)
    elements = st.floats(low, high, allow_nan=False, allow_infinity=False)
    return st.fixed_dictionaries({name: hnp.arrays(np.float64, shape, elements=elements) for name, shape in shapes.items()})


@st.composite
def sequences(
    draw: st.DrawFn,
    T: int | range = range(1, 5),
    B: int | range = range(1, 4),
    C: int | range = range(1, 5),
    H: int | range = range(1, 9),
    W: int | range = range(1, 9),
) -> torch.Tensor:
    """A float32 tensor ``(T, B, C, H, W)``, normal with a scale of 0 (all zeros), 0.3, 1 or 3; each side an int or a range."""
    sides = [draw(st.sampled_from(side)) if isinstance(side, range) else side for side in (T, B, C, H, W)]
    scale, seed = draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])), draw(st.integers(0, 2**31))
    return scale * torch.randn(sides, generator=torch.Generator().manual_seed(seed))


def conformance(kind: str, name: str, expected_failures: Mapping[str, str] | None = None, **settings: Any) -> Any:
    """A pytest test of every law of the kind on the plug-in of this name: ``test_gated = conformance("attention", "gated")``.

    ``expected_failures`` maps the laws that it is known to break to the reason; a law in it that holds fails the test.
    ``settings`` are the plug-in's. Needs ``pytest``.
    """
    import pytest

    from nastk.core.laws.check import check
    from nastk.core.laws.law import book

    expected = dict(expected_failures or {})
    names = [law.name for law in book(Kind(kind)).laws]
    if strangers := set(expected) - set(names):
        raise ValueError(f"No law of a {kind} is named {', '.join(sorted(strangers))}; there are {', '.join(names)}")

    def marks(law: str) -> list[Any]:
        return [pytest.mark.xfail(reason=expected[law], strict=True)] if law in expected else []

    @pytest.mark.parametrize("law", [pytest.param(law, marks=marks(law)) for law in names])
    def test(law: str) -> None:
        (verdict,) = check(kind, name, only=[law], **settings)
        if verdict.outcome == "fails as declared":
            pytest.xfail(verdict.detail)
        if verdict.outcome == "does not apply":
            pytest.skip(verdict.detail)
        assert verdict.outcome == "holds", f"{verdict.text} {verdict.detail}"

    return test
