"""The laws of strategies: all that changes is in the state, and a search is a function of its seed."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from nastk.core.errors import NastkError
from nastk.core.events import Event, StepDone
from nastk.core.laws.context import STEPS
from nastk.core.laws.law import LawBook, applies, ensure
from nastk.core.laws.searching import (
    Searcher,
    SmallSearch,
    agree,
    draw,
    finished,
    prepare,
    run,
    snapshot,
    states,
)
from nastk.core.laws.watch import elsewhere, random_state_kept
from nastk.core.run.compare import difference
from nastk.core.types import Kind

LOOKS = 20_000
"""Readings of a space in one small search after which it is taken to run for ever; a real one needs a few hundred."""

BOOK: LawBook[Searcher, SmallSearch] = LawBook(Kind.STRATEGY, draw, prepare, examples=1)


class _Killed(BaseException):
    """The process ends here."""


@BOOK.law
def seeded_repeatable(searcher: Searcher, case: SmallSearch) -> None:
    """Two searches with one seed end in the same state and recommendation, whatever the global random state."""
    first = finished(searcher.context(case))
    with elsewhere(case.seed):
        second = finished(searcher.context(case))
    agree(first, second, "in a second search with the same seed")


@BOOK.law_tried(2)
def state_survives_a_checkpoint(searcher: Searcher, case: SmallSearch) -> None:
    """A search that is killed and goes on from its checkpoint, with a fresh instance, ends as the uninterrupted one."""
    with tempfile.TemporaryDirectory() as folder:
        whole = run(searcher.context(case), Path(folder) / "whole")
        applies(whole.steps > case.stop, f"it ends after {whole.steps} steps")
        killed = searcher.context(case)

        def emit(event: Event) -> None:
            if isinstance(event, StepDone) and event.step == case.stop:
                raise _Killed

        killed.emit = emit
        with suppress(_Killed):
            run(killed, Path(folder) / "part")
        resumed = run(searcher.context(case), Path(folder) / "part")
    agree(whole, resumed, f"killed after step {case.stop} and resumed")


@BOOK.law
def recommends_members(searcher: Searcher, case: SmallSearch) -> None:
    """After every step it recommends at least one genotype, all of the space; before the first it may refuse."""
    context = searcher.context(case)
    for state in states(context):
        try:
            found = list(context.strategy.recommend(context, state))
        except NastkError:
            if context.step:
                raise
            continue
        ensure(found, f"after step {context.step} it recommends nothing")
        strangers = [genotype for genotype in found if genotype not in context.space]
        ensure(not strangers, f"after step {context.step} it recommends {strangers[:1]}, which is not in {searcher.space!r}")


@BOOK.law
def recommend_never_trains(searcher: Searcher, case: SmallSearch) -> None:
    """To recommend runs no trial and asks for no data, and two calls give one answer."""
    context = searcher.context(case)
    for state in states(context):
        before = len(context.watch.trials), len(context.watch.splits)
        answers: list[Any] = []
        for _ in range(2):
            try:
                answers.append(list(context.strategy.recommend(context, state)))
            except NastkError as refusal:  # recommends_members says when it may
                answers.append(str(refusal))
        trials, splits = len(context.watch.trials) - before[0], context.watch.splits[before[1] :]
        ensure(trials <= 0, f"after step {context.step}, recommend ran {trials} trials")
        ensure(not splits, f"after step {context.step}, recommend asked for data of {', '.join(splits)}")
        ensure(answers[0] == answers[1], f"after step {context.step}, a second call recommends something else")


@BOOK.law
def budget_kept(searcher: Searcher, case: SmallSearch) -> None:
    """It takes the steps of its budget unless it ends before, and runs no trial above the budget of evaluations."""
    planned = searcher.context(case).strategy.steps
    ensure(isinstance(planned, int) and planned >= 1, f"it plans {planned!r} steps, not a number from 1 on")
    for steps in range(1, STEPS):
        context = searcher.context(case, budget={"steps": steps})
        ended = finished(context).steps
        taken = sum(isinstance(event, StepDone) for event in context.watch.events)
        most = min(steps, planned)  # it may say before that it has finished
        ensure(1 <= taken <= most, f"with budget.steps = {steps}, and {planned} planned, it took {taken} steps")
        ensure(taken == ended, f"it took {taken} steps, and the context stands at {ended}: it is not the strategy's to set")
    for limit in (1, 2):
        context = searcher.context(case, budget={"evaluations": limit})
        finished(context)
        count = len(context.watch.trials)
        ensure(count <= limit, f"with budget.evaluations = {limit} it ran {count} trials")
        if not count:
            break


@BOOK.law
def never_asks_for_the_test_data(searcher: Searcher, case: SmallSearch) -> None:
    """From begin to recommend it never opens the test data."""
    context = searcher.context(case)
    finished(context)
    ensure(not context.watch.tests, f"it asked for the test data, {context.watch.tests} times")


@BOOK.law
def space_of_one_member_terminates(searcher: Searcher, case: SmallSearch) -> None:
    """In a space of a single member, where nothing can be mutated, the search ends."""
    applies(searcher.space == "toy", f"it searches {searcher.space!r}, which is not made of one member here")
    try:
        context = searcher.context(case, space={"name": "toy", "operations": ["conv_3x3"]})
    except NastkError as refusal:
        applies(False, f"it refuses such a space: {refusal}")
    looks = 0

    def counted(read: Any) -> Any:
        def reading(*args: Any) -> Any:
            nonlocal looks
            looks += 1
            ensure(looks <= LOOKS, f"it does not end: it read or wrote {LOOKS} genotypes within step {context.step + 1}")
            return read(*args)

        return reading

    for name in ("encode", "decode"):  # all that walks in a space goes through them
        setattr(context.space, name, counted(getattr(context.space, name)))
    finished(context)


@BOOK.law
def given_state_is_left_alone(searcher: Searcher, case: SmallSearch) -> None:
    """A step makes a new state: neither it nor recommend, figures or finished write into the one that they are given."""
    context = searcher.context(case)
    before: Any = None
    kept: Any = None
    for state in states(context):
        if before is not None:
            where = difference(kept, snapshot(before))
            ensure(not where, f"step {context.step} changed {where.lstrip('.')} of the state that it was given")
        before, kept = state, snapshot(state)
        strategy = context.strategy
        with suppress(NastkError):  # recommends_members says when it may refuse
            strategy.recommend(context, state)
        strategy.figures(state)
        strategy.finished(state)
        where = difference(kept, snapshot(state))
        ensure(not where, f"recommend, figures or finished changed {where.lstrip('.')} of the state after step {context.step}")


@BOOK.law
def global_random_state_is_kept(searcher: Searcher, case: SmallSearch) -> None:
    """A search neither draws from the global random state (torch, numpy, random) nor seeds it."""
    context = searcher.context(case)
    with random_state_kept(case.seed, "strategy"):
        finished(context)


@BOOK.law
def survives_failed_trials(searcher: Searcher, case: SmallSearch) -> None:
    """Where every trial fails, the search still ends and recommends a member of the space."""
    context = searcher.context(case)
    context.failing = True
    found = finished(context)
    applies(context.watch.trials, "it runs no trials")
    ensure(found.genotype in context.space, "after failed trials only, it recommends a genotype that is not in the space")
