"""Settings and state of the bilevel strategies."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, lt, optional
from torch import Tensor

from nastk.core.config import EstimatorPart
from nastk.core.model.relaxation import RelaxationConfig
from nastk.core.run.optim import OptimizerState


@frozen(kw_only=True)
class BilevelConfig:
    """Settings of the bilevel strategies."""

    epochs: int = field(default=8, validator=ge(1), metadata={"help": "epochs of the supernet"})
    warmup: int = field(default=2, validator=ge(0), metadata={"help": "first epochs that train weights alone"})
    batch: int = field(default=32, validator=ge(2), metadata={"help": "samples a half step"})
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
    skip_dropout: float = field(
        default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "guard: dropout on skips, decaying to zero over the search"}
    )
    max_skips: int | None = field(
        default=None, validator=optional(ge(0)), metadata={"help": "guard: most skips of a normal cell"}
    )
    stop_skips: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata={"help": "guard: stop once a normal cell would have more skips than this"},
    )
    nos_weight: float = field(
        default=0.0, validator=ge(0), metadata={"help": "weight of spikes an image over nos_target in the loss"}
    )
    nos_target: float = field(default=110_000.0, validator=gt(0), metadata={"help": "spikes an image that count as 1"})
    penalty: EstimatorPart | None = field(
        default=None, metadata={"help": "differentiable cost that joins alpha's loss (macs, parameters)"}
    )
    penalty_weight: float = field(
        default=0.1, validator=ge(0), metadata={"help": "weight of the cost over its value at uniform alpha"}
    )


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
