"""Ways to compute a supernet's mixtures: exactly, or by cheaper algorithms that can be combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, gt

from nastk.core.cell.attended import attention_of

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class RelaxationConfig:
    """How the supernet computes its mixtures; the defaults are exact, everything else is another algorithm."""

    paths: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "candidates that are drawn on an edge for each half step (GDAS: 1); 0: all, weighted"},
    )
    temperature: float = field(
        default=10.0, validator=gt(0), metadata={"help": "of the Gumbel noise of paths, at the first epoch (GDAS: 10)"}
    )
    temperature_last: float = field(
        default=0.1, validator=gt(0), metadata={"help": "of the Gumbel noise of paths, at the last epoch (GDAS: 0.1)"}
    )
    partial: int = field(
        default=1,
        validator=ge(1),
        metadata={"help": "K: one of K channels goes through the mixture, the others pass by, edges are weighted (PC-DARTS: 4)"},
    )
    merged: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "S: the convolutions of an edge become one kernel, their norms look at one of S samples; 0: off"},
    )

    @property
    def name(self) -> str:
        """``exact``, or what departs from it: ``partial + merged``."""
        parts = {"sampled": self.paths > 0, "partial": self.partial > 1, "merged": self.merged > 0}
        return " + ".join(part for part, there in parts.items() if there) or "exact"


EXACT = RelaxationConfig()
EDGES = "edges"
"""In the mixing weights: ``"normal.edges"`` holds the weights ``(E,)`` of the edges of the cell ``"normal"``."""


def mixing_of(mixing: Mapping[str, Tensor] | None, cell: str) -> tuple[Tensor | None, ...]:
    """A cell's share of the mixing weights: of its operations, its whole edges, its attentions; None where there are none."""
    return () if mixing is None else (mixing[cell], mixing.get(edges_of(cell)), mixing.get(attention_of(cell)))


def edges_of(cell: str) -> str:
    """The name of a cell's edge weights among the mixing weights."""
    return f"{cell}.{EDGES}"
