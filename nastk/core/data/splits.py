"""Training data in three disjoint splits, on the device. It has no door to the test data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from nastk.core.data.augment import Augmenter, statistics
from nastk.core.data.dataset import Dataset, Samples
from nastk.core.errors import DataError
from nastk.core.ranks import ALONE, Ranks
from nastk.core.seeds import generator
from nastk.core.settings import SplitConfig
from nastk.core.types import Shape, Split

Batch = tuple[Tensor, Tensor]
SEARCHED = (Split.WEIGHTS, Split.ALPHA, Split.VALID)


def stratified(y_N: Tensor, shares: Sequence[float], seed: int) -> list[Tensor]:
    """Disjoint index tensors with about these shares of every class; what is left over makes the last one."""
    parts: list[list[Tensor]] = [[] for _ in range(len(shares) + 1)]
    for label in torch.unique(y_N).tolist():
        indices = (y_N == label).nonzero().flatten()
        indices = indices[torch.randperm(len(indices), generator=generator(seed, "split", label))]
        bounds = [round(sum(shares[:i]) * len(indices)) for i in range(len(shares) + 1)] + [len(indices)]
        for part, start, end in zip(parts, bounds, bounds[1:], strict=False):
            part.append(indices[start:end])
    return [torch.cat(part).sort().values for part in parts]


class TrainingData:
    """The training samples of a data set, split by a seed into WEIGHTS, ALPHA and VALID.

    ``ranks`` says which share of every augmented batch is handed out: of several processes each has its own, and all of
    them together the batch that one would have.
    Raises :class:`DataError` when a split would be empty.
    """

    def __init__(self, dataset: Dataset, split: SplitConfig, seed: int, device: torch.device, ranks: Ranks = ALONE) -> None:
        samples = dataset.train()
        self.classes = dataset.classes
        self.device, self.ranks = device, ranks
        self.shape = sample_shape(samples)
        mean_C, std_C = statistics(samples.x)
        self.augmenter = Augmenter(dataset.augmentation, mean_C.to(device), std_C.to(device))
        self._x, self._y = samples.x.to(device), samples.y.to(device)
        parts = stratified(samples.y, [split.weights, split.alpha], seed)
        self._index: Mapping[Split, Tensor] = dict(zip(SEARCHED, parts, strict=True))
        for which, index in self._index.items():
            if not len(index):
                raise DataError(
                    f"The split {which} of {len(samples.y)} training samples is empty: change [split] or use more samples."
                )

    def size(self, *splits: Split) -> int:
        """Number of samples in these splits."""
        return sum(len(self._index[split]) for split in splits)

    def steps(self, batch: int, *splits: Split) -> int:
        """Number of full batches in these splits. Raises :class:`DataError` when there is not one, or none to share."""
        if batch % self.ranks.size:
            raise DataError(f"A batch of {batch} cannot be shared by {self.ranks.size} processes: use a multiple.")
        if self.size(*splits) < batch:
            where = " + ".join(splits)
            size = self.size(*splits)
            raise DataError(f"A batch of {batch} is larger than the {size} samples of {where}: use a smaller batch.")
        return self.size(*splits) // batch

    def batches(self, batch: int, seed: int, *purpose: str | int, splits: Sequence[Split]) -> Iterator[Batch]:
        """One pass in a fresh order over full, augmented batches: ``(T, B, C, H, W)`` and labels ``(B,)``."""
        index = torch.cat([self._index[split] for split in splits])
        order = torch.randperm(len(index), generator=generator(seed, "order", *purpose))
        draws = generator(seed, "augment", *purpose)
        for chosen in torch.split(index[order], batch)[: self.steps(batch, *splits)]:
            here, share = chosen.to(self.device), batch // self.ranks.size
            own = slice(self.ranks.rank * share, (self.ranks.rank + 1) * share)
            yield self.augmenter.train(self._x[here], draws)[:, own], self._y[here[own]]

    def unaugmented(self, *splits: Split, batch: int = 256) -> Iterator[Batch]:
        """Every sample of these splits once, in order, only normalised."""
        index = torch.cat([self._index[split] for split in splits])
        for here in torch.split(index.to(self.device), batch):
            yield self.augmenter.evaluate(self._x[here]), self._y[here]


def sample_shape(samples: Samples) -> Shape:
    """``(T, C, H, W)`` of raw samples, T = 1 for static ones."""
    *time, channels, height, width = samples.x.shape[1:]
    return Shape(time[0] if time else 1, channels, height, width)
