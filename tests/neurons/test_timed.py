"""Neurons with numbers for each time step, neurons without a step, and neurons with a sign: in layers and in networks."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.config import AttentionPart, NeuronPart
from nastk.core.errors import ConfigError, NastkError, ShapeError
from nastk.core.model.counting import SpikeCounter, count_operations, synaptic_operations
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron, TimedNeuron, TimeParallelNeuron, build_neuron
from nastk.core.model.operation import Site
from nastk.core.types import Shape
from nastk.testing import build_space

law = settings(deadline=None, max_examples=25)
TIMED = ("gated-lif", "masked-psn", "psn")


def build(name: str, T: int, **given: Any) -> Neuron[Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_neuron(NeuronPart.named(name, **given), T).double()


def currents(T: int, seed: int = 0) -> Tensor:
    """``(T, 3, 4, 2)``."""
    return torch.randn(T, 3, 4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 0.5


@pytest.mark.parametrize("name", TIMED)
def test_a_site_says_how_many_time_steps(name: str) -> None:
    part = NeuronPart.named(name)
    for T in (1, 3):
        neuron = Site(Shape(T, 4, 8, 8), 1, True, part, AttentionPart.named("none")).make_neuron()
        assert isinstance(neuron, TimedNeuron)
        assert neuron.T == T
        assert T in {size for p in neuron.parameters() for size in p.shape}
        neuron(torch.zeros(T, 2, 4, 8, 8))
        with pytest.raises(ShapeError, match=rf"built for T = {T} time steps was given {T + 1}"):
            neuron(torch.zeros(T + 1, 2, 4, 8, 8))
    assert not isinstance(build_neuron(NeuronPart.named("sliding-psn"), 3), TimedNeuron)


@pytest.mark.parametrize("name", ["gated-lif", "masked-psn"])
def test_steps_beyond_t_are_refused_with_a_state_too(name: str) -> None:
    neuron, x = build(name, 4), currents(4)
    _, state = neuron(x[:3])
    neuron(x[3:], state)
    with pytest.raises(ShapeError, match=r"built for T = 4 time steps was given [56]"):
        neuron(x[:2], state)


@law
@given(T=st.integers(1, 6), fewer=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_steps_that_are_missing_count_as_zero_input(T: int, fewer: int, seed: int) -> None:
    psn, x = build("psn", T), currents(T, seed)
    n = max(T - fewer, 1)
    padded = torch.cat([x[:n], torch.zeros_like(x[n:])])
    assert torch.equal(psn(x[:n])[0], psn(padded)[0][:n])


def test_psn_hears_later_steps_and_has_no_step() -> None:
    psn, x = build("psn", 4), currents(4, 7)
    assert isinstance(psn, TimeParallelNeuron)
    other = x.clone()
    other[3] = -other[3] * 3
    assert not torch.equal(psn(x)[0][:3], psn(other)[0][:3])
    assert psn(x)[1] == ()
    with pytest.raises(NastkError, match="answers all its time steps at once"):
        psn.step(x[0], ())


@law
@given(order=st.integers(1, 7), T=st.integers(1, 6), cut=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_masked_psn_hears_its_window_alone(order: int, T: int, cut: int, seed: int) -> None:
    x, now = currents(T, seed).requires_grad_(), min(cut, T) - 1
    neuron = build("masked-psn", T, order=order)
    neuron(x)[0][now].sum().backward()
    heard = {t for t in range(T) if x.grad[t].any()}
    assert heard == set(range(max(0, now - order + 1), now + 1))


@pytest.mark.parametrize("name", [*TIMED, "sliding-psn", "alif", "ternary", "signed", "clif", "izhikevich"])
def test_a_network_of_them_trains_and_is_built_again(name: str) -> None:
    space = build_space("toy", {"channels": 4, "cells": 2, "neuron": name, "time_steps": 3})
    genotype = space.sample(random.Random(0))
    net, twin = (Network(genotype, Shape(1, 1, 8, 8), 3) for _ in range(2))
    x = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    net(x).square().sum().backward()
    neurons = [m for m in net.modules() if isinstance(m, Neuron)]
    assert neurons
    assert all(n.T == 3 for n in neurons if isinstance(n, TimedNeuron))
    twin.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(x), twin.eval()(x))
    assert Network(genotype, Shape(1, 1, 8, 8), 3).to("meta")(x.to("meta")).shape == (3, 4, 3)


class Behind(nn.Module):
    """A neuron, and a convolution that hears it."""

    def __init__(self, neuron: Neuron[Any]) -> None:
        super().__init__()
        self.neuron, self.conv = neuron, nn.Conv2d(2, 3, 3, padding=1, bias=False).double()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.conv(self.neuron(x_TBCHW)[0].flatten(0, 1))


@pytest.mark.parametrize(
    ("name", "given"),
    [("ternary", {}), ("signed", {}), ("signed", {"mirrored": True}), ("signed", {"sign": "excitatory"})],
)
def test_spikes_of_either_sign_count_as_one(name: str, given: dict[str, Any]) -> None:
    net = Behind(build(name, 2, **given))
    x = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    z = net.neuron(x)[0]
    assert z.any()
    assert (z < 0).any() == (given.get("sign") != "excitatory")
    with SpikeCounter(net) as counter:
        net(x)
    counter.saw(3)
    assert list(counter.neurons) == ["neuron"]
    assert float(counter.nos()) == pytest.approx(int((z != 0).sum()) / 3)
    assert counter.firing_rate() == pytest.approx(float((z != 0).double().mean()))
    counted = count_operations(net, [(x, torch.zeros(3))])
    fired = (z != 0).double().flatten(0, 1).sum(1, keepdim=True)
    reached = nn.functional.conv2d(fired, torch.ones(1, 1, 3, 3, dtype=torch.float64), padding=1)
    assert synaptic_operations(net.conv, z.flatten(0, 1)) == pytest.approx(float(reached.sum()) * 3)
    assert counted.macs == 0
    assert counted.sops == pytest.approx(float(reached.sum()) * 3 / 3)
    assert counted.acs == pytest.approx(float((z != 0).double().mean()) * 2 * 3 * 3 * 16 * 2 * 9 / 3)


def test_a_penalty_on_spikes_lowers_the_inhibitory_ones_too() -> None:
    x = currents(2, 4)
    grads = []
    for neuron in (build("lif", 2), build("signed", 2, neuron="lif")):
        net, leaf = nn.Sequential(neuron), x.clone().requires_grad_()
        with SpikeCounter(net) as counter:
            net(leaf)
        counter.saw(1)
        counter.nos().backward()
        grads.append(leaf.grad)
    assert torch.allclose(*grads)
    assert grads[0].any()


@law
@given(
    inner=st.sampled_from(["lif", "if", "relu", "plif", "alif", "sliding-psn", "psn", "gated-lif"]),
    mirrored=st.booleans(),
    T=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_signed_is_the_other_neuron_with_a_sign(inner: str, mirrored: bool, T: int, seed: int) -> None:
    x, f = currents(T, seed), build(inner, T)
    excites = build("signed", T, neuron=inner, sign="excitatory", mirrored=mirrored)
    inhibits = build("signed", T, neuron=inner, mirrored=mirrored)
    assert torch.equal(excites(x)[0], f(x)[0])
    assert torch.equal(inhibits(x)[0], -f(-x if mirrored else x)[0])
    assert (excites(x)[0] >= 0).all()
    assert (inhibits(x)[0] <= 0).all()
    assert inhibits.spiking == f.spiking
    if inner == "relu" and mirrored:
        assert torch.equal(inhibits(x)[0], x.clamp(max=0))


def test_signed_refuses_a_neuron_with_a_sign_and_survives_a_genotype() -> None:
    with pytest.raises(ConfigError, match="'ternary' has a sign of its own"):
        build("signed", 2, neuron="ternary")
    part = NeuronPart.named("signed", sign="excitatory", neuron={"name": "plif", "tau": 3.0, "surrogate": "erf"})
    assert part.flat() == {"sign": "excitatory", "neuron": "plif", "neuron.tau": 3.0, "neuron.surrogate": "erf"}
    assert NeuronPart.from_flat("signed", part.flat()) == part
