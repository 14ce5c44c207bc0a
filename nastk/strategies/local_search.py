"""Local search: all neighbours of a candidate, then on to the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.best import Best, best_of, heard, progress, tried, untried


@frozen(kw_only=True)
class LocalSearchConfig:
    """Settings of ``local-search``."""

    trials: int = field(default=30, validator=ge(1), metadata={"help": "candidates that are tried, each counted once"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step; a climb starts at the best of so many"})


@frozen
class Climb(Best):
    """Where the climb stands, which neighbours are still to be tried, and the best of those that were."""

    here: Genotype | None = None
    height: float = -2.0
    waiting: Sequence[Sequence[int]] = ()
    """Choices in the space."""
    there: Genotype | None = None
    there_height: float = -2.0
    optima: int = 0


@mark.strategy(
    "local-search",
    config=LocalSearchConfig,
    paper="White et al., Exploring the Loss Landscape in Neural Architecture Search, UAI 2021",
)
class LocalSearch(AskTell[Climb]):
    """Hill climbing: every neighbour is tried, the best one is next; from a local optimum it starts anew (White et al., 2021).

    Algorithm 1 of the paper, with the restarts of its experiments: a random candidate; all that differ from it in one
    decision; on to the most accurate of these while it is more accurate. Neighbours that were tried before are
    remembered and not tried again. They are tried in a random order, which matters only when the budget ends among them.
    """

    state = Climb

    def __init__(self, config: LocalSearchConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        """At most: the last step around a candidate may have less than a batch to try."""
        return self.config.trials

    def begin(self, context: SearchContext) -> Climb:  # noqa: ARG002  the interface's arguments
        return Climb()

    def ask(self, context: SearchContext, state: Climb) -> Sequence[Proposal]:
        space, epochs = context.space, self.config.epochs
        count = min(self.config.batch, self.config.trials - state.trials)
        if state.waiting:
            return [Proposal(space.decode(choice), epochs) for choice in state.waiting[:count]]
        rng = context.rng("start")
        found: list[Proposal] = []
        for _ in range(count):
            found.append(untried(context, lambda: space.sample(rng), epochs, found))
        return found

    def tell(self, context: SearchContext, state: Climb, reports: Sequence[Report]) -> Climb:
        state = heard(state, reports, waiting=state.waiting[len(reports) :])
        for report in reports:
            state = _seen(state, report)
        return state if state.waiting else self._onward(context, state)

    def _onward(self, context: SearchContext, state: Climb) -> Climb:
        """From a candidate whose neighbours are all known to the first one of which that is not so, or to a new start."""
        while not state.waiting:
            if state.there is None or state.there_height <= state.height:
                return evolve(state, here=None, height=-2.0, there=None, there_height=-2.0, optima=state.optima + 1)
            state = evolve(state, here=state.there, height=state.there_height, there=None, there_height=-2.0)
            waiting = []
            for choice in _around(context, state):
                proposal = Proposal(context.space.decode(choice), self.config.epochs)
                if tried(context, proposal):
                    state = _seen(state, context.trials[context.evaluation.key(proposal)])
                else:
                    waiting.append(choice)
            state = evolve(state, waiting=waiting)
        return state

    def recommend(self, context: SearchContext, state: Climb) -> Sequence[Genotype]:
        return best_of(context, state)

    def finished(self, state: Climb) -> bool:
        return state.trials >= self.config.trials

    def figures(self, state: Climb) -> dict[str, Any]:
        return {**progress(state), "optima": state.optima, "waiting": len(state.waiting)}


def _seen(state: Climb, report: Report) -> Climb:
    if report.accuracy <= state.there_height:
        return state
    return evolve(state, there=report.proposal.genotype, there_height=report.accuracy)


def _around(context: SearchContext, state: Climb) -> list[list[int]]:
    """The choices that differ from where the climb stands in one decision, in a random order."""
    assert state.here is not None
    choice = context.space.encode(state.here)
    found = [
        [*choice[:i], option, *choice[i + 1 :]]
        for i, decision in enumerate(context.space.decisions)
        for option in range(len(decision.options))
        if option != choice[i]
    ]
    context.rng("neighbours").shuffle(found)
    return found
