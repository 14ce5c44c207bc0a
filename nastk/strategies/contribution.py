"""What a cell contributes: how much worse the supernet is when the cell's operations have random weights.

D-DARTS (Heuillet et al., arXiv 2108.09306) calls it the marginal contribution, there with the opposite sign: the loss with all
cells minus that without one. Its public code adds ``- (MC_i - mean MC) / mean MC`` to the loss of cell ``i``: a constant
without a gradient. To give the idea an effect, the learning rate of a cell's alpha is scaled here; that is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import mean

import torch
from attrs import field, frozen
from attrs.validators import and_, ge, le
from torch import Tensor

from nastk.strategies.weighting import Softmax, cells_of


@frozen(kw_only=True)
class ContributionConfig:
    """How a cell's contribution is measured and used."""

    weight: float = field(
        default=0.5, validator=and_(ge(0), le(1)), metadata={"help": "how much a cell's contribution scales its learning rate"}
    )
    batches: int = field(
        default=4, validator=ge(0), metadata={"help": "batches of ALPHA, each a pass for every cell and one more; 0: not at all"}
    )
    every: int = field(default=1, validator=ge(1), metadata={"help": "epochs from one measurement to the next"})


def contributions(
    weights: Mapping[str, Tensor], rule: Softmax, loss: Callable[[Mapping[str, Tensor]], float], generator: torch.Generator
) -> dict[str, float]:
    """For each cell, the loss with random mixing weights in it minus the loss as it is; positive where it helps.

    Random weights are those of a standard normal alpha under ``rule``.
    """
    whole = loss(weights)
    found = {}
    for name in cells_of(weights):
        alpha_EO = torch.randn(weights[name].shape, generator=generator, dtype=torch.float64).to(weights[name])
        found[name] = loss({**weights, name: rule.weigh(alpha_EO)}) - whole
    return found


def scales(contribution: Mapping[str, float], weight: float) -> dict[str, float]:
    """Factors of the cells' learning rates, ``1 + weight (c - mean c) / |mean c|``, the fraction kept in [-1, 1]."""
    if not contribution:
        return {}
    middle = mean(contribution.values())
    if middle == 0:
        return dict.fromkeys(contribution, 1.0)
    return {name: 1 + weight * min(max((c - middle) / abs(middle), -1.0), 1.0) for name, c in contribution.items()}
