"""Strategies: begin, step, recommend over a state that is a value; core owns the loop."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, final

from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable, SearchSpace
from nastk.core.config import EstimatorPart
from nastk.core.data.splits import Batch
from nastk.core.data.task import Task
from nastk.core.errors import ConfigError
from nastk.core.events import Emit, Progress
from nastk.core.model.compute import Compute
from nastk.core.model.network import Network
from nastk.core.model.relaxation import EXACT, RelaxationConfig
from nastk.core.run.divergence import Alert
from nastk.core.run.executor import Executor
from nastk.core.run.parallel import first, joined
from nastk.core.run.proxy import Proxy
from nastk.core.run.trial import Evaluation, Proposal, Report
from nastk.core.run.trials import Trials
from nastk.core.run.within import Within
from nastk.core.run.work import TrialWork
from nastk.core.seeds import rng, seeded
from nastk.core.settings import RunConfig
from nastk.core.types import Shape, Split

S = TypeVar("S")


class SearchContext:
    """What core lends a strategy: the space, the task, seeds, trials, networks at proxy size. No door to the test data."""

    def __init__(self, space: SearchSpace, evaluation: Evaluation, config: RunConfig, executor: Executor, emit: Emit) -> None:
        self.space, self.evaluation, self.config, self.emit = space, evaluation, config, emit
        self.step = 0
        self.seed = config.seed
        self.proxy = Proxy(space, config)
        """The genotype at the size that the search trains."""
        self.proxy.check()
        self.trials = Trials(config.budget)
        """Every report so far."""
        self.within = Within()
        """Where a long step keeps how far it is."""
        self.rate = 1.0
        """What a strategy multiplies its learning rates by: less than 1 once a step has diverged and is tried again."""
        self.alert = Alert(config.divergence.explosion)
        """What counts as divergence, and what was told already, for :func:`~nastk.core.run.epoch.run_epoch`."""
        self._executor = executor
        self._measured: dict[tuple[EstimatorPart, Genotype], float] = {}

    @property
    def task(self) -> Task:
        """What is learned, on which data. Raises :class:`ConfigError` where candidates are looked up in a table."""
        return self.evaluation.task

    @property
    def shape(self) -> Shape:
        """Of one sample, ``(T, C, H, W)``, of tables too."""
        return self.evaluation.shape

    @property
    def outputs(self) -> int:
        """Numbers that a network gives for a sample: classes; of tables too."""
        return self.evaluation.outputs

    def rng(self, purpose: str) -> random.Random:
        """A generator that depends on the run's seed, the step and the purpose alone."""
        return rng(self.seed, self.step, purpose)

    def measure(self, estimator: EstimatorPart, genotype: Genotype) -> float:
        """An estimator's number for a genotype at full size; remembered."""
        place = estimator, genotype
        if place not in self._measured:
            self._measured[place] = first(estimator.build().estimate(genotype, self.shape, self.outputs).value)
        return self._measured[place]

    def network(self, genotype: Genotype, *, affine: bool = True, relaxation: RelaxationConfig = EXACT) -> Network:
        """A fresh network at proxy size on the run's device; its weights depend on the seed and the genotype alone."""
        small = self.proxy(genotype)
        with seeded(self.seed, "weights", small.digest):
            sample, outputs = self.task.data.shape, self.task.outputs
            compute = Compute.of(self.config)
            network = Network(small, sample, outputs, affine=affine, relaxation=relaxation, compute=compute)
        return joined(network.to(self.task.data.device))

    def supernet(self, relaxation: RelaxationConfig = EXACT) -> Network:
        """The fresh supernet of the space, without norm scales. Raises :class:`ConfigError` where there is none."""
        if not isinstance(self.space, Relaxable):
            raise ConfigError([f"space {self.config.space.name!r} has no supernet: use a strategy that samples"], "strategy")
        if isinstance(self.space, CellSpace) and self.space.open_parts:
            names = ", ".join(f"model.{name}" for name in self.space.open_parts)
            raise ConfigError(
                [f"{self.config.strategy.name!r} cannot search {names}: fix them, or use one that samples (random-search)"],
                "strategy",
            )
        return self.network(self.space.full(), affine=False, relaxation=relaxation)

    def batches(self, split: Split, batch: int, purpose: str) -> Iterator[Batch]:
        """One pass over augmented batches of a split; the order depends on the seed, the step and the purpose."""
        return self.task.data.batches(batch, self.seed, self.step, purpose, splits=[split])

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Report]:
        """One report for each proposal, in order. Known ones are remembered; the budget cuts the rest short."""
        trials = self.trials
        keys = [self.evaluation.key(proposal) for proposal in proposals]
        fresh = {key: proposal for key, proposal in zip(keys, proposals, strict=True) if key not in trials}
        allowed = dict(islice(fresh.items(), trials.left))
        missing = [proposal for key, proposal in allowed.items() if key not in trials.recalled]
        reports = self._executor.run(missing, TrialWork(self.evaluation, self.config)) if missing else iter(())
        try:
            for done, (key, proposal) in enumerate(allowed.items(), start=1):
                if trials.over:
                    break
                if key in trials.recalled:
                    trials.saw(key, trials.recalled.pop(key))
                else:
                    trials.made(key, next(reports, None) or Report(proposal, failure="the executor gave no report"))
                trials.check()
                self.emit(Progress("search", done / len(allowed)))
        finally:
            if isinstance(reports, Generator):
                reports.close()
        return [trials[key] for key in keys if key in trials]

    def close(self) -> None:
        """Release what was started for trials."""
        self._executor.close()


class Strategy(ABC, Generic[S]):
    """Frozen configuration plus three functions. A plug-in class is built as ``cls(config)``.

    All that changes while it runs is in its state, an attrs class whose fields are trees of plain values, tensors and
    genotypes; core checkpoints it without looking inside.
    """

    requires: ClassVar[type[SearchSpace]] = SearchSpace  # type: ignore[type-abstract]  # never instantiated
    """The kind of space it can search; a gradient strategy says ``Relaxable``."""

    state: ClassVar[type]
    """The class of its state."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps it plans."""

    def check(self, context: SearchContext) -> None:
        """Refuse what this strategy cannot search, before anything is written. Raises :class:`NastkError`; never trains."""
        del context

    @abstractmethod
    def begin(self, context: SearchContext) -> S:
        """The state before the first step."""

    @abstractmethod
    def step(self, context: SearchContext, state: S) -> S:
        """One step: an epoch of a supernet, a batch of trials. Does not change the state it is given."""

    @abstractmethod
    def recommend(self, context: SearchContext, state: S) -> Sequence[Genotype]:
        """The best genotypes so far, best first, each in the space; never trains."""

    def landmarks(self, state: S) -> Mapping[int, S]:
        """Where steps begin to cost something else, for an estimate of the run: steps, each with a state to try it from.

        ``state`` is the first one, before step 0. A strategy whose steps cost alike need not say so.
        """
        return {0: state}

    def figures(self, state: S) -> dict[str, Any]:
        """What is worth reporting after a step."""
        del state
        return {}

    def finished(self, state: S) -> bool:
        """Whether it wants to stop before its planned end."""
        del state
        return False


class AskTell(Strategy[S]):
    """A strategy that only proposes candidates and hears of their trials."""

    def check(self, context: SearchContext) -> None:
        """Refuse settings with which no trial can run."""
        context.evaluation.check()

    @abstractmethod
    def ask(self, context: SearchContext, state: S) -> Sequence[Proposal]:
        """What to try next."""

    @abstractmethod
    def tell(self, context: SearchContext, state: S, reports: Sequence[Report]) -> S:
        """The state after these reports."""

    @final
    def step(self, context: SearchContext, state: S) -> S:
        return self.tell(context, state, context.evaluate(self.ask(context, state)))
