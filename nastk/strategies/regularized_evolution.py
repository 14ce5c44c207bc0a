"""Regularized evolution: tournaments in a population of which the oldest dies."""

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
class RegularizedEvolutionConfig:
    """Settings of ``regularized-evolution``: population and tournament of NAS-Bench-201; the paper's are 100 and 25."""

    trials: int = field(default=30, validator=ge(1), metadata={"help": "candidates that are proposed, the first ones among them"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step, bred from the same population"})
    population: int = field(default=10, validator=ge(1), metadata={"help": "candidates that are alive"})
    sample: int = field(
        default=3, validator=ge(1), metadata={"help": "drawn for a tournament, with replacement; the best breeds"}
    )


@frozen
class Population(Best):
    """The living, the oldest first, and their accuracies."""

    members: Sequence[Genotype] = ()
    accuracies: Sequence[float] = ()


@mark.strategy(
    "regularized-evolution",
    config=RegularizedEvolutionConfig,
    paper="Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019",
)
class RegularizedEvolution(AskTell[Population]):
    """Ageing evolution: the best of a few drawn members breeds a mutant, the oldest member dies (Real et al., 2019).

    Algorithm 1 of the paper: ``population`` random candidates, then children one after the other, each a copy of the
    best of ``sample`` members drawn with replacement in which one decision is changed. A failed trial is a member whose
    accuracy is below every other; it dies of age as all do. What is recommended is the best of the whole history.
    """

    state = Population

    def __init__(self, config: RegularizedEvolutionConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return -(-self.config.trials // self.config.batch)

    def begin(self, context: SearchContext) -> Population:  # noqa: ARG002  the interface's arguments
        return Population()

    def ask(self, context: SearchContext, state: Population) -> Sequence[Proposal]:
        rng, space, members = context.rng("evolve"), context.space, state.members
        found = []
        for _ in range(min(self.config.batch, self.config.trials - state.trials)):
            if len(members) < self.config.population:
                child = space.sample(rng)
            else:
                drawn = [rng.randrange(len(members)) for _ in range(self.config.sample)]
                child = space.mutate(members[max(drawn, key=state.accuracies.__getitem__)], rng)
            found.append(Proposal(child, self.config.epochs))
        return found

    def tell(self, context: SearchContext, state: Population, reports: Sequence[Report]) -> Population:  # noqa: ARG002
        alive = -self.config.population
        return heard(
            state,
            reports,
            members=[*state.members, *(report.proposal.genotype for report in reports)][alive:],
            accuracies=[*state.accuracies, *(report.accuracy for report in reports)][alive:],
        )

    def recommend(self, context: SearchContext, state: Population) -> Sequence[Genotype]:
        return best_of(context, state)

    def figures(self, state: Population) -> dict[str, Any]:
        mean = sum(state.accuracies) / len(state.accuracies) if state.accuracies else None
        return {**progress(state), "population_accuracy": mean}
