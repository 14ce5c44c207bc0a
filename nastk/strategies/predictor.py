"""A predictor of accuracy, fitted to the trials so far, says which candidates to try next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.best import Best, best_of, heard, progress, tried, untried
from nastk.strategies.forest import forest, require_forest
from nastk.strategies.path_encoding import encoded, path_features

PARENTS = 5
"""The best candidates whose mutants are looked at, one after the other until there are enough; as in the authors' code."""


@frozen(kw_only=True)
class PredictorConfig:
    """Settings of ``predictor``; ``initial``, ``batch`` and ``candidates`` are 10, 10 and 100 in the paper."""

    trials: int = field(default=30, validator=ge(1), metadata={"help": "candidates that are tried, the first ones among them"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=5, validator=ge(1), metadata={"help": "candidates a step; the predictor is fitted once a step"})
    initial: int = field(default=10, validator=ge(1), metadata={"help": "random candidates before the first prediction"})
    candidates: int = field(default=100, validator=ge(1), metadata={"help": "mutants of the best that the predictor looks at"})
    longest: int = field(default=4, validator=ge(1), metadata={"help": "edges of the longest path that the predictor sees"})
    trees: int = field(default=100, validator=ge(2), metadata={"help": "trees of the forest"})


@frozen
class Evidence(Best):
    """Everything that was tried, in order, with its accuracy; 0 where the trial failed."""

    members: Sequence[Genotype] = ()
    accuracies: Sequence[float] = ()


@mark.strategy(
    "predictor",
    config=PredictorConfig,
    paper="White et al., BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search, AAAI 2021",
)
class Predictor(AskTell[Evidence]):
    """BANANAS with a random forest: path encoding, independent Thompson sampling, mutants of the best (White et al., 2021).

    After ``initial`` random candidates, every step fits the predictor to all trials, draws an accuracy for each of
    ``candidates`` untried mutants of the best, from the normal distribution that the predictor gives, and tries those
    with the largest draws. The paper's predictor is an ensemble of five networks; here it is a random forest, whose trees
    are the ensemble. Needs scikit-learn: ``pip install "nastk[predictor]"``.
    """

    state = Evidence

    def __init__(self, config: PredictorConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return -(-self.config.trials // self.config.batch)

    def check(self, context: SearchContext) -> None:
        """Refuse to begin without scikit-learn. Raises :class:`BrokenPlugin`."""
        require_forest()
        super().check(context)

    def begin(self, context: SearchContext) -> Evidence:  # noqa: ARG002  the interface's arguments
        return Evidence()

    def ask(self, context: SearchContext, state: Evidence) -> Sequence[Proposal]:
        rng, epochs = context.rng("predictor"), self.config.epochs
        count = min(self.config.batch, self.config.trials - state.trials)
        ready = state.trials >= self.config.initial and state.failed < state.trials
        found = [Proposal(genotype, epochs) for genotype in self._promising(context, state, rng)[:count]] if ready else []
        while len(found) < count:
            found.append(untried(context, lambda: context.space.sample(rng), epochs, found))
        return found

    def _promising(self, context: SearchContext, state: Evidence, rng: random.Random) -> list[Genotype]:
        """Untried mutants, the largest draw first."""
        mutants = self._mutants(context, state, rng)
        if not mutants:
            return []
        features = [path_features(genotype, self.config.longest) for genotype in [*state.members, *mutants]]
        x_NF = encoded(features)
        known = len(state.members)
        mean, deviation = forest(x_NF[:known], state.accuracies, x_NF[known:], self.config.trees, rng.getrandbits(31))
        draws = [rng.gauss(mu, sigma) for mu, sigma in zip(mean, deviation, strict=True)]
        return [mutants[i] for i in sorted(range(len(mutants)), key=lambda i: -draws[i])]

    def _mutants(self, context: SearchContext, state: Evidence, rng: random.Random) -> list[Genotype]:
        order = sorted(range(len(state.members)), key=lambda i: -state.accuracies[i])
        found: dict[object, Genotype] = {}
        for i in order[:PARENTS]:
            for _ in range(self.config.candidates):
                mutant = Proposal(context.space.mutate(state.members[i], rng), self.config.epochs)
                if len(found) < self.config.candidates and not tried(context, mutant):
                    found.setdefault(context.evaluation.key(mutant), mutant.genotype)
        return list(found.values())

    def tell(self, context: SearchContext, state: Evidence, reports: Sequence[Report]) -> Evidence:  # noqa: ARG002
        return heard(
            state,
            reports,
            members=[*state.members, *(report.proposal.genotype for report in reports)],
            accuracies=[*state.accuracies, *(max(report.accuracy, 0.0) for report in reports)],
        )

    def recommend(self, context: SearchContext, state: Evidence) -> Sequence[Genotype]:
        return best_of(context, state)

    def figures(self, state: Evidence) -> dict[str, Any]:
        return progress(state)
