"""FairDARTS (Chu et al., ECCV 2020): independent candidates, pushed to yes or no."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from nastk.core import mark
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig, instead
from nastk.strategies.decision import DecisionConfig
from nastk.strategies.regulariser import RegulariserConfig
from nastk.strategies.weighting import WeightingConfig


@frozen(kw_only=True)
class Independent(WeightingConfig):
    """Every candidate by itself."""

    kind: Literal["softmax", "sigmoid", "gumbel-softmax"] = instead(WeightingConfig, "kind", "sigmoid")


@frozen(kw_only=True)
class ZeroOne(RegulariserConfig):
    """The zero-one loss."""

    zero_one: float = instead(RegulariserConfig, "zero_one", 10.0)


@frozen(kw_only=True)
class Threshold(DecisionConfig):
    """Only candidates above the threshold count."""

    kind: Literal["best", "threshold"] = instead(DecisionConfig, "kind", "threshold")


@frozen(kw_only=True)
class FairDartsConfig(BilevelConfig):
    """Settings of ``fair-darts``: those of the bilevel rule with sigmoid weights, zero-one loss and threshold."""

    alpha_lr: float = instead(BilevelConfig, "alpha_lr", 0.05)
    weighting: Independent = field(
        factory=Independent, metadata={"help": "how alpha becomes the weights of an edge's candidates"}
    )
    regulariser: ZeroOne = field(factory=ZeroOne, metadata={"help": "terms on alpha that join its loss"})
    decision: Threshold = field(factory=Threshold, metadata={"help": "how a member follows from the mixing weights"})


@mark.strategy(
    "fair-darts",
    config=FairDartsConfig,
    paper="Chu et al., Fair DARTS: Eliminating Unfair Advantages in Differentiable Architecture Search, ECCV 2020",
)
class FairDarts(Bilevel):
    """Differentiable search in which candidates do not compete: sigmoid weights and a zero-one loss (Chu et al., 2020)."""
