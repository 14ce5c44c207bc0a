"""The one search loop: it drives random, evolutionary and differentiable search alike."""

from __future__ import annotations

import time
from typing import Any

import attrs
from attrs import field, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.errors import ConfigError, Diverged
from nastk.core.events import Notice, StageDone, StageStarted, StepDone
from nastk.core.registry import registry
from nastk.core.run.parallel import first
from nastk.core.run.retry import Retries
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial_log import TrialLog
from nastk.core.types import Kind

STAGE = "search"
EVERY = 1.0
"""Seconds between two checkpoints of a search whose steps are shorter. Its trials are kept one by one in any case."""


@frozen
class SearchResult:
    """The recommended genotype, and what the search took."""

    genotype: Genotype
    steps: int
    seconds: float
    retries: list[dict[str, Any]] = field(factory=list)
    """Steps that diverged and were tried again at a lower rate: see :class:`Retries`."""


def search(strategy: Strategy[Any], context: SearchContext, store: RunDirectory, every: float = EVERY) -> SearchResult:
    """Run a strategy within the budget; goes on from the last checkpoint of the directory.

    Raises :class:`ConfigError` when the strategy cannot search this space.
    """
    check_fit(strategy, context)
    loop = _Loop(strategy, context, store)
    try:
        return loop.run(every)
    finally:
        loop.close()


class _Loop:
    """A search between two steps: the state, and the seconds that it has taken."""

    def __init__(self, strategy: Strategy[Any], context: SearchContext, store: RunDirectory) -> None:
        self.strategy, self.context, self.store = strategy, context, store
        self.log = TrialLog(store.path)
        self.spent, self.seen, self.kept = 0.0, 0, 0
        reports = self.log.read()
        whole = [report for report in reports if report is not None]
        saved = store.load(STAGE)
        if saved is not None and len(whole) < max(len(reports), saved["trials"]):
            lost = max(len(reports), saved["trials"]) - len(whole)
            context.emit(Notice(f"{lost} trials in {self.log.path} are damaged: the search is repeated, the others stay."))
            saved = None
        context.trials.keep = self.log.keep
        keys = [context.evaluation.key(report.proposal) for report in whole]
        context.trials.restore(keys, whole, 0 if saved is None else saved["trials"])
        self.retries = Retries(context.config.divergence, None if saved is None else saved.get("retries"))
        if saved is None:
            self.state = strategy.begin(context)
        else:
            context.step = self.kept = saved["step"]
            self.spent, self.seen = saved["seconds"], saved["trials"]
            self.state = strategy.state(**saved["state"])

    def run(self, every: float) -> SearchResult:
        context, strategy = self.context, self.strategy
        context.emit(StageStarted(STAGE, planned(strategy, context), "steps", context.step))
        last = time.perf_counter()
        try:
            while not self._over():
                start = time.perf_counter()
                context.rate = self.retries.rate(context.step)
                try:
                    state = strategy.step(context, self.state)
                except Diverged as error:
                    self.spent += first(time.perf_counter() - start)
                    self._again(error)
                    continue
                self.state, context.step, self.seen = state, context.step + 1, len(context.trials)
                now = time.perf_counter()
                self.spent += first(now - start)
                if now - last >= every:
                    self._save()
                    last = now
                context.emit(StepDone(STAGE, context.step, strategy.figures(state)))
        finally:
            self._save()
        context.within.done()  # a process may have ended between the last checkpoint and this
        context.emit(StageDone(STAGE, self.spent))
        return SearchResult(strategy.recommend(context, self.state)[0], context.step, self.spent, self.retries.made)

    def close(self) -> None:
        self.log.close()

    def _again(self, error: Diverged) -> None:
        """The step is tried again from the state before it, whose checkpoint now says so."""
        text = self.retries.again(self.context.step, error)
        self.context.within.done()  # before the note: a step never goes on from within a try that has failed
        self.kept = -1
        self._save()
        self.context.emit(Notice(text))

    def _save(self) -> None:
        if self.context.step == self.kept:
            return
        tree = {f.name: getattr(self.state, f.name) for f in attrs.fields(type(self.state))}
        told = {"seconds": self.spent, "trials": self.seen, "retries": self.retries.made}
        saved = {"step": self.context.step, **told, "state": tree}
        self.store.save(STAGE, self.context.step, saved)
        self.kept = self.context.step
        self.context.within.done()

    def _over(self) -> bool:
        return over(self.strategy, self.context, self.state, self.spent)


def planned(strategy: Strategy[Any], context: SearchContext) -> int:
    """The steps that a search has at most."""
    return min(strategy.steps, context.config.budget.steps or strategy.steps)


def over(strategy: Strategy[Any], context: SearchContext, state: Any, spent: float) -> bool:
    """Whether a search ends here: at its planned end, at that of the budget, or because the strategy says so."""
    minutes = context.config.budget.minutes
    return (
        context.step >= planned(strategy, context)
        or (minutes is not None and spent >= minutes * 60)
        or context.trials.over
        or strategy.finished(state)
    )


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
