"""The laws of executors: one report a trial, in order, whatever happens to a trial.

What is run here are top-level functions and frozen classes, which a pickle can carry to another process.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from nastk.core import seeds
from nastk.core.config import Part, SpacePart
from nastk.core.laws.law import LawBook, applies, ensure
from nastk.core.run.executor import Executor
from nastk.core.run.trial import Proposal, Report
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind

PAUSE = 0.02
"""Seconds by which a trial takes longer than the next one, where the order is looked at."""


@frozen
class Trials:
    """So many trials: members of the space toy from a seed, the first for one epoch, the next for two, and so on."""

    count: int
    seed: int

    @property
    def size(self) -> int:
        """How many."""
        return self.count

    def proposals(self) -> list[Proposal]:
        space = SpacePart.named("toy").build(ModelConfig())
        return [Proposal(space.sample(seeds.rng(self.seed, "trial", i)), epochs=i + 1) for i in range(self.count)]


def draw(rng: random.Random) -> Trials:
    """Two to five."""
    return Trials(rng.randint(2, 5), rng.randrange(10**6))


def prepare(part: Part, case: Trials) -> Executor:
    """A fresh executor."""
    del case
    built: Executor = part.build()
    return built


BOOK: LawBook[Executor, Trials] = LawBook(Kind.EXECUTOR, draw, prepare, examples=2)


def honest(proposal: Proposal) -> Report:
    """Figures from the digest alone."""
    number = seeds.key(0, proposal.digest)
    return Report(proposal, {"accuracy": number / 2**63, "nos": {"total": float(number % 1000)}, "epochs": proposal.epochs})


@frozen
class SlowFirst:
    """As :func:`honest`, but an early trial takes longer than a later one."""

    last: int

    def __call__(self, proposal: Proposal) -> Report:
        time.sleep(PAUSE * (self.last - proposal.epochs))
        return honest(proposal)


class Awkward(Exception):
    """An exception that a pickle cannot carry: it cannot be built from its message."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def moody(proposal: Proposal) -> Report:
    """As :func:`honest` for an odd number of epochs; raises for an even one, each time another class."""
    if proposal.epochs % 4 == 0:
        raise Awkward("this", "that")
    if proposal.epochs % 2 == 0:
        raise MemoryError("no room for this candidate")
    return honest(proposal)


@frozen
class Counted:
    """As :func:`honest`; leaves one file in a folder for each call."""

    folder: str

    def __call__(self, proposal: Proposal) -> Report:
        handle, _ = tempfile.mkstemp(prefix=f"{proposal.digest}.", dir=self.folder)
        os.close(handle)
        return honest(proposal)


@frozen
class Deadly:
    """As :func:`honest`, but the trial of ``epochs`` epochs ends its process; not the one of this number."""

    epochs: int
    home: int

    def __call__(self, proposal: Proposal) -> Report:
        if proposal.epochs == self.epochs and os.getpid() != self.home:
            os._exit(9)
        return honest(proposal)


def by_trial(reports: Sequence[Report]) -> dict[str, Report]:
    """The reports by their trials, in whatever order they came."""
    return {report.proposal.digest: report for report in reports}


@BOOK.law
def one_report_a_trial_in_order(executor: Executor, case: Trials) -> None:
    """There is one report for each trial, with the proposal it was given, in the order of the trials."""
    trials = case.proposals()
    wanted = [trial.digest for trial in trials]
    found = [report.proposal.digest for report in executor.run(trials, SlowFirst(case.count))]
    ensure(sorted(found) == sorted(wanted), f"{len(wanted)} trials gave the reports of {len(found)}, or of other proposals")
    ensure(found == wanted, "the reports come in another order than the trials")


@BOOK.law
def same_as_inline(executor: Executor, case: Trials) -> None:
    """A report is what ``work`` gives when it is called here."""
    trials = case.proposals()
    reports = by_trial(list(executor.run(trials, honest)))
    for trial in trials:
        ensure(trial.digest not in reports or reports[trial.digest] == honest(trial), "the report is not what work returned")


@BOOK.law
def failures_stay_with_their_trial(executor: Executor, case: Trials) -> None:
    """A trial whose ``work`` raises gives a failed report that says why, and the others succeed."""
    trials = case.proposals()
    reports = by_trial(list(executor.run(trials, moody)))
    for trial in trials:
        report = reports.get(trial.digest)
        if trial.epochs % 2:
            ensure(report is not None and report.failure is None, f"trial {trial.epochs}, whose work does not raise, failed")
        else:
            ensure(report is not None and report.failure, f"trial {trial.epochs}, whose work raises, gave no failed report")


@BOOK.law_tried(1)
def no_trials_give_no_reports(executor: Executor, case: Trials) -> None:
    """Without trials there are no reports."""
    del case
    reports = list(executor.run([], honest))
    ensure(not reports, f"{len(reports)} reports came from no trials")


@BOOK.law
def work_is_called_once_a_trial(executor: Executor, case: Trials) -> None:
    """``work`` is called once for each trial that succeeds."""
    trials = case.proposals()
    with tempfile.TemporaryDirectory(prefix="nastk-laws-") as folder:
        for _ in executor.run(trials, Counted(folder)):
            pass
        calls = [path.name.partition(".")[0] for path in Path(folder).iterdir()]
    for trial in trials:
        ensure(calls.count(trial.digest) == 1, f"work was called {calls.count(trial.digest)} times for trial {trial.epochs}")


@BOOK.law_tried(1)
def runs_again(executor: Executor, case: Trials) -> None:
    """An executor that has run trials runs others."""
    trials = case.proposals()
    for batch in (trials[:1], trials[1:], trials):
        reports = list(executor.run(batch, honest))
        ensure(len(reports) == len(batch), f"{len(batch)} trials after others gave {len(reports)} reports")
        ensure(all(report.failure is None for report in reports), "trials failed that came after others")


@BOOK.law_tried(1)
def a_killed_worker_costs_one_trial(executor: Executor, case: Trials) -> None:
    """Where trials are isolated, one whose process ends gives a failed report, and the others succeed."""
    applies(executor.isolated, "it says isolated = False")
    trials = case.proposals()
    deadly = trials[case.count // 2].epochs
    reports = by_trial(list(executor.run(trials, Deadly(deadly, os.getpid()))))
    for trial in trials:
        report = reports.get(trial.digest)
        if trial.epochs == deadly:
            ensure(report is not None and report.failure, "the trial whose process should end succeeded, or gave no report")
        else:
            ensure(report is not None and report.failure is None, f"trial {trial.epochs} failed when trial {deadly} was killed")
