"""What the mixing weights say at the end, before the space derives a member from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from attrs import field, frozen
from attrs.validators import and_, gt, lt
from torch import Tensor

from nastk.core.cell.graph import NONE, Genotype
from nastk.core.cell.space import Relaxable
from nastk.strategies.mixing import derive

BELOW, LEFT_OUT = 1e-6, 1e-3
"""What a weight below the threshold counts of itself, and what ``none`` counts: more than those, less than any above."""


@frozen(kw_only=True)
class DecisionConfig:
    """How a member follows from the mixing weights."""

    kind: Literal["best", "threshold"] = field(
        default="best", metadata={"help": "the largest weights win (DARTS), or only those above the threshold (FairDARTS)"}
    )
    threshold: float = field(
        default=0.85, validator=and_(gt(0), lt(1)), metadata={"help": "a weight that a candidate needs to count"}
    )

    def decide(self, space: Relaxable, weights: Mapping[str, Tensor], max_skips: int | None) -> Genotype:
        """The member, with at most ``max_skips`` skips in a normal cell."""
        return derive(space, {"best": _as_they_are, "threshold": _above}[self.kind](space, weights, self.threshold), max_skips)


def _as_they_are(space: Relaxable, weights: Mapping[str, Tensor], threshold: float) -> Mapping[str, Tensor]:
    del space, threshold
    return weights


def _above(space: Relaxable, weights: Mapping[str, Tensor], threshold: float) -> Mapping[str, Tensor]:
    """Candidates above the threshold first; where an edge may carry nothing, it does so without such a candidate.

    A space that wants more edges than have one takes the best of the rest, in their order.
    """
    found = dict(weights)
    for name, cell in space.full().cells:
        w_EO = weights[name]
        counted = torch.where(w_EO > threshold, w_EO, BELOW * w_EO)
        nothing = torch.tensor([[op == NONE for op in edge.candidates] for edge in cell.edges], device=w_EO.device)
        found[name] = torch.where(nothing, LEFT_OUT, counted)
    return found
