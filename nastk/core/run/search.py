"""The one search loop: it drives random, evolutionary and differentiable search alike."""

from __future__ import annotations

import time
from typing import Any

import attrs
from attrs import frozen

from nastk.core.cell.graph import Genotype
from nastk.core.errors import ConfigError
from nastk.core.events import StageDone, StageStarted, StepDone
from nastk.core.registry import registry
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial import Proposal, Report
from nastk.core.types import Kind

STAGE = "search"


@frozen
class SearchResult:
    """The recommended genotype, and what the search took."""

    genotype: Genotype
    steps: int
    seconds: float


def search(strategy: Strategy[Any], context: SearchContext, store: RunDirectory) -> SearchResult:
    """Run a strategy within the budget, one checkpoint a step; goes on from the last checkpoint of the directory.

    Raises :class:`ConfigError` when the strategy cannot search this space.
    """
    check_fit(strategy, context)
    budget = context.config.budget
    planned = min(strategy.steps, budget.steps or strategy.steps)
    saved = store.load(STAGE)
    if saved is None:
        state, spent = strategy.begin(context), 0.0
    else:
        context.step, spent = saved["step"], saved["seconds"]
        context.reports = {r["digest"]: _report(r) for r in saved["reports"]}
        state = strategy.state(**saved["state"])
    context.emit(StageStarted(STAGE, planned, "steps", context.step))
    while not _over(strategy, state, context, planned, spent):
        start = time.perf_counter()
        state = strategy.step(context, state)
        context.step += 1
        spent += time.perf_counter() - start
        tree = {f.name: getattr(state, f.name) for f in attrs.fields(type(state))}
        reports = [_tree(report) for report in context.reports.values()]
        store.save(STAGE, context.step, {"step": context.step, "seconds": spent, "reports": reports, "state": tree})
        context.emit(StepDone(STAGE, context.step, strategy.figures(state)))
    context.emit(StageDone(STAGE, spent))
    return SearchResult(strategy.recommend(context, state)[0], context.step, spent)


def check_fit(strategy: Strategy[Any], context: SearchContext) -> None:
    """Refuse, in one sentence, a strategy on a space or with settings that it cannot search."""
    if not isinstance(context.space, strategy.requires):
        names = [e.name for e in registry().entries(Kind.SPACE)]
        raise ConfigError(
            [
                f"strategy {context.config.strategy.name!r} needs a {strategy.requires.__name__} space, "
                f"{context.config.space.name!r} is none. Spaces: {', '.join(names)}"
            ],
            "strategy",
        )
    strategy.check(context)


def _over(strategy: Strategy[Any], state: Any, context: SearchContext, planned: int, spent: float) -> bool:
    budget = context.config.budget
    return (
        context.step >= planned
        or (budget.minutes is not None and spent >= budget.minutes * 60)
        or (budget.evaluations is not None and len(context.reports) >= budget.evaluations)
        or strategy.finished(state)
    )


def _tree(report: Report) -> dict[str, Any]:
    proposal = report.proposal
    return {
        "digest": proposal.digest,
        "genotype": proposal.genotype,
        "epochs": proposal.epochs,
        "figures": dict(report.figures),
        "failure": report.failure,
    }


def _report(tree: dict[str, Any]) -> Report:
    return Report(Proposal(tree["genotype"], tree["epochs"]), tree["figures"], tree["failure"])
