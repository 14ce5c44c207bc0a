"""Runs of the search that take a fraction of a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import define

from nastk.core.cell.graph import Genotype
from nastk.core.data.task import Task
from nastk.core.document import overlay
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial import Evaluation, Proposal, Report
from nastk.core.types import Shape

TINY: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 32},
    "model": {"neuron": "relu", "time_steps": 1, "channels": 2, "cells": 1, "attention": "none"},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 16},
    "device": "cpu",
}

Prepare = Callable[..., Run]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """A run of a strategy at tiny size, bound to a fresh directory: ``prepare("darts", model={...}, epochs=3)``."""
    numbers = itertools.count()

    def prepared(
        strategy: str, *, seed: int = 0, into: Path | None = None, tables: dict[str, Any] | None = None, **settings: Any
    ) -> Run:
        document = overlay(overlay(TINY, {"strategy": {"name": strategy, **settings}, "seed": seed}), tables or {})
        found = Run(configure(document))
        found.store = RunDirectory(into or tmp_path / f"run{next(numbers)}")
        return found

    return prepared


Figures = Callable[[Genotype, int], Any]
"""From a candidate and its epochs to its accuracy, or its figures; ``None`` where the trial fails."""


@define
class Known(Evaluation):
    """Trials whose outcome a function says."""

    figures: Figures

    @property
    def task(self) -> Task:
        raise AssertionError("a strategy that only asks and tells needs no task")

    @property
    def shape(self) -> Shape:
        return Shape(1, 1, 8, 8)

    @property
    def outputs(self) -> int:
        return 4

    def check(self) -> None:
        pass

    def key(self, proposal: Proposal) -> Any:
        return proposal.genotype, proposal.epochs

    def __call__(self, proposal: Proposal) -> Report:
        found = self.figures(proposal.genotype, proposal.epochs)
        if found is None:
            return Report(proposal, failure="planted")
        return Report(proposal, found if isinstance(found, dict) else {"accuracy": found})


class Landscape(SearchContext):
    """A search among candidates whose worth is known, in memory: ``strategy``, and all that was asked for in ``asked``."""

    strategy: Strategy[Any]
    asked: list[list[Proposal]]

    def evaluate(self, proposals: Any) -> list[Report]:
        self.asked.append(list(proposals))
        return super().evaluate(proposals)

    def states(self) -> Iterator[Any]:
        """The state before the first step and after each."""
        state = self.strategy.begin(self)
        yield state
        planned = min(self.strategy.steps, self.config.budget.steps or self.strategy.steps)
        while self.step < planned and not self.trials.over and not self.strategy.finished(state):
            state = self.strategy.step(self, state)
            self.step += 1
            yield state

    def end(self) -> Any:
        """The last state."""
        return list(self.states())[-1]


@pytest.fixture
def landscape() -> Callable[..., Landscape]:
    """A search on a function: ``landscape({"name": "local-search", "trials": 9}, accuracy, space="toy", seed=1)``."""

    def made(strategy: Any, figures: Figures, space: Any = "toy", seed: int = 0, **tables: Any) -> Landscape:
        document = {"space": space, "strategy": strategy, "seed": seed, "device": "cpu", "budget": {"failed": 1.0}}
        config = configure(overlay(document, tables))
        found = Landscape(config.space.build(config.model), Known(figures), config, config.executor.build(), lambda _: None)
        found.strategy, found.asked = config.strategy.build(), []
        found.strategy.check(found)
        return found

    return made
