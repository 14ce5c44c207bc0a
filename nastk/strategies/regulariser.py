"""What joins alpha's loss to shape alpha itself; every term is off unless it has a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.strategies.weighting import Softmax, cells_of


@frozen(kw_only=True)
class RegulariserConfig:
    """Weights of the terms on alpha; the L2 penalty of Adam is ``alpha_decay``."""

    zero_one: float = field(
        default=0.0, validator=ge(0), metadata={"help": "pushes every mixing weight from a half to 0 or 1 (FairDARTS: 10)"}
    )
    entropy: float = field(default=0.0, validator=ge(0), metadata={"help": "pushes every edge to decide"})
    beta_decay: float = field(
        default=0.0, validator=ge(0), metadata={"help": "keeps alphas small and alike (beta-DARTS: up to 50, linear growth)"}
    )
    growth: Literal["constant", "linear"] = field(
        default="constant", metadata={"help": "whether the weights grow from nought at the first epoch to theirs at the last"}
    )


Term = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Softmax], Tensor]


def zero_one(alpha: Mapping[str, Tensor], weights: Mapping[str, Tensor], rule: Softmax) -> Tensor:
    """``- mean (w - 1/2)^2`` over all candidates (FairDARTS, Chu et al., ECCV 2020)."""
    del alpha, rule
    return -torch.cat([weights[name].flatten() - 0.5 for name in cells_of(weights)]).square().mean()


def entropy(alpha: Mapping[str, Tensor], weights: Mapping[str, Tensor], rule: Softmax) -> Tensor:
    """The mean over the edges of how undecided they are, in [0, 1]."""
    del alpha
    return torch.cat([rule.undecided(weights[name]) for name in cells_of(weights)]).mean()


def beta_decay(alpha: Mapping[str, Tensor], weights: Mapping[str, Tensor], rule: Softmax) -> Tensor:
    """The mean over the edges of ``log sum exp alpha`` (beta-DARTS, Ye et al., CVPR 2022)."""
    del weights, rule
    return torch.cat([torch.logsumexp(alpha[name], dim=-1) for name in cells_of(alpha)]).mean()


TERMS: dict[str, Term] = {"zero_one": zero_one, "entropy": entropy, "beta_decay": beta_decay}


class Regulariser:
    """The weighted sum of the terms that have a weight, as it is at one epoch."""

    def __init__(self, config: RegulariserConfig, rule: Softmax, done: float) -> None:
        scale = {"constant": 1.0, "linear": done}[config.growth]
        weights = {term: scale * getattr(config, name) for name, term in TERMS.items()}
        self.rule, self.weights = rule, {term: weight for term, weight in weights.items() if weight}

    def __call__(self, alpha: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor | float:
        """Differentiable in alpha; 0.0 where no term has a weight."""
        return sum((w * term(alpha, weights, self.rule) for term, w in self.weights.items()), 0.0)
