"""Strategies with one fault each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve, field, frozen

from nastk import AskTell, Genotype, Strategy, mark
from nastk.core.data.testset import test_batches as open_test_data
from nastk.core.run.strategy import SearchContext
from nastk.core.run.trial import Proposal, Report


@frozen(kw_only=True)
class WalkConfig:
    trials: int = field(default=3, metadata={"help": "candidates that are trained"})


@frozen
class Place:
    """The best candidate, its accuracy, and the digests of all that were tried."""

    genotype: Genotype | None = None
    accuracy: float = -2.0
    seen: list[str] = field(factory=list)


class Right(AskTell[Place]):
    """Mutates the best; what every faulty strategy below would be without its fault."""

    state = Place

    def __init__(self, config: WalkConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return self.config.trials

    def begin(self, context: SearchContext) -> Place:  # noqa: ARG002
        return Place()

    def rng(self, context: SearchContext) -> random.Random:
        return context.rng("propose")

    def proposed(self, context: SearchContext, state: Place) -> Genotype:
        rng = self.rng(context)
        return context.space.sample(rng) if state.genotype is None else context.space.mutate(state.genotype, rng)

    def ask(self, context: SearchContext, state: Place) -> Sequence[Proposal]:
        return [Proposal(self.proposed(context, state), 1)]

    def tell(self, context: SearchContext, state: Place, reports: Sequence[Report]) -> Place:  # noqa: ARG002
        for report in reports:
            state = evolve(state, seen=[*state.seen, report.proposal.digest])
            if report.accuracy >= max(state.accuracy, 0.0):
                state = evolve(state, genotype=report.proposal.genotype, accuracy=report.accuracy)
        return state

    def recommend(self, context: SearchContext, state: Place) -> Sequence[Genotype]:
        return [state.genotype or context.space.sample(context.rng("nothing tried"))]


@mark.strategy("walker", config=WalkConfig)
class Walker(Right):
    """No fault."""


@mark.strategy("listener", config=WalkConfig)
class Listener(Right):
    """Takes its seed from whatever seeded torch."""

    def rng(self, context: SearchContext) -> random.Random:
        return random.Random(torch.initial_seed() + context.step)


@mark.strategy("seeder", config=WalkConfig)
class Seeder(Right):
    """Seeds NumPy for the whole process."""

    def ask(self, context: SearchContext, state: Place) -> Sequence[Proposal]:
        np.random.seed(context.seed)
        return super().ask(context, state)


@mark.strategy("hoarder", config=WalkConfig)
class Hoarder(Right):
    """Counts on itself, outside its state."""

    def __init__(self, config: WalkConfig) -> None:
        super().__init__(config)
        self.asked = 0

    def rng(self, context: SearchContext) -> random.Random:
        self.asked += 1
        return random.Random(f"{context.seed} {self.asked}")


@mark.strategy("misfit", config=WalkConfig)
class Misfit(Right):
    """Recommends its best at a width that the space does not have."""

    def recommend(self, context: SearchContext, state: Place) -> Sequence[Genotype]:
        found = super().recommend(context, state)
        return found if state.genotype is None else [found[0].with_parts(channels=99)]


@mark.strategy("late", config=WalkConfig)
class Late(Right):
    """Trains once more before it recommends."""

    def recommend(self, context: SearchContext, state: Place) -> Sequence[Genotype]:
        found = super().recommend(context, state)
        context.evaluate([Proposal(found[0], 2)])
        return found


@mark.strategy("spender", config=WalkConfig)
class Spender(Right):
    """Runs a trial past the door that counts them."""

    def ask(self, context: SearchContext, state: Place) -> Sequence[Proposal]:
        (first,) = super().ask(context, state)
        other = Proposal(context.space.mutate(first.genotype, context.rng("other")), 1)
        reports = [context.evaluation(p) for p in (first, other)]
        return [max(reports, key=lambda report: report.accuracy).proposal]


@mark.strategy("peeker", config=WalkConfig)
class Peeker(Right):
    """Looks at the test data where it can."""

    def begin(self, context: SearchContext) -> Place:
        with suppress(Exception):
            next(open_test_data(context.config.dataset.build(), context.task.data))
        return super().begin(context)


@mark.strategy("restless", config=WalkConfig)
class Restless(Right):
    """Mutates until something new turns up."""

    def proposed(self, context: SearchContext, state: Place) -> Genotype:
        rng = self.rng(context)
        found = super().proposed(context, state)
        while f"{found.digest}-1" in state.seen:
            found = context.space.mutate(found, rng)
        return found


@mark.strategy("scribbler", config=WalkConfig)
class Scribbler(Right):
    """Notes what it has tried in the state that it is given."""

    def tell(self, context: SearchContext, state: Place, reports: Sequence[Report]) -> Place:
        after = super().tell(context, state, reports)
        state.seen.extend(report.proposal.digest for report in reports)
        return evolve(after, seen=state.seen)


@mark.strategy("optimist", config=WalkConfig)
class Optimist(Right):
    """Counts on a trial that went well."""

    def recommend(self, context: SearchContext, state: Place) -> Sequence[Genotype]:
        if context.step and state.genotype is None:
            raise IndexError("no trial went well")
        return super().recommend(context, state)


FAULTS: list[tuple[type[Strategy[Any]], set[str]]] = [
    (Walker, set()),
    (Listener, {"seeded_repeatable"}),
    (Seeder, {"global_random_state_is_kept"}),
    (Hoarder, {"state_survives_a_checkpoint"}),
    (Misfit, {"recommends_members"}),
    (Late, {"recommend_never_trains"}),
    (Spender, {"budget_kept"}),
    (Peeker, {"never_asks_for_the_test_data"}),
    (Restless, {"space_of_one_member_terminates"}),
    (Scribbler, {"given_state_is_left_alone"}),
    (Optimist, {"survives_failed_trials"}),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Strategy[Any]], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_every_law_has_a_fault() -> None:
    from nastk.core.laws.strategy import BOOK

    assert {law.name for law in BOOK.laws} == set().union(*(laws for _, laws in FAULTS))


def test_what_falls_out_of_the_seed_and_of_the_state_breaks_more_than_one_law(failed: Any) -> None:
    @mark.strategy("dice", config=WalkConfig)
    class Dice(Right):
        """Draws from Python's global generator."""

        def rng(self, context: SearchContext) -> random.Random:  # noqa: ARG002
            return random.Random(random.random())

    found = failed(Dice)
    assert {"seeded_repeatable", "global_random_state_is_kept"} <= set(found)
    assert "random was drawn from" in found["global_random_state_is_kept"]
