"""Studies with a known answer: one attention that truly helps and one that truly does nothing, beside a bundled one.

The made task: three stripes on each image, one in the middle and two near the border. The class is the direction of the one
in the middle; those near the border are drawn by chance. A network that averages over the whole map can hardly tell which
one counts. ``middle`` blanks the border of the map: it helps. ``idle`` gives back what it gets; when it is built it draws a
number, so the weights behind it start elsewhere, as with every module that is put into a network. Both are plug-ins of this
file, as a third party would write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nastk
from nastk import Attention, Axis, Shape, mark, registry
from nastk.core import seeds
from nastk.core.ablation.outcome import StudyResult
from nastk.core.data.dataset import Augmentation, Dataset, Samples

SIZE = 8
BORDER = 2
STUDIES = 20
SEEDS = 12
"""Above the six with which two comparisons can be told from chance: a seed whose cell learns nothing says nothing."""


@mark.attention("middle")
class Middle(Attention):
    """The middle of the map; the border is blanked."""

    axes = frozenset({Axis.HW})

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("mask", torch.zeros(shape.H, shape.W), persistent=False)
        edge = BORDER * shape.H // SIZE
        self.mask[edge : shape.H - edge, edge : shape.W - edge] = 1.0

    mask: Tensor

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW * self.mask


@mark.attention("idle")
class Idle(Attention):
    """What comes in goes out; a number is drawn when it is built."""

    axes = frozenset()

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        del shape
        torch.nn.init.normal_(torch.empty(1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW


@mark.dataset("two-stripes")
class TwoStripes(Dataset):
    """A stripe in the middle, lying or standing: the class; two more near the border, of any kind: no matter."""

    classes = 2
    augmentation = Augmentation()

    def train(self) -> Samples:
        return self._made("train", 192)

    def test(self) -> Samples:
        return self._made("test", 256)

    def _made(self, part: str, count: int) -> Samples:
        generator = seeds.generator(0, "two-stripes", part)
        y_N = torch.arange(count) % 2
        other_N2 = torch.randint(2, (count, 2), generator=generator)
        x_NCHW = 60 + 10 * torch.randn(count, 1, SIZE, SIZE, generator=generator)
        place_N = torch.randint(BORDER, SIZE - BORDER, (count,), generator=generator)
        for n in range(count):
            image, inside = x_NCHW[n, 0], slice(BORDER, SIZE - BORDER)
            place = int(place_N[n])
            image[(place, inside) if y_N[n] else (inside, place)] += 100
            for side, lying in zip((BORDER - 1, SIZE - BORDER), other_N2[n].tolist(), strict=True):
                image[(side, slice(None)) if lying else (slice(None), side)] += 100
        return Samples(x_NCHW.round().clamp(0, 255).to(torch.uint8), y_N)


@pytest.fixture
def offered() -> Iterator[None]:
    registry().offer(Middle, Idle, TwoStripes)
    yield
    registry().withdraw(Middle, Idle, TwoStripes)


def study(first: int) -> dict[str, Any]:
    """A study of 36 runs; the searches are short and the same for all cells of a seed."""
    return {
        "space": "toy",
        "dataset": "two-stripes",
        "model": {"channels": 4, "cells": 1, "time_steps": 1},
        "proxy": {"channels": 0, "cells": 0},
        "strategy": {"name": "random-search", "trials": 1, "epochs": 1},
        "train": {"epochs": 16, "batch": 16, "lr": 0.05},
        "device": "cpu",
        "seeds": list(range(first, first + SEEDS)),
        "stage": "retrain",
        "random_search": False,
        "vary": {"model.attention": ["none", "middle", "idle"]},
    }


def shown(found: StudyResult) -> dict[str, bool]:
    """Which cells differ from none, after correction."""
    rows = found.of("test.accuracy").rows
    return {row.label: row.against.holm <= 0.05 for row in rows if row.against is not None and row.against.holm is not None}


@pytest.mark.slow
@pytest.mark.usefixtures("offered")
def test_what_helps_is_found_and_what_does_nothing_is_not(tmp_path: Path) -> None:
    found = [shown(nastk.ablate(study(SEEDS * n), out=tmp_path / str(n))) for n in range(STUDIES)]
    print(found)
    assert sum(one["middle"] for one in found) >= 19, found
    assert sum(not one["idle"] for one in found) >= 19, found
