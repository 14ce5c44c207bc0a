"""A trial: one candidate, trained for a while at proxy size and measured on the validation part."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.data.task import Task
from nastk.core.errors import NastkError
from nastk.core.model.compute import PLAIN, Compute
from nastk.core.model.network import Network
from nastk.core.run.divergence import Alert
from nastk.core.run.parallel import first, joined
from nastk.core.run.training import Trainer, evaluate
from nastk.core.seeds import seeded
from nastk.core.settings import TrainConfig
from nastk.core.types import Shape, Split

TRIAL_SPLITS = (Split.WEIGHTS, Split.ALPHA)
"""The parts of the training data on which a trial is trained."""


@frozen
class Proposal:
    """A candidate to evaluate, and for how many epochs (its fidelity)."""

    genotype: Genotype
    epochs: int

    @property
    def digest(self) -> str:
        """Names the trial: genotype and fidelity."""
        return f"{self.genotype.digest}-{self.epochs}"


@frozen
class Report:
    """What became of a trial: its figures (``accuracy`` on VALID among them), or why it failed."""

    proposal: Proposal
    figures: Mapping[str, Any] = field(factory=dict)
    failure: str | None = None

    @property
    def accuracy(self) -> float:
        """Validation accuracy; below every real one when the trial failed."""
        return float(self.figures["accuracy"]) if self.failure is None else -1.0


class Evaluation(ABC):
    """How a proposal comes to its report: a pure function of the proposal."""

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is learned. Raises :class:`ConfigError` where nothing is."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Of one sample, ``(T, C, H, W)``."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that a network gives for a sample: classes."""

    @abstractmethod
    def check(self) -> None:
        """Refuse settings with which no trial can run. Raises :class:`NastkError`."""

    def key(self, proposal: Proposal) -> Hashable:
        """What a report is remembered under: trials of one key are one trial."""
        return proposal.digest

    @abstractmethod
    def __call__(self, proposal: Proposal) -> Report:
        """The report of a proposal; failed ones say why."""


@frozen
class TrainedTrials(Evaluation):
    """Trials that are trained, at the size that ``proxy`` gives them. ``beat`` is called after every batch."""

    task: Task
    train: TrainConfig
    seed: int
    proxy: Callable[[Genotype], Genotype]
    beat: Callable[[], None] = lambda: None
    compute: Compute = PLAIN
    explosion: float = Alert().explosion

    @property
    def shape(self) -> Shape:
        return self.task.data.shape

    @property
    def outputs(self) -> int:
        return self.task.outputs

    def check(self) -> None:
        """Refuse batches that are larger than the samples of a trial."""
        self.task.data.steps(self.train.batch, *TRIAL_SPLITS)

    def __call__(self, proposal: Proposal) -> Report:
        """Train on WEIGHTS and ALPHA, measure on VALID. A diverging or impossible candidate gives a failed report."""
        start = time.perf_counter()
        config = evolve(self.train, epochs=proposal.epochs, auxiliary=0.0, drop_path=0.0)
        try:
            with seeded(self.seed, "trial", "weights", proposal.digest):
                network = Network(self.proxy(proposal.genotype), self.shape, self.outputs, compute=self.compute)
            joined(network.to(self.task.data.device))
            alert = Alert(self.explosion)
            trainer = Trainer(network, self.task, config, self.seed, lambda _: self.beat(), TRIAL_SPLITS, alert=alert)
            for epoch in range(config.epochs):
                trainer.epoch(epoch)
            scores = evaluate(network, network, self.task, self.task.data.unaugmented(Split.VALID))
        except NastkError as error:
            return Report(proposal, {"seconds": first(time.perf_counter() - start)}, str(error))
        figures = {"accuracy": scores.accuracy, "loss": scores.loss, "nos": scores.nos}
        return Report(proposal, {**figures, "seconds": first(time.perf_counter() - start)})
