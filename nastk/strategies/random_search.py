"""Random search: the baseline that stands beside every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.best import Best, best_of, heard, progress


@frozen(kw_only=True)
class RandomSearchConfig:
    """Settings of ``random-search``."""

    trials: int = field(default=8, validator=ge(1), metadata={"help": "candidates that are drawn and trained"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step"})


@mark.strategy(
    "random-search",
    config=RandomSearchConfig,
    paper="Li and Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019",
)
class RandomSearch(AskTell[Best]):
    """Uniform draws, each trained for a few epochs; the best on the validation part wins (Li and Talwalkar, 2019)."""

    state = Best

    def __init__(self, config: RandomSearchConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return -(-self.config.trials // self.config.batch)

    def begin(self, context: SearchContext) -> Best:  # noqa: ARG002  the interface's arguments
        return Best()

    def ask(self, context: SearchContext, state: Best) -> Sequence[Proposal]:  # noqa: ARG002
        rng = context.rng("propose")
        count = min(self.config.batch, self.config.trials - context.step * self.config.batch)
        return [Proposal(context.space.sample(rng), self.config.epochs) for _ in range(count)]

    def tell(self, context: SearchContext, state: Best, reports: Sequence[Report]) -> Best:  # noqa: ARG002
        return heard(state, reports)

    def recommend(self, context: SearchContext, state: Best) -> Sequence[Genotype]:
        return best_of(context, state)

    def figures(self, state: Best) -> dict[str, Any]:
        return progress(state)
