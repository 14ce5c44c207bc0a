"""``model.input_attention``: an attention on the encoder's current, once; absent unless a run asks for it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from nastk.attention.gac import GAC
from nastk.core.cell.graph import Genotype
from nastk.core.cell.resize import resized, settings_of
from nastk.core.config import EstimatorPart, structure
from nastk.core.errors import NotInSpace, ShapeError
from nastk.core.model.network import Network
from nastk.core.settings import ModelConfig
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)
MODEL: dict[str, Any] = {"channels": 4, "cells": 2, "time_steps": 4, "neuron": {"name": "plif", "v_th": 0.1}}
WITH: dict[str, Any] = {**MODEL, "input_attention": {"name": "gac", "kernel": 3}}


def network(genotype: Genotype, **options: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(genotype, SAMPLE, 5, **options).double()


def images(batch: int = 3) -> Tensor:
    return torch.randn(1, batch, *SAMPLE[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def member(model: dict[str, Any], seed: int = 0, **settings: Any) -> Genotype:
    return build_space("toy", model, **settings).sample(random.Random(seed))


def test_a_genotype_without_it_is_as_before() -> None:
    plain = member(MODEL)
    assert "input_attention" not in dict(plain.parts)
    assert member({**MODEL, "input_attention": "none"}) == plain
    assert not any("encoder.attention" in name for name in network(plain).state_dict())


def test_a_genotype_with_it_says_so_and_is_rebuilt() -> None:
    genotype = member(WITH)
    assert genotype.section("input_attention") == {"kernel": 3}
    assert genotype.digest != member(MODEL).digest
    again = Genotype.from_json(genotype.to_json())
    net = network(again)
    assert isinstance(net.encoder.attention, GAC)
    model = settings_of(again)["model"]
    assert model["input_attention"]["name"] == "gac"
    assert resized(again, structure(model, ModelConfig, "model")) == genotype
    assert resized(again, structure(MODEL, ModelConfig, "model")) == member(MODEL)
    with pytest.raises(NotInSpace):
        build_space("toy", MODEL).encode(genotype)


def test_it_gates_the_current_and_what_leaves_the_encoder_is_binary() -> None:
    net = network(member(WITH)).eval()
    seen: list[tuple[Tensor, Tensor]] = []
    net.encoder.attention.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    spikes = net.encoder(images())
    ((current, gated),) = seen
    assert current.shape == gated.shape == (4, 3, 4, 8, 8)
    assert all(torch.equal(current[0], current[t]) for t in range(4))
    assert not torch.allclose(gated[0], gated[1])
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    alone = net.encoder.neuron(gated)[0]  # type: ignore[misc]
    assert torch.equal(alone, spikes)


def test_it_stands_in_front_of_what_follows_without_an_encoder_neuron_too() -> None:
    space = build_space("darts-cells", {**MODEL, "input_attention": "se", "time_steps": 1, "neuron": "relu"})
    net = network(space.sample(random.Random(0))).eval()
    assert net.encoder.neuron is None
    x = images()
    current = net.encoder.stem(x.flatten(0, 1)).unflatten(0, (1, 3))
    torch.testing.assert_close(net.encoder(x), net.encoder.attention(current))


def test_a_gate_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="t_reduction = 2 is above the number of time steps T = 1"):
        network(member({**MODEL, "time_steps": 1, "input_attention": "gac"}))


def test_it_can_be_searched() -> None:
    space = build_space("toy", {**MODEL, "input_attention": {"choices": ["none", "gac", "se"]}})
    (decision,) = [d for d in space.decisions if d.name == "input_attention"]
    assert decision.options == ((), (("input_attention", "gac"),), (("input_attention", "se"),))
    drawn = [space.sample(random.Random(seed)) for seed in range(20)]
    assert {g.part("input_attention", "none") for g in drawn} == {"none", "gac", "se"}
    assert all(space.decode(space.encode(g)) == g for g in drawn)


def test_supernet_and_member_agree_and_costs_count_it() -> None:
    space = build_space("toy", WITH)
    supernet = network(space.full(), affine=False)
    for seed in range(3):
        genotype = space.sample(random.Random(seed))
        alone = network(genotype)
        alone.inherit(supernet)
        hot = {name: torch.from_numpy(w) for name, w in space.one_hot(genotype).items()}
        with torch.no_grad():
            torch.testing.assert_close(supernet(images(), hot), alone(images()), rtol=0, atol=1e-10)
        for estimator in ("parameters", "macs"):
            cost = EstimatorPart.named(estimator).build()
            expected = float(cost.expected(space.full(), SAMPLE, 5, hot))
            assert expected == pytest.approx(cost.estimate(genotype, SAMPLE, 5).value)
        count = sum(p.numel() for p in alone.parameters())
        assert EstimatorPart.named("parameters").build().estimate(genotype, SAMPLE, 5).value == count
        without = sum(p.numel() for p in network(member(MODEL, seed)).parameters())
        assert count - without == 2 * 4 * 4 * 9 + 2 * 4 * 2
