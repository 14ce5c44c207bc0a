"""A search context of a fraction of a second, on real data of a few images, that notes what a strategy asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from nastk.core.cell.space import SearchSpace
from nastk.core.config import DatasetPart, Part, unstructure
from nastk.core.data.dataset import Dataset, Samples
from nastk.core.data.splits import Batch, TrainingData
from nastk.core.data.task import Task
from nastk.core.document import overlay
from nastk.core.events import Event
from nastk.core.laws.law import LawBroken
from nastk.core.run.device import device_of
from nastk.core.run.proxy import Proxy
from nastk.core.run.runfile import configure
from nastk.core.run.search import check_fit
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial import Evaluation, Proposal, Report, TrainedTrials
from nastk.core.settings import RunConfig
from nastk.core.types import Shape, Split

STEPS = 3
TINY: dict[str, Any] = {
    "dataset": {"name": "synthetic", "size": 8, "test_images": 16},
    "model": {"channels": 2, "cells": 1},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 64},  # all images of a trial at once
    "budget": {"steps": STEPS, "failed": 1.0},
    "device": "cpu",
}
UNIT = 20
"""Training images of which each half of a search gets exactly eight, whatever the split's seed."""


@define(eq=False)
class Watch:
    """What was asked for so far."""

    splits: list[Split] = Factory(list)
    """The split of every pass over data, in order."""
    trials: list[Proposal] = Factory(list)
    """Every trial that was run."""
    events: list[Event] = Factory(list)
    """Every event that was emitted."""
    tests: int = 0
    """How often the test data were asked for."""


class SmallContext(SearchContext):
    """A real :class:`~nastk.core.run.strategy.SearchContext` whose doors are watched.

    ``strategy`` is the built strategy (``random-search`` where none was named), ``watch`` what was asked for. By its
    clock every trial takes one second, so that states can be compared. While ``failing`` is true every trial fails.
    """

    def __init__(self, config: RunConfig, sealed: bool) -> None:
        self.watch = Watch()
        self.failing = False
        dataset = SealedPart(config.dataset.name, config.dataset.config, self.watch, sealed)
        config = evolve(config, dataset=dataset)
        data = WatchedData(dataset.build(), config, self.watch)
        space: SearchSpace = config.space.build(config.model)
        trials = TrainedTrials(config.task.build(data), config.train, config.seed, Proxy(space, config))
        super().__init__(space, WatchedTrials(trials, self), config, config.executor.build(), self.watch.events.append)
        self.strategy: Strategy[Any] = config.strategy.build()


def small_context(
    strategy: Part | str | Mapping[str, Any] | None = None,
    space: str | Mapping[str, Any] = "toy",
    seed: int = 0,
    *,
    sealed: bool = True,
    **tables: Any,
) -> SmallContext:
    """A context for a strategy: 80 images ``(1, 8, 8)`` of ``synthetic``, 2 channels, one cell, three steps.

    ``strategy`` is a part, or as ``space`` what a run file says: a name, or a table with one; ``tables`` are those of a
    run file and go on top (``budget={"evaluations": 2}``). All else is as in a run, the ``defaults`` of space and
    strategy among it. A strategy with a setting ``batch`` gets images enough for one batch
    of each half. With ``sealed``, asking for the test data raises :class:`~nastk.core.laws.law.LawBroken`; it is
    noted in any case. Raises as a run does when the strategy cannot search the space.
    """
    chosen = unstructure(strategy) if isinstance(strategy, Part) else strategy or "random-search"
    document = overlay(overlay(TINY, {"space": space, "strategy": chosen, "seed": seed}), tables)
    config = configure(document)
    if "train_images" not in document["dataset"]:
        batch = max(32, getattr(config.strategy.config, "batch", 0))
        images = UNIT * -(-batch // (UNIT * 4 // 10))
        config = evolve(config, dataset=DatasetPart(config.dataset.name, config.dataset.replaced(train_images=images).config))
    context = SmallContext(config, sealed)
    check_fit(context.strategy, context)
    return context


@frozen
class SealedPart(DatasetPart):
    """The data set of a small context: its test samples are asked for at the strategy's peril."""

    watch: Watch = field(factory=Watch, eq=False, repr=False)
    sealed: bool = True

    def build(self, *args: Any) -> Dataset:
        return _Sealed(DatasetPart(self.name, self.config).build(*args), self)


class _Sealed(Dataset):
    def __init__(self, inner: Dataset, part: SealedPart) -> None:
        self.inner, self.part = inner, part
        self.classes, self.augmentation = inner.classes, inner.augmentation

    def train(self) -> Samples:
        return self.inner.train()

    def test(self) -> Samples:
        self.part.watch.tests += 1
        if self.part.sealed:
            raise LawBroken("the strategy asked for the test data")
        return self.inner.test()


class WatchedData(TrainingData):
    """Training data that note the splits of every pass."""

    def __init__(self, dataset: Dataset, config: RunConfig, watch: Watch) -> None:
        super().__init__(dataset, config.split, config.seed, device_of(config.device))
        self.watch = watch

    def batches(self, batch: int, seed: int, *purpose: str | int, splits: Sequence[Split]) -> Iterator[Batch]:
        self.watch.splits += splits
        return super().batches(batch, seed, *purpose, splits=splits)

    def unaugmented(self, *splits: Split, batch: int = 256) -> Iterator[Batch]:
        self.watch.splits += splits
        return super().unaugmented(*splits, batch=batch)


class WatchedTrials(Evaluation):
    """Trials that are noted, and fail while the context says so."""

    def __init__(self, inner: Evaluation, context: SmallContext) -> None:
        self.inner, self.context = inner, context

    @property
    def task(self) -> Task:
        return self.inner.task

    @property
    def shape(self) -> Shape:
        return self.inner.shape

    @property
    def outputs(self) -> int:
        return self.inner.outputs

    def check(self) -> None:
        self.inner.check()

    def __call__(self, proposal: Proposal) -> Report:
        self.context.watch.trials.append(proposal)
        if self.context.failing:
            return Report(proposal, failure="every trial of this context fails")
        report = self.inner(proposal)
        return evolve(report, figures={name: 1.0 if name == "seconds" else v for name, v in report.figures.items()})
