"""Executors with one fault each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import Any

import pytest
from attrs import evolve

from nastk import mark
from nastk.core.run.executor import Executor, Work
from nastk.core.run.trial import Proposal, Report


class Right(Executor):
    """One after the other; what every faulty executor below would be without its fault."""

    def one(self, trial: Proposal, work: Work) -> Report:
        try:
            return work(trial)
        except Exception as error:
            return Report(trial, failure=repr(error))

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        for trial in trials:
            yield self.one(trial, work)


@mark.executor("plain")
class Plain(Right):
    """No fault."""


@mark.executor("threads")
class Threads(Right):
    """No fault: threads."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(lambda trial: self.one(trial, work), trials)


def _in_child(end: Connection, trial: Proposal, work: Work) -> None:
    end.send(Right().one(trial, work))


@mark.executor("forked")
class Forked(Right):
    """No fault: one process a trial, one after the other."""

    isolated = True

    def one(self, trial: Proposal, work: Work) -> Report:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_in_child, args=(theirs, trial, work))
        child.start()
        theirs.close()
        try:
            return ours.recv()
        except EOFError:
            return Report(trial, failure="its process ended")
        finally:
            child.join()


@mark.executor("hasty")
class Hasty(Right):
    """Hands out reports as they come."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        with ThreadPoolExecutor(8) as pool:
            for done in as_completed([pool.submit(self.one, trial, work) for trial in trials]):
                yield done.result()


@mark.executor("twofold")
class Twofold(Right):
    """Gives the first report twice."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        reports = [self.one(trial, work) for trial in trials]
        yield from reports[:1] if len(reports) > 1 and reports[0].figures.get("epochs") else []
        yield from reports


@mark.executor("rounding")
class Rounding(Right):
    """Rounds what it sends."""

    def one(self, trial: Proposal, work: Work) -> Report:
        report = super().one(trial, work)
        return report if report.failure else evolve(report, figures={"accuracy": round(report.accuracy, 2)})


@mark.executor("fearful")
class Fearful(Right):
    """Ends with the first trial that raises."""

    def one(self, trial: Proposal, work: Work) -> Report:
        return work(trial)


@mark.executor("silent")
class Silent(Right):
    """Says nothing of trials that raise."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        yield from (report for report in super().run(trials, work) if report.failure is None)


@mark.executor("wordless")
class Wordless(Right):
    """Does not say why."""

    def one(self, trial: Proposal, work: Work) -> Report:
        report = super().one(trial, work)
        return evolve(report, failure="") if report.failure else report


@mark.executor("exact")
class Exact(Right):
    """Opens as many threads as there are trials; none is too few."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        with ThreadPoolExecutor(len(trials)) as pool:
            yield from pool.map(lambda trial: self.one(trial, work), trials)


@mark.executor("careful")
class Careful(Right):
    """Runs every trial twice to be sure."""

    def one(self, trial: Proposal, work: Work) -> Report:
        super().one(trial, work)
        return super().one(trial, work)


@mark.executor("one-shot")
class OneShot(Right):
    """Closes its pool after the first trials."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        with self.pool:
            yield from self.pool.map(lambda trial: self.one(trial, work), trials)


@mark.executor("pretender")
class Pretender(Right):
    """Says that it isolates, and does not."""

    isolated = True


@mark.executor("fragile")
class Fragile(Forked):
    """Gives up when a process has ended."""

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        broken = False
        for trial in trials:
            report = Report(trial, failure="the pool is broken") if broken else self.one(trial, work)
            broken = broken or report.failure == "its process ended"
            yield report


FAULTS: list[tuple[type[Executor], set[str]]] = [
    (Plain, set()),
    (Threads, set()),
    (Forked, set()),
    (Hasty, {"one_report_a_trial_in_order"}),
    (Rounding, {"same_as_inline"}),
    (Fearful, {"failures_stay_with_their_trial"}),
    (Silent, {"failures_stay_with_their_trial"}),
    (Wordless, {"failures_stay_with_their_trial"}),
    (Exact, {"no_trials_give_no_reports"}),
    (Careful, {"work_is_called_once_a_trial"}),
    (OneShot, {"runs_again"}),
    (Pretender, {"a_killed_worker_costs_one_trial"}),
    (Fragile, {"a_killed_worker_costs_one_trial"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Executor], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_a_report_too_many_is_seen(failed: Any) -> None:
    """It is too many after other trials as well."""
    assert set(failed(Twofold)) == {"one_report_a_trial_in_order", "runs_again"}
