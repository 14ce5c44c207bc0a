"""Strategies: begin, step, recommend over a state that is a value; core owns the loop."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar, final

from attrs import evolve

from nastk.core.cell.cells import LAYERS, CellSpace
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import fixed_path
from nastk.core.cell.space import Relaxable, SearchSpace
from nastk.core.data.splits import Batch
from nastk.core.data.task import Task
from nastk.core.errors import ConfigError
from nastk.core.events import Emit, Progress
from nastk.core.model.network import Network
from nastk.core.model.relaxation import EXACT, RelaxationConfig
from nastk.core.run.executor import Executor
from nastk.core.run.trial import Evaluation, Proposal, Report
from nastk.core.seeds import rng, seeded
from nastk.core.settings import RunConfig
from nastk.core.types import Split

S = TypeVar("S")


class SearchContext:
    """What core lends a strategy: the space, the task, seeds, trials, networks at proxy size. No door to the test data."""

    def __init__(
        self, space: SearchSpace, evaluation: Evaluation, config: RunConfig, executor: Executor, emit: Emit
    ) -> None:
        self.space, self.evaluation, self.config, self.emit = space, evaluation, config, emit
        self.step = 0
        self.seed = config.seed
        self.reports: dict[str, Report] = {}
        self._executor = executor
        if isinstance(space, CellSpace) and config.proxy.cells:
            by_layer = any(name.isdigit() for name in space.wirings)
            if (by_layer or space.searches_layers) and config.proxy.cells != config.model.cells.values[0]:
                raise ConfigError(
                    ["proxy.cells: must equal model.cells when every layer has its own cell or the layer level is searched"],
                    "proxy",
                )

    @property
    def task(self) -> Task:
        """What is learned, on which data. Raises :class:`ConfigError` where candidates are looked up in a table."""
        return self.evaluation.task

    def rng(self, purpose: str) -> random.Random:
        """A generator that depends on the run's seed, the step and the purpose alone."""
        return rng(self.seed, self.step, purpose)

    def proxy(self, genotype: Genotype) -> Genotype:
        """The genotype at the size that the search trains; what is searched is left as it is."""
        wanted: dict[str, Any] = {}
        model, proxy = self.config.model, self.config.proxy
        if proxy.channels and not model.channels.searched:
            wanted["channels"] = proxy.channels
        searches_layers = isinstance(self.space, CellSpace) and self.space.searches_layers
        if proxy.cells and not model.cells.searched and not searches_layers:
            wanted[LAYERS] = fixed_path(proxy.cells)
        return evolve(genotype, parts={**dict(genotype.parts), **wanted})

    def network(self, genotype: Genotype, *, affine: bool = True, relaxation: RelaxationConfig = EXACT) -> Network:
        """A fresh network at proxy size on the run's device; its weights depend on the seed and the genotype alone."""
        small = self.proxy(genotype)
        with seeded(self.seed, "weights", small.digest):
            network = Network(small, self.task.data.shape, self.task.outputs, affine=affine, relaxation=relaxation)
        return network.to(self.task.data.device)

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
        fresh = list({p.digest: p for p in proposals if p.digest not in self.reports}.values())
        limit = self.config.budget.evaluations
        allowed = fresh if limit is None else fresh[: max(0, limit - len(self.reports))]
        work = self.evaluation
        for done, report in enumerate(self._executor.run(allowed, lambda p: work(p, self.proxy(p.genotype))), start=1):
            self.reports[report.proposal.digest] = report
            self.emit(Progress("search", done / len(allowed)))
        return [self.reports[p.digest] for p in proposals if p.digest in self.reports]


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

    @abstractmethod
    def ask(self, context: SearchContext, state: S) -> Sequence[Proposal]:
        """What to try next."""

    @abstractmethod
    def tell(self, context: SearchContext, state: S, reports: Sequence[Report]) -> S:
        """The state after these reports."""

    @final
    def step(self, context: SearchContext, state: S) -> S:
        return self.tell(context, state, context.evaluate(self.ask(context, state)))
