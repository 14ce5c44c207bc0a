"""Successive halving: one race."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.strategies.halving import Bracket, Halving, bracket, levels


@frozen(kw_only=True)
class SuccessiveHalvingConfig:
    """Settings of ``successive-halving``."""

    trials: int = field(default=27, validator=ge(1), metadata={"help": "candidates that are drawn, the first rung"})
    epochs: int = field(default=9, validator=ge(1), metadata={"help": "epochs of the longest training, the last rung"})
    shortest: int = field(default=1, validator=ge(1), metadata={"help": "least epochs of the first rung"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step, at most to the end of the rung"})
    eta: int = field(default=3, validator=ge(2), metadata={"help": "one of so many goes on, with so many times the epochs"})

    def __attrs_post_init__(self) -> None:
        if self.shortest > self.epochs:
            raise ValueError(f"shortest: {self.shortest} epochs are more than the longest training, epochs = {self.epochs}")


@mark.strategy(
    "successive-halving",
    config=SuccessiveHalvingConfig,
    paper="Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016",
)
class SuccessiveHalving(Halving):
    """Many candidates are trained briefly, the best of them longer, in rungs (Jamieson and Talwalkar, 2016).

    Rung ``i`` of ``s + 1`` has ``trials // eta**i`` candidates for ``epochs / eta**(s - i)`` epochs, with the largest
    ``s`` for which the last rung has a candidate and the first one at least ``shortest`` epochs. The paper halves
    (``eta = 2``) and gives every rung the same total; with ``trials = eta**s`` so does this. Survivors are trained
    again from new weights.
    """

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        config: Any = self.config
        s = min(levels(config.trials, config.eta), levels(config.epochs // config.shortest, config.eta))
        return (bracket(config.trials, config.epochs, config.eta, s),)
