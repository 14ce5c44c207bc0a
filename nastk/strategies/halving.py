"""Successive halving: races in which the better part goes on to longer training; and the schedules of such races."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.best import Best, best_of, progress


@frozen
class Rung:
    """So many candidates, each trained for so many epochs."""

    candidates: int
    epochs: int


Bracket = tuple[Rung, ...]
"""The rungs of one race; each has fewer candidates than the one before, and longer training."""


def levels(most: int, eta: int) -> int:
    """The largest ``s`` with ``eta**s <= most``; 0 where there is none."""
    s = 0
    while eta ** (s + 1) <= most:
        s += 1
    return s


def bracket(candidates: int, epochs: int, eta: int, s: int) -> Bracket:
    """``s + 1`` rungs: ``candidates // eta**i`` candidates for ``epochs / eta**(s - i)`` epochs, rounded half up."""
    cuts = [eta ** (s - i) for i in range(s + 1)]
    return tuple(Rung(candidates // eta**i, (2 * epochs + cut) // (2 * cut)) for i, cut in enumerate(cuts))


@frozen
class Race(Best):
    """A rung: who waits for its training, who was trained. The best is the best of the longest training so far."""

    epochs: int = 0
    """Training of the best."""
    bracket: int = 0
    rung: int = 0
    waiting: Sequence[Genotype] = ()
    trained: Sequence[Genotype] = ()
    accuracies: Sequence[float] = ()


class Halving(AskTell[Race]):
    """A strategy that runs brackets one after the other.

    The first rung of a bracket is drawn at random; the most accurate of a rung make the next one. They are trained there
    from new weights, at the cost of the whole longer training: a trial is a function of genotype and epochs alone.
    What is recommended is the best of the longest training that did not fail.
    """

    state = Race

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    @abstractmethod
    def brackets(self) -> tuple[Bracket, ...]:
        """The races, in order."""

    @property
    def steps(self) -> int:
        return sum(-(-rung.candidates // self.config.batch) for bracket in self.brackets for rung in bracket)

    def begin(self, context: SearchContext) -> Race:  # noqa: ARG002  the interface's arguments
        return Race()

    def ask(self, context: SearchContext, state: Race) -> Sequence[Proposal]:
        rung = self.brackets[state.bracket][state.rung]
        count = min(self.config.batch, rung.candidates - len(state.trained))
        if state.rung:
            return [Proposal(genotype, rung.epochs) for genotype in state.waiting[:count]]
        rng = context.rng("draw")
        return [Proposal(context.space.sample(rng), rung.epochs) for _ in range(count)]

    def tell(self, context: SearchContext, state: Race, reports: Sequence[Report]) -> Race:  # noqa: ARG002
        for report in reports:
            state = _heard(state, report)
        state = evolve(
            state,
            waiting=state.waiting[len(reports) :],
            trained=[*state.trained, *(report.proposal.genotype for report in reports)],
            accuracies=[*state.accuracies, *(report.accuracy for report in reports)],
        )
        return self._promoted(state)

    def _promoted(self, state: Race) -> Race:
        rungs = self.brackets[state.bracket]
        if len(state.trained) < rungs[state.rung].candidates:
            return state
        if state.rung + 1 == len(rungs):
            return evolve(state, bracket=state.bracket + 1, rung=0, waiting=[], trained=[], accuracies=[])
        order = sorted(range(len(state.trained)), key=lambda i: -state.accuracies[i])
        survivors = [state.trained[i] for i in order[: rungs[state.rung + 1].candidates]]
        return evolve(state, rung=state.rung + 1, waiting=survivors, trained=[], accuracies=[])

    def recommend(self, context: SearchContext, state: Race) -> Sequence[Genotype]:
        return best_of(context, state)

    def finished(self, state: Race) -> bool:
        return state.bracket >= len(self.brackets)

    def figures(self, state: Race) -> dict[str, Any]:
        return {**progress(state), "best_epochs": state.epochs, "bracket": state.bracket, "rung": state.rung}


def _heard(state: Race, report: Report) -> Race:
    state = evolve(state, trials=state.trials + 1, failed=state.failed + (report.failure is not None))
    epochs = report.proposal.epochs
    if (report.failure is None, epochs, report.accuracy) <= (state.accuracy >= 0, state.epochs, state.accuracy):
        return state
    return evolve(state, genotype=report.proposal.genotype, accuracy=report.accuracy, epochs=epochs)
