"""The best candidate so far, which every strategy that samples keeps; and drawing a candidate that was not tried yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import evolve, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import SearchContext
from nastk.core.run.trial import Proposal, Report

DRAWS = 20
"""Draws after which :func:`untried` takes what it has: the space, or what can be reached, may be used up."""


@frozen
class Best:
    """The best candidate so far, its validation accuracy, and how many trials were reported and how many of them failed."""

    genotype: Genotype | None = None
    accuracy: float = -2.0
    trials: int = 0
    failed: int = 0


B = TypeVar("B", bound=Best)


def heard(state: B, reports: Sequence[Report], **changes: Any) -> B:
    """The state after these reports, of equally long trainings: the first of the most accurate ones is the best."""
    genotype, accuracy = state.genotype, state.accuracy
    failed = state.failed
    for report in reports:
        failed += report.failure is not None
        if report.accuracy > accuracy:
            genotype, accuracy = report.proposal.genotype, report.accuracy
    trials = state.trials + len(reports)
    return evolve(state, genotype=genotype, accuracy=accuracy, trials=trials, failed=failed, **changes)


def best_of(context: SearchContext, state: Best) -> list[Genotype]:
    """The best candidate; any member of the space where no trial was reported."""
    return [state.genotype or context.space.sample(context.rng("nothing tried"))]


def progress(state: Best) -> dict[str, Any]:
    """The figures that all strategies that sample report."""
    return {"best_accuracy": state.accuracy, "trials": state.trials, "failed": state.failed}


def tried(context: SearchContext, proposal: Proposal) -> bool:
    """Whether the search has a report of it: to evaluate it again costs nothing and tells nothing."""
    return context.evaluation.key(proposal) in context.trials


def untried(context: SearchContext, draw: Callable[[], Genotype], epochs: int, beside: Sequence[Proposal] = ()) -> Proposal:
    """A drawn candidate that was not tried and is not among ``beside``; after :data:`DRAWS` draws, any."""
    pending = {context.evaluation.key(proposal) for proposal in beside}
    for _ in range(DRAWS):
        proposal = Proposal(draw(), epochs)
        if not tried(context, proposal) and context.evaluation.key(proposal) not in pending:
            break
    return proposal
