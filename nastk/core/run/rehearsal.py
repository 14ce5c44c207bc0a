"""A run rehearsed: its own session and stages on the first few batches of every pass. Nothing is written, no test data opened."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from attrs import evolve, field, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable
from nastk.core.config import ExecutorPart
from nastk.core.errors import NastkError
from nastk.core.model.network import Network
from nastk.core.run.capture import WARM_UPS
from nastk.core.run.few import LEAST, Clock, FewBatches
from nastk.core.run.result import BATCHES, operations
from nastk.core.run.run import Run
from nastk.core.run.search import over
from nastk.core.run.session import DRAWS, Session
from nastk.core.run.training import evaluate
from nastk.core.run.trial import Evaluation, Proposal, Report, TrainedTrials
from nastk.core.run.within import Within
from nastk.core.seeds import rng
from nastk.core.settings import RunConfig
from nastk.core.types import Split

MEMBERS = 3
"""Trials that are really run, and members whose training is tried: their costs differ, and the mean is taken."""
PATIENCE = 30.0
"""Seconds for the steps of a search; a longer one is taken to go on as it went so far."""


@frozen
class Price:
    """Seconds of a trial: for each epoch, and beside them."""

    epoch: float
    rest: float


@frozen
class PricedTrials(TrainedTrials):
    """Trials of which the first are run for an epoch of few batches; the others cost what these did, and find what they found."""

    prices: list[Price] = field(factory=list, kw_only=True, eq=False)
    reports: list[Report] = field(factory=list, kw_only=True, eq=False)

    def __call__(self, proposal: Proposal) -> Report:
        """A report whose ``seconds`` are estimated and whose ``accuracy`` is made up, so that trials differ."""
        data = self.task.data
        assert isinstance(data, FewBatches)
        handed = data.handed
        if len(self.prices) < MEMBERS:
            one = evolve(proposal, epochs=1)
            report, seconds = data.measure(lambda: super(PricedTrials, self).__call__(one))
            epoch = data.seconds or seconds
            price, missing = Price(epoch, max(seconds - epoch, 0.0)), epoch * (proposal.epochs - 1)
            self.prices.append(price)
            if report.failure is None:
                self.reports.append(report)
        else:
            means = [statistics.mean(column) for column in zip(*map(attrs.astuple, self.prices), strict=True)]
            price = Price(*means)
            missing = price.rest + price.epoch * proposal.epochs
        data.clock.skip(missing)
        data.handed = handed
        figures = dict(self.reports[0].figures) if self.reports else {}
        made_up = rng(self.seed, "estimate", proposal.digest).uniform(0.1, 0.9)
        return Report(proposal, {**figures, "accuracy": made_up, "seconds": price.rest + price.epoch * proposal.epochs})


class Rehearsal(Run):
    """A run on data whose passes are short."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(evolve(config, executor=ExecutorPart("inline")))

    def evaluation(self) -> Evaluation:
        made = super().evaluation()
        assert isinstance(made, TrainedTrials)
        least = LEAST + 3 * WARM_UPS if self.config.capture else LEAST  # what is recorded is quicker from then on
        self.data = FewBatches(self.task.data, self.config.train.batch, Clock(), least)
        self.task = self.config.task.build(self.data)
        known = {a.name: getattr(made, a.name) for a in attrs.fields(type(made))}
        return PricedTrials(**known | {"task": self.task})

    def within(self, stage: str) -> Within:
        """A rehearsal has no directory: it neither goes on from what lies here nor leaves anything."""
        del stage
        return Within()

    def supernet_parameters(self) -> int | None:
        """Of a strategy that trains one."""
        if not issubclass(self.strategy.requires, Relaxable):
            return None
        return sum(p.numel() for p in self.context.supernet().parameters())

    def networks(self, found: Genotype | None) -> Iterator[Network]:
        """Of the genotype that the rehearsed search ended with, and of drawn ones."""
        draws = [self.space.sample(rng(self.config.seed, "check", draw)) for draw in range(DRAWS)]
        yield from itertools.islice(self._built([found, *draws] if found else draws), MEMBERS)

    def _built(self, wanted: Sequence[Genotype]) -> Iterator[Network]:
        for genotype in wanted:
            with suppress(NastkError):  # with searched parts, another member may fit
                yield self.build(genotype)

    def training(self, network: Network) -> float:
        """Seconds of training from scratch: epochs like the one in the middle, where paths are dropped."""
        epochs = self.config.train.epochs
        return epochs * self.data.measure(lambda: self.trainer(network).epoch(epochs // 2))[1]

    def testing(self, network: Network) -> float:
        """Seconds of the last stage, as if the test data, which stay closed, were as many as the validation part."""

        def passed(split: Split) -> float:
            return self.data.measure(lambda: evaluate(network, network, self.task, self.task.data.unaugmented(split)))[1]

        valid = itertools.islice(self.task.data.unaugmented(Split.VALID), BATCHES)
        began = time.perf_counter()
        operations(network, valid)
        return time.perf_counter() - began + 2 * passed(Split.VALID) + passed(Split.WEIGHTS)


@frozen
class Searched:
    """What a rehearsed search came to."""

    steps: int
    seconds: float
    evaluations: int
    genotype: Genotype | None


def searched(session: Session) -> Searched:
    """Go through the steps of a search with the clock of its data.

    A step that takes batches of its own stands for those behind it, up to the strategy's next landmark; a step of trials
    alone is cheap here, and each one is gone through, so that trials are counted as the search would ask for them.
    """
    strategy, context = session.strategy, session.context
    data = session.data if isinstance(session, Rehearsal) else None
    patience = time.perf_counter() + PATIENCE
    clock = Clock() if data is None else data.clock
    began = clock.now()
    state = strategy.begin(context)
    landmarks: Mapping[int, Any] = strategy.landmarks(state)
    beginning, spent, trials = clock.now() - began, 0.0, 0.0
    price: float | None = None
    more = 0.0
    while not over(strategy, context, state, spent):
        if context.step in landmarks:
            state, price = landmarks[context.step], None
        if price is None:
            seen, handed = len(context.trials), 0 if data is None else data.handed

            def took_batches(handed: int = handed) -> bool:
                return data is not None and data.handed > handed

            def step(state: Any = state) -> Any:
                return strategy.step(context, state)

            if data is None:
                start = clock.now()
                state, seconds = step(), clock.now() - start
            else:
                state, seconds = data.measure(step, took_batches)
            more = len(context.trials) - seen
            if took_batches():
                price = seconds
            elif time.perf_counter() > patience:
                price, more = spent / max(context.step, 1), len(context.trials) / (context.step + 1)
        else:
            seconds = price
            trials += more
        spent += seconds
        context.step += 1
    return Searched(context.step, beginning + spent, len(context.trials) + round(trials), _recommended(session, state))


def _recommended(session: Session, state: Any) -> Genotype | None:
    try:
        return session.strategy.recommend(session.context, state)[0]
    except (NastkError, IndexError):  # no trial has come to anything
        return None
