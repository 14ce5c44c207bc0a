"""What the image data sets share: settings for a subset and for augmentation, and the stratified choice itself."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import Any, Literal

import torch
from attrs import field, frozen
from attrs.validators import ge, gt, optional
from torch import Tensor

from nastk.core import seeds
from nastk.core.data.dataset import Augmentation, Dataset, Samples
from nastk.core.errors import DataError

Part = Literal["train", "test"]


def crop_field(pixels: int) -> Any:
    """The setting ``crop`` with a data set's own default."""
    return field(default=pixels, validator=ge(0), metadata={"help": "random crop after padding by so many pixels"})


def flip_field(flip: bool) -> Any:
    """The setting ``flip`` with a data set's own default."""
    return field(default=flip, metadata={"help": "random horizontal flip"})


@frozen(kw_only=True)
class ImagesConfig:
    """Settings of every image data set; a data set overrides the defaults that differ."""

    train_images: int | None = field(
        default=None, validator=optional(gt(0)), metadata={"help": "keep only so many training images, classes in proportion"}
    )
    subset_seed: int = field(default=0, metadata={"help": "fixes which training images are kept"})
    crop: int = crop_field(0)
    flip: bool = flip_field(False)
    cutout: int = field(default=0, validator=ge(0), metadata={"help": "side of the square that is blanked, in pixels"})


@frozen(kw_only=True)
class FilesConfig(ImagesConfig):
    """Settings of an image data set that is read from files."""

    root: str = field(default="data", metadata={"help": "folder that holds the files"})
    download: bool = field(default=False, metadata={"help": "fetch missing files (needs torchvision)"})


class ImageDataset(Dataset):
    """A data set of static images: a sub-class only reads its two official parts."""

    def __init__(self, config: ImagesConfig) -> None:
        self.config = config
        self.augmentation = Augmentation(crop=config.crop, flip=config.flip, cutout=config.cutout)

    @abstractmethod
    def read(self, part: Part) -> Samples:
        """The official part, whole: ``x`` uint8 ``(N, C, H, W)``, ``y`` int64 ``(N,)``. Raises :class:`DataError`."""

    def train(self) -> Samples:
        """The training images, or the stratified subset that ``train_images`` asks for. Raises :class:`DataError`."""
        x_NCHW, y_N = self.read("train")
        if self.config.train_images is None:
            return Samples(x_NCHW, y_N)
        kept = stratified(y_N, self.config.train_images, self.config.subset_seed)
        return Samples(x_NCHW[kept], y_N[kept])

    def test(self) -> Samples:
        """All test images. Raises :class:`DataError`."""
        return self.read("test")


def stratified(y_N: Tensor, count: int, seed: int) -> Tensor:
    """``count`` indices (int64, ascending) in which each class has its share of ``y`` to within one sample.

    Which ones depends on ``y``, ``count`` and ``seed`` alone, not on the version of torch. Raises :class:`DataError`
    when there are fewer samples than asked for.
    """
    labels = y_N.tolist()
    if count > len(labels):
        raise DataError(f"{count} images were asked for, but there are only {len(labels)}: lower train_images.")
    sizes = Counter(labels)
    left = {label: count * size // len(labels) for label, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda label: (-(count * sizes[label] % len(labels)), label))
    for label in by_remainder[: count - sum(left.values())]:
        left[label] += 1
    rng = seeds.rng(seed, "stratified")
    keys = [rng.random() for _ in labels]  # random() is the one method whose numbers Python promises to keep
    chosen = []
    for index in sorted(range(len(labels)), key=keys.__getitem__):
        if left[labels[index]]:
            left[labels[index]] -= 1
            chosen.append(index)
    return torch.tensor(sorted(chosen), dtype=torch.int64)
