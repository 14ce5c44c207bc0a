"""Scores at initialisation: the network of a genotype with seeded first weights, and a batch to look at it with.

Each repeat has first weights and images of its own. Both depend on the setting ``seed``, the number of the repeat and
the question alone. The network is built from the canonical cells, so genotypes of one digest have one score: what
reaches no output has no say in it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import torch
from attrs import evolve, field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.core.cell.graph import Genotype, canonical
from nastk.core.config import DatasetPart
from nastk.core.data.splits import TrainingData
from nastk.core.errors import DataError, NastkError, ShapeError
from nastk.core.model.estimator import Estimator, Measurement
from nastk.core.model.network import Network
from nastk.core.seeds import generator, seeded
from nastk.core.settings import SplitConfig
from nastk.core.types import Shape, Split

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""The layers whose weights count in a score."""


@frozen(kw_only=True)
class InitialConfig:
    """What every score at initialisation can be told."""

    repeats: int = field(default=1, validator=ge(1), metadata={"help": "initialisations; the score is their mean"})
    seed: int = field(default=0, validator=ge(0), metadata={"help": "seed of first weights and images"})


@frozen(kw_only=True)
class BatchConfig(InitialConfig):
    """Settings of a score that looks at a batch of images."""

    batch: int = field(default=32, validator=ge(2), metadata={"help": "images in the batch of each repeat"})
    dataset: DatasetPart | None = field(
        default=None,
        metadata={"help": "data set whose validation part (of the training data) gives the images; unset: N(0, 1) noise"},
    )


class Question(NamedTuple):
    """What a score is asked: about samples ``(T, C, H, W)`` of so many classes, in the repeat of this number."""

    sample: Shape
    classes: int
    repeat: int


Config = TypeVar("Config", bound=InitialConfig)


class AtInitialisation(Estimator, Generic[Config]):
    """The mean over ``repeats`` of a sub-class's :meth:`score`; a larger score is meant to be better.

    Raises :class:`~nastk.core.errors.NastkError` where the mean is not finite.
    """

    unit = "score"

    def __init__(self, config: Config) -> None:
        self.config = config

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        questions = [Question(sample, classes, repeat) for repeat in range(self.config.repeats)]
        value = math.fsum(self._answer(genotype, question) for question in questions) / len(questions)
        if not math.isfinite(value):
            raise NastkError(f"The {self.unit} of {genotype.digest} is {value}, no finite number: use a smaller network.")
        return Measurement(value, self.unit)

    def _answer(self, genotype: Genotype, question: Question) -> float:
        network = self.network(genotype, question)
        with seeded(self.config.seed, "score", genotype.digest, question.repeat):  # an encoder may draw in training mode
            return self.score(network, question)

    @abstractmethod
    def score(self, network: Network, question: Question) -> float:
        """The score of a fresh network in training mode, which may be changed."""

    def network(self, genotype: Genotype, question: Question) -> Network:
        """The network of the canonical genotype with the first weights of this repeat."""
        alive = evolve(genotype, cells={name: canonical(cell) for name, cell in genotype.cells})
        with seeded(self.config.seed, "first weights", genotype.digest, question.repeat):
            return Network(alive, question.sample, question.classes)


class OnBatch(AtInitialisation[BatchConfig]):
    """A score that looks at a batch of images, the same one for every genotype."""

    def __init__(self, config: BatchConfig) -> None:
        super().__init__(config)
        self._data: TrainingData | None = None

    def images(self, question: Question) -> tuple[Tensor, Tensor]:
        """Images ``(T, B, C, H, W)`` and labels ``(B,)``: noise and uniform labels, or samples of the data set."""
        if self.config.dataset is not None:
            return self._samples(self.config.dataset, question)
        draws = generator(self.config.seed, "noise", question.repeat)
        T, *rest = question.sample
        x_TBCHW = torch.randn(T, self.config.batch, *rest, generator=draws)
        return x_TBCHW, torch.randint(question.classes, (self.config.batch,), generator=draws)

    def _samples(self, dataset: DatasetPart, question: Question) -> tuple[Tensor, Tensor]:
        """The next batch of the validation part, normalised; the test samples are never read."""
        if self._data is None:
            self._data = TrainingData(dataset.build(), SplitConfig(), self.config.seed, torch.device("cpu"))
        data = self._data
        if data.shape != question.sample or data.classes != question.classes:
            raise ShapeError(
                f"The data set {dataset.name!r} of the estimator has samples {tuple(data.shape)} of {data.classes} classes, "
                f"the network is for {tuple(question.sample)} of {question.classes}: name the data set of the run."
            )
        batches = data.unaugmented(Split.VALID, batch=self.config.batch)
        found = next(islice(batches, question.repeat, None), None)
        if found is None or len(found[1]) < self.config.batch:
            raise DataError(
                f"The validation part of {dataset.name!r} has {data.size(Split.VALID)} samples, too few for "
                f"{self.config.repeats} repeats of {self.config.batch}: set a smaller batch or fewer repeats."
            )
        return found


def layers(network: nn.Module) -> list[Tensor]:
    """The weights of all convolutions and linear layers, in the order of the modules."""
    return [layer.weight for layer in network.modules() if isinstance(layer, WEIGHTED)]
