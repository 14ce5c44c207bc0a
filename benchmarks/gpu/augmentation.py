"""G10: crop, flip, normalise, cut out, with the data set on the device; equal to what the CPU makes of the same draws."""

from __future__ import annotations

from collections.abc import Iterator

import augmentation
import torch
from gpu.section import Row, Setup, Step, close, timed

from nastk.core.data.augment import Augmenter
from nastk.core.data.dataset import Augmentation

CASE = "augmentation, batch {}, 32 x 32"


def augmenter(device: str) -> Augmenter:
    """The usual augmentation of CIFAR."""
    mean, std = (torch.tensor(values, device=device) for values in (augmentation.MEAN, augmentation.STD))
    return Augmenter(Augmentation(crop=augmentation.PAD, flip=True, cutout=augmentation.CUTOUT), mean, std)


def measure(setup: Setup) -> Iterator[Row]:
    """A row a batch size."""
    for batch in setup.pick((64, 256), (8,)):

        def make(batch: int = batch) -> Step:
            x = augmentation.images({"batch": batch, "pixels": 32})
            here, there = x.to(setup.device), augmenter(setup.device)
            expected = augmenter("cpu").train(x, torch.Generator().manual_seed(0))
            close(there.train(here, torch.Generator().manual_seed(0)).cpu(), expected, 1e-5, "images")
            draws = torch.Generator().manual_seed(0)
            return lambda: there.train(here, draws)

        yield timed(setup, Row("", CASE.format(batch), "nastk"), make, 0.5)
