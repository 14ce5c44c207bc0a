"""Hyperband: races of every length, from many short trainings to a few long ones."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.strategies.halving import Bracket, Halving, bracket, levels


@frozen(kw_only=True)
class HyperbandConfig:
    """Settings of ``hyperband``; with the defaults 9, 3 and 3 candidates are drawn, in 20 trials of 72 epochs in all."""

    epochs: int = field(default=9, validator=ge(1), metadata={"help": "epochs of the longest training, R"})
    eta: int = field(default=3, validator=ge(2), metadata={"help": "one of so many goes on, with so many times the epochs"})
    rounds: int = field(default=1, validator=ge(1), metadata={"help": "how often all brackets are run"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step, at most to the end of the rung"})


def hyperband_brackets(epochs: int, eta: int) -> tuple[Bracket, ...]:
    """The brackets ``s = s_max ... 0`` with ``s_max = floor(log_eta(epochs))``, the many short trainings first.

    Bracket ``s`` begins with ``floor((s_max + 1) / (s + 1)) * eta**s`` candidates for ``epochs / eta**s`` epochs. That is
    Table 1 of Li et al.; the formula in their Algorithm 1, ``ceil((s_max + 1) / (s + 1) * eta**s)``, begins some brackets
    with more (34 in place of 27 for 81 epochs, ``s = 3``) and goes above the bracket's budget.
    """
    most = levels(epochs, eta)
    return tuple(bracket((most + 1) // (s + 1) * eta**s, epochs, eta, s) for s in range(most, -1, -1))


@mark.strategy(
    "hyperband",
    config=HyperbandConfig,
    paper="Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 2018",
)
class Hyperband(Halving):
    """Races of successive halving, from many short trainings to a few long ones; the longest decide (Li et al., 2018).

    How early losers can be told from winners is not known, so every trade-off gets about the same number of epochs. The
    settings give the number of candidates; there is no ``trials``. Survivors are trained again from new weights.
    """

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        return hyperband_brackets(self.config.epochs, self.config.eta) * self.config.rounds
