"""A search in which every decision of the space is a bandit of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import ge

from nastk import AskTell, Genotype, Proposal, Report, SearchContext, mark

NASTK_INTERFACE = 1


@frozen(kw_only=True)
class BanditConfig:
    """Settings of ``bandit``."""

    trials: int = field(default=16, validator=ge(1), metadata={"help": "candidates that are proposed and trained"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    exploration: float = field(default=0.3, validator=ge(0), metadata={"help": "weight of the confidence bound; 0 is greedy"})


@frozen
class Arms:
    """Pulls and summed accuracies of every option of every decision, and the best candidate so far."""

    pulls: Sequence[Sequence[int]]
    gains: Sequence[Sequence[float]]
    best: Genotype | None = None
    accuracy: float = -2.0


@mark.strategy(
    "bandit",
    config=BanditConfig,
    paper="Auer et al., Finite-time Analysis of the Multiarmed Bandit Problem, Machine Learning 2002",
)
class Bandit(AskTell[Arms]):
    """UCB1 on every decision of the space by itself; the best candidate that was trained wins (after Auer et al., 2002).

    An option's index is ``mean accuracy + exploration * sqrt(2 ln n / pulls)``, without pulls infinite; ties are drawn.
    Treating the decisions as independent is this package's simplification.
    """

    state: ClassVar[type] = Arms

    def __init__(self, config: BanditConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return self.config.trials

    def begin(self, context: SearchContext) -> Arms:
        counts = [len(decision.options) for decision in context.space.decisions]
        return Arms([[0] * n for n in counts], [[0.0] * n for n in counts])

    def ask(self, context: SearchContext, state: Arms) -> Sequence[Proposal]:
        rng = context.rng("bandit")
        choice = []
        for pulls, gains in zip(state.pulls, state.gains, strict=True):
            indices = [self._index(pull, gain, sum(pulls)) for pull, gain in zip(pulls, gains, strict=True)]
            choice.append(rng.choice([i for i, index in enumerate(indices) if index == max(indices)]))
        return [Proposal(context.space.decode(choice), self.config.epochs)]

    def _index(self, pulls: int, gain: float, total: int) -> float:
        if not pulls:
            return math.inf
        return gain / pulls + self.config.exploration * math.sqrt(2 * math.log(total) / pulls)

    def tell(self, context: SearchContext, state: Arms, reports: Sequence[Report]) -> Arms:
        pulls, gains = [list(row) for row in state.pulls], [list(row) for row in state.gains]
        best, accuracy = state.best, state.accuracy
        for report in reports:
            for decision, option in enumerate(context.space.encode(report.proposal.genotype)):
                pulls[decision][option] += 1
                gains[decision][option] += max(report.accuracy, 0.0)  # a failed trial gains nothing
            if report.accuracy > accuracy:
                best, accuracy = report.proposal.genotype, report.accuracy
        return Arms(pulls, gains, best, accuracy)

    def recommend(self, context: SearchContext, state: Arms) -> Sequence[Genotype]:
        return [state.best or context.space.sample(context.rng("nothing tried"))]

    def figures(self, state: Arms) -> dict[str, Any]:
        return {"best_accuracy": state.accuracy}
