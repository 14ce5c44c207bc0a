"""The attention of each edge as decisions of a space (``model.attention_location = "searched"``). Torch-free.

An edge of the full cell has a mixture of attentions, written with bars as that of operations is; an edge of a member has one.
Mixing weights of their own, ``"normal.attention"`` with a row ``(A,)`` an edge, stand beside those of the operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from nastk.core.cell.graph import NONE, Cell, Edge, Genotype
from nastk.core.cell.space import Choice, Decision
from nastk.core.config import AttentionPart
from nastk.core.errors import ConfigError, NotInSpace
from nastk.core.settings import ModelConfig
from nastk.core.types import Pairs

ATTENTION = "attention"
SEARCHED = "searched"
"""The location under which every edge chooses among the options of ``model.attention``."""


def attention_of(cell: str) -> str:
    """The name of a cell's attention weights among the mixing weights."""
    return f"{cell}.{ATTENTION}"


def searched_attention(model: ModelConfig) -> Pairs:
    """The one option of the part ``attention`` where each edge chooses: all names, and the settings of each.

    Raises :class:`ConfigError` where there is nothing to choose from, or the location itself is a choice.
    """
    names = [part.name for part in model.attention.values]
    if model.attention_location.searched:
        raise ConfigError(["model.attention_location: 'searched' cannot be one of several choices"], "model")
    if len(names) < 2 or len(set(names)) < len(names):
        fault = f"model.attention: 'searched' needs choices of at least two distinct names, got {', '.join(names)}"
        raise ConfigError([fault], "model")
    chosen = {f"{ATTENTION}.{p.name}.{key}": value for p in model.attention.values for key, value in p.flat().items()}
    return ((ATTENTION, "|".join(names)), *sorted(chosen.items()))


def attention_parts(genotype: Genotype, part: str = ATTENTION) -> tuple[AttentionPart, ...]:
    """The attention that a part of a genotype names, or all that its edges choose from; ``KeyError`` where it is absent."""
    names = str(genotype.part(part)).split("|")
    sections = {name: f"{part}.{name}" if len(names) > 1 else part for name in names}
    found: list[Any] = [AttentionPart.from_flat(name, genotype.section(section)) for name, section in sections.items()]
    return tuple(found)


@frozen
class EdgeAttention:
    """Which attentions an edge chooses from; none, where edges have none of their own."""

    names: tuple[str, ...] = ()

    @staticmethod
    def of(parts: Sequence[Decision]) -> EdgeAttention:
        """That of a space with these parts."""
        options = {decision.name: dict(decision.options[0]) for decision in parts}
        names = str(options.get(ATTENTION, {}).get(ATTENTION, "")).split("|")
        return EdgeAttention(tuple(names) if len(names) > 1 else ())

    def full(self, cell: Cell) -> Cell:
        """The full cell, its edges with mixtures of attentions."""
        mixture = "|".join(self.names) or NONE
        return evolve(cell, edges=[evolve(edge, attention=mixture) for edge in cell.edges]) if self.names else cell

    def decisions(self, prefix: str, edges: int) -> tuple[Decision, ...]:
        """One for each of the edges that a member has, in the order of their targets; ``prefix`` is the cell's name."""
        return tuple(Decision(f"{prefix}.attention{i}", self.names) for i in range(edges if self.names else 0))

    def decode(self, cell: Cell, choice: Sequence[int]) -> Cell:
        """The cell with the attentions of a choice."""
        if not self.names:
            return cell
        chosen = zip(_by_target(cell), choice, strict=True)
        return evolve(cell, edges=[evolve(edge, attention=self.names[number]) for edge, number in chosen])

    def encode(self, cell: Cell) -> Choice:
        """The inverse of :meth:`decode`. Raises :class:`NotInSpace`."""
        wanted = self.names or (NONE,)
        for edge in cell.edges:
            if edge.attention not in wanted:
                where = f"edge {edge.src}->{edge.dst} has the attention {edge.attention!r}"
                raise NotInSpace(f"{where}; the space has {', '.join(wanted)}")
        return tuple(self.names.index(edge.attention) for edge in _by_target(cell)) if self.names else ()

    def derive(self, cell: Cell, full: Cell, weights_EA: NDArray[Any] | None) -> Cell:
        """The cell, each edge with the attention that weighs most on it; the earlier one at a tie."""
        if not self.names:
            return cell
        assert weights_EA is not None
        best = {(e.src, e.dst): self.names[int(np.argmax(row))] for e, row in zip(full.edges, weights_EA, strict=True)}
        return evolve(cell, edges=[evolve(edge, attention=best[edge.src, edge.dst]) for edge in cell.edges])

    def one_hot(self, name: str, cell: Cell, full: Cell) -> Mapping[str, NDArray[Any]]:
        """``{"normal.attention": (E, A)}``: one where the attention of a cell's edge is, zero elsewhere."""
        if not self.names:
            return {}
        held = {(edge.src, edge.dst): edge.attention for edge in cell.edges}
        rows = [[float(held.get((edge.src, edge.dst)) == attention) for attention in self.names] for edge in full.edges]
        return {attention_of(name): np.array(rows)}


def _by_target(cell: Cell) -> list[Edge]:
    """So that another source of one node does not move the attentions of the nodes before and behind it."""
    return sorted(cell.edges, key=lambda edge: (edge.dst, edge.src))
