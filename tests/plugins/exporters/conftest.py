"""Small trained networks for the exporters: weights and statistics that are not those of a fresh network."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nastk.core.cell.graph import Genotype
from nastk.core.model.network import Network
from nastk.core.run.exporter import Trained
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
STILL = Shape(1, 2, 8, 8)
Make = Callable[..., Trained]


def samples(sample: Shape, count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def trained(genotype: Genotype, sample: Shape, seed: int = 1, classes: int = 4) -> Trained:
    """A network of the architecture after some batches in training mode, its neurons firing at a low threshold."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = Network(genotype, sample, classes)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                if module.weight is not None:
                    module.weight.add_(0.3 * torch.randn(module.weight.shape))
                    module.bias.add_(0.3 * torch.randn(module.bias.shape))
        for batch in range(2):
            network(samples(sample, 8, 100 + batch))
    return Trained(network.eval(), sample, classes, (0.1,) * sample.C, (0.25,) * sample.C)


@pytest.fixture(scope="session")
def make() -> Make:
    """``make(space, model, seed=0, sample=Shape(1, 2, 8, 8), **space settings)``: a random member, trained a little."""

    def made(space: str, model: dict[str, Any], seed: int = 0, sample: Shape = STILL, **settings: Any) -> Trained:
        members = build_space(space, {"channels": 4, "cells": 3, "time_steps": 3, **model}, **settings)
        return trained(members.sample(random.Random(seed)), sample)

    return made
