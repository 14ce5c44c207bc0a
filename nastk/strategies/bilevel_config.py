"""Settings and state of the bilevel strategies."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, fields_dict, frozen
from attrs.validators import and_, ge, gt, lt
from torch import Tensor

from nastk.core.config import EstimatorPart
from nastk.core.model.relaxation import RelaxationConfig
from nastk.core.run.optim import OptimizerState
from nastk.strategies.decision import DecisionConfig
from nastk.strategies.guard import GuardConfig, History
from nastk.strategies.perturbation import PerturbationConfig
from nastk.strategies.regulariser import RegulariserConfig
from nastk.strategies.weighting import WeightingConfig


@frozen(kw_only=True)
class BilevelConfig:
    """Settings of the bilevel strategies."""

    epochs: int = field(default=8, validator=ge(1), metadata={"help": "epochs of the supernet"})
    warmup: int = field(default=2, validator=ge(0), metadata={"help": "first epochs that train weights alone"})
    batch: int = field(default=32, validator=ge(2), metadata={"help": "samples a half step"})
    levels: Literal[1, 2] = field(
        default=2,
        metadata={"help": "2: alpha learns on samples of its own; 1: with the weights, on the same batch of all samples (SNAS)"},
    )
    order: Literal[1, 2] = field(default=1, metadata={"help": "2 unrolls one weight step (DARTS second order)"})
    lr: float = field(default=0.1, validator=gt(0), metadata={"help": "first learning rate of the weights"})
    lr_min: float = field(default=0.001, validator=ge(0), metadata={"help": "last learning rate of the weights"})
    momentum: float = field(default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum of the weights"})
    weight_decay: float = field(default=3e-4, validator=ge(0), metadata={"help": "L2 penalty of the weights"})
    clip: float = field(default=5.0, validator=gt(0), metadata={"help": "largest gradient norm of the weights"})
    alpha_lr: float = field(default=0.01, validator=gt(0), metadata={"help": "learning rate of the architecture (DARTS: 3e-4)"})
    alpha_beta1: float = field(default=0.5, validator=and_(ge(0), lt(1)), metadata={"help": "first moment of alpha's Adam"})
    alpha_decay: float = field(default=1e-3, validator=ge(0), metadata={"help": "L2 penalty of alpha"})
    relaxation: RelaxationConfig = field(
        factory=RelaxationConfig, metadata={"help": "how the supernet computes its mixtures; exact unless set"}
    )
    weighting: WeightingConfig = field(
        factory=WeightingConfig, metadata={"help": "how alpha becomes the weights of an edge's candidates"}
    )
    regulariser: RegulariserConfig = field(factory=RegulariserConfig, metadata={"help": "terms on alpha that join its loss"})
    perturbation: PerturbationConfig = field(
        factory=PerturbationConfig, metadata={"help": "noise on the mixing weights while the weights train (SmoothDARTS)"}
    )
    guard: GuardConfig = field(factory=GuardConfig, metadata={"help": "guards against skips and lost epochs; off unless set"})
    decision: DecisionConfig = field(factory=DecisionConfig, metadata={"help": "how a member follows from the mixing weights"})
    nos_weight: float = field(
        default=0.0, validator=ge(0), metadata={"help": "weight of spikes an image over nos_target in the loss"}
    )
    nos_target: float = field(default=110_000.0, validator=gt(0), metadata={"help": "spikes an image that count as 1"})
    sops_weight: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"help": "weight of expected synaptic operations in the loss: firing rate times MACs over uniform alpha's"},
    )
    penalty: EstimatorPart | None = field(
        default=None, metadata={"help": "differentiable cost that joins alpha's loss (macs, parameters)"}
    )
    penalty_weight: float = field(
        default=0.1, validator=ge(0), metadata={"help": "weight of the cost over its value at uniform alpha"}
    )

    def __attrs_post_init__(self) -> None:
        if self.levels == 1 and self.order == 2:
            raise ValueError("levels = 1 has no second order: the unrolled step needs samples of alpha's own (levels = 2)")
        if self.relaxation.paths and self.weighting.kind == "gumbel-softmax":
            raise ValueError("relaxation.paths draws candidates, weighting.kind = 'gumbel-softmax' weighs all: choose one")


@frozen
class BilevelState:
    """The search between two epochs."""

    epoch: int
    weights: dict[str, Tensor]
    optimizer: OptimizerState
    alpha: dict[str, Tensor]
    alpha_optimizer: OptimizerState
    figures: dict[str, Any]
    stopped: bool = False
    history: History = field(factory=dict)


def instead(cls: type[Any], name: str, default: Any) -> Any:
    """The setting ``name`` of ``cls`` with another default, for the settings of a named strategy."""
    attribute = fields_dict(cls)[name]
    return field(default=default, validator=attribute.validator, metadata=dict(attribute.metadata))
