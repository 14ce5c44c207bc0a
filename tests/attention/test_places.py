"""Every attention at every place of a network: it runs, learns, and supernet and member agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nastk.core.errors import ConfigError
from nastk.core.model.network import Network
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
NAMES = ["se", "eca", "cbam", "bam", "temporal", "ta", "ca", "sa", "tca", "csa", "tcsa", "tcja", "gac", "sma"]
PLACES = ["after_every", "end", "both", "candidate", "searched"]
SAMPLE = Shape(1, 1, 6, 6)


def space(name: str, place: str) -> Any:
    model: dict[str, Any] = {"channels": 4, "cells": 2, "time_steps": 2, "neuron": {"name": "plif", "v_th": 0.1}}
    attention = {"choices": ["none", name]} if place == "searched" else name
    return build_space("toy", {**model, "attention": attention, "attention_location": place})


def network(genotype: Any, **options: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Network(genotype, SAMPLE, 3, **options).double()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    return net


def images(seed: int) -> Tensor:
    return 3 * torch.randn(1, 4, *SAMPLE[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_a_supernet_with_it_learns_and_is_its_members(name: str, place: str) -> None:
    found = space(name, place)
    net = network(found.full(), affine=False)
    genotype = found.decode([found.size % 2 + 1] * 3 + [min(1, len(d.options) - 1) for d in found.decisions[3:]])
    hot = {key: torch.from_numpy(weights) for key, weights in found.one_hot(genotype).items()}
    alpha = {key: torch.zeros_like(weights).requires_grad_() for key, weights in hot.items()}
    loss = net(images(0), {key: a.softmax(-1) for key, a in alpha.items()}).square().sum()
    loss.backward()
    gates = [p.grad for key, p in net.named_parameters() if "attention" in key]
    assert gates
    assert all(g is None or g.isfinite().all() for g in gates)
    assert any(g is not None and g.any() for g in gates)
    assert all(a.grad is not None and a.grad.isfinite().all() for a in alpha.values())
    member = network(genotype)
    member.inherit(net)
    for training in (False, True):
        with torch.no_grad():
            gap = net.train(training)(images(1), hot) - member.train(training)(images(1))
        assert float(gap.abs().max()) <= 1e-10


def test_none_is_no_candidate() -> None:
    with pytest.raises(ConfigError, match="'none' cannot be a candidate operation"):
        space("none", "candidate")


def test_the_location_itself_can_be_searched() -> None:
    model = {"channels": 4, "cells": 2, "attention": "cbam", "attention_location": {"choices": ["after_every", "end", "both"]}}
    found = build_space("toy", model)
    assert {found.sample(random.Random(seed)).part("attention_location") for seed in range(20)} == {"after_every", "end", "both"}
