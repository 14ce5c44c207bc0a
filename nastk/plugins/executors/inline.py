"""Trials one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nastk.core import mark
from nastk.core.run.executor import Executor, Work
from nastk.core.run.trial import Proposal, Report


@mark.executor("inline")
class Inline(Executor):
    """One trial after the other, in this process."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        for trial in trials:
            try:
                yield work(trial)
            except Exception as error:  # a candidate must not end the search; the reason is kept in its report
                yield Report(trial, failure=f"{type(error).__name__}: {error}")
