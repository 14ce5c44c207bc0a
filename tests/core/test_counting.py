"""Counts against brute force: spikes by independent hooks, synaptic operations spike by spike."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.model.counting import Operations, SpikeCounter, count_operations, dense_operations, synaptic_operations
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
law = settings(deadline=None, max_examples=40)
SAMPLE = Shape(1, 3, 8, 8)
MODEL: dict[str, Any] = {"channels": 2, "cells": 3, "neuron": {"name": "if", "v_th": 0.1}, "time_steps": 2}


def network(full: bool = False, **space_settings: Any) -> tuple[Network, dict[str, Tensor] | None]:
    """A member of the spiking cell space, or its supernet with even weights."""
    space = build_space("spiking-cells", MODEL, nodes=2, **space_settings)
    genotype = space.full() if full else space.sample(random.Random(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Network(genotype, SAMPLE, 4)
    if not full:
        return net, None
    mixing = {name: torch.full((len(c.edges), len(c.edges[0].candidates)), 0.2) for name, c in genotype.cells}
    return net, {**mixing, "layers": torch.full((2, 4, 2), 0.5)}


def batch(seed: int, size: int) -> Tensor:
    return 3 * torch.randn(1, size, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("net_settings", [{}, {"full": True}, {"membrane": "op"}, {"full": True, "layer_level": "searched"}])
def test_nos_is_every_spike_of_every_neuron(net_settings: dict[str, Any]) -> None:
    net, mixing = network(**net_settings)
    spikes: dict[str, float] = {}
    sites = 0

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            nonlocal sites
            spikes[name] = spikes.get(name, 0.0) + int((out[0] != 0).sum())
            sites += out[0].numel()

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in net.named_modules() if isinstance(m, Neuron)]
    with SpikeCounter(net) as counter, torch.no_grad():
        for seed, size in ((0, 3), (1, 2)):
            net(batch(seed, size), mixing)
            counter.saw(size)
    for handle in handles:
        handle.remove()
    figures = counter.figures()
    assert figures is not None
    assert figures["total"] > 0
    assert figures["total"] == pytest.approx(sum(spikes.values()) / 5)
    inside = [n for n in spikes if n.startswith(("body.cells.", "body.grand."))]
    for layer, count in enumerate(figures["cells"]):
        mine = [n for n in inside if n.split(".")[2].split("_")[0] == str(layer)]
        assert count == pytest.approx(sum(spikes[n] for n in mine) / 5)
    assert len(figures["cells"]) == 3
    outside = sum(count for name, count in spikes.items() if name not in inside) / 5
    assert outside > 0  # the encoder fires
    assert sum(figures["cells"]) + outside == pytest.approx(figures["total"])
    assert counter.firing_rate() == pytest.approx(sum(spikes.values()) / sites)


def test_the_counter_leaves_the_network_alone_afterwards() -> None:
    net, _ = network()
    with SpikeCounter(net) as counter:
        net(batch(0, 2))
        counter.saw(2)
    before = float(counter.nos().detach())
    net(batch(1, 2))
    assert float(counter.nos().detach()) == before
    counter.reset()
    assert counter.figures() is None
    assert counter.firing_rate() is None


def test_a_network_without_spikes_has_no_figures() -> None:
    space = build_space("darts-cells", {"channels": 2, "cells": 3, "neuron": "relu", "time_steps": 1})
    net = Network(space.sample(random.Random(0)), SAMPLE, 4)
    with SpikeCounter(net) as counter:
        net(batch(0, 2))
        counter.saw(2)
    assert counter.figures() is None


@pytest.mark.parametrize("full", [False, True])
def test_nos_is_differentiable(full: bool) -> None:
    net, mixing = network(full)
    alpha = {name: matrix.clone().requires_grad_() for name, matrix in (mixing or {}).items() if name != "layers"}
    with SpikeCounter(net) as counter:
        net(batch(0, 2), alpha or None)
        counter.saw(2)
    counter.nos().backward()
    for leaf in (net.encoder.stem[0].weight, *alpha.values()):
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())
        assert float(leaf.grad.abs().sum()) > 0


def additions(conv: nn.Conv1d | nn.Conv2d, x: Tensor, shape: torch.Size) -> int:
    """Spike by spike, tap by tap: an addition where the tap puts the spike on an output site, for each output channel."""
    found = 0
    for spike in x.nonzero().tolist():
        for tap in itertools.product(*map(range, conv.kernel_size)):
            lands = True
            for axis, offset in enumerate(tap):
                at = spike[2 + axis] + conv.padding[axis] - offset * conv.dilation[axis]
                place, rest = divmod(at, conv.stride[axis])
                lands = lands and rest == 0 and 0 <= place < shape[2 + axis]
            found += lands * (conv.out_channels // conv.groups)
    return found


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv1d | nn.Conv2d, Tensor]:
    axes = draw(st.sampled_from([1, 2]))
    groups = draw(st.integers(1, 3))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))

    def each(strategy: st.SearchStrategy[int]) -> tuple[int, ...]:
        return draw(st.tuples(*[strategy] * axes))

    kernel, stride, padding, dilation = (each(st.integers(*bounds)) for bounds in ((1, 3), (1, 3), (0, 2), (1, 2)))
    size = each(st.integers(3, 7))
    for side, k, p, d in zip(size, kernel, padding, dilation, strict=True):
        assume(side + 2 * p > d * (k - 1))
    conv = (nn.Conv1d, nn.Conv2d)[axes - 1](c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)  # type: ignore[arg-type]
    seed = draw(st.integers(0, 1000))
    return conv, (torch.rand(2, c_in, *size, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


@law
@given(convolutions())
def test_synaptic_operations_by_brute_force(case: tuple[nn.Conv2d, Tensor]) -> None:
    conv, spikes = case
    with torch.no_grad():
        out = conv(spikes)
    assert synaptic_operations(conv, spikes) == additions(conv, spikes, out.shape)
    assert synaptic_operations(conv, torch.zeros_like(spikes)) == 0


@law
@given(convolutions())
def test_dense_operations_by_brute_force(case: tuple[nn.Conv2d, Tensor]) -> None:
    """For each output number, one product for each tap and input channel of its group; the border counts."""
    conv, x = case
    with torch.no_grad():
        out = conv(x)
    taps = len(list(itertools.product(*map(range, conv.kernel_size)))) * (conv.in_channels // conv.groups)
    assert dense_operations(conv, out) == len(list(itertools.product(*map(range, out.shape)))) * taps


def test_without_borders_and_stride_full_firing_is_dense() -> None:
    conv = nn.Conv2d(2, 4, 3)
    ones = torch.ones(1, 2, 7, 5)
    assert synaptic_operations(conv, ones) == dense_operations(conv, conv(ones)) == 5 * 3 * 4 * 2 * 9


def test_linear_layers() -> None:
    linear = nn.Linear(5, 3)
    spikes = torch.tensor([[[1.0, 0, 1, 0, 0]], [[0.0, 0, 0, 0, 1]]])
    assert synaptic_operations(linear, spikes) == 3 * 3
    assert dense_operations(linear, linear(spikes)) == 2 * 5 * 3


@pytest.mark.parametrize("membrane", ["node", "op"])
def test_a_network_is_counted_layer_by_layer(membrane: str) -> None:
    net, _ = network(membrane=membrane)
    net.train()
    batches = [(batch(0, 3), torch.zeros(3)), (batch(1, 1), torch.zeros(1))]
    found = count_operations(net, batches)
    assert net.training
    net.eval()
    macs = acs = sops = 0.0

    def note(layer: nn.Module, args: Any, out: Tensor) -> None:
        nonlocal macs, acs, sops
        (x,) = args
        weight: Tensor = layer.weight  # type: ignore[assignment]
        dense = out.numel() * weight.numel() / weight.shape[0]
        if set(x.unique().tolist()) <= {0.0, 1.0}:
            acs += dense * float((x == 1).double().mean())
            sops += additions(layer, x, out.shape) if isinstance(layer, nn.Conv2d) else float(x.sum()) * weight.shape[0]
        else:
            macs += dense

    handles = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for x, _ in batches:
            net(x)
    for handle in handles:
        handle.remove()
    assert found.acs > 0
    assert (found.macs, found.acs, found.sops) == pytest.approx((macs / 4, acs / 4, sops / 4))


def test_the_stem_of_a_static_image_is_counted_once_and_the_classifier_at_every_step() -> None:
    """Between them a spike-driven member has no multiplications: 8 x 8 x 27 x 2 for the stem, T x 16 x 4 behind."""
    space = build_space("spiking-cells", MODEL, nodes=2, operations=["conv_3x3", "conv_1x1"])
    net = Network(space.sample(random.Random(0)), SAMPLE, 4)
    net(batch(0, 8))
    found = count_operations(net, [(batch(0, 2), torch.zeros(2))])
    assert found.macs == 8 * 8 * 27 * 2 + 2 * (2 * 4 * 2) * 4


def test_energy() -> None:
    assert Operations(macs=1000.0, acs=2000.0, sops=5.0).energy_nj("45nm") == pytest.approx(4.6 + 1.8)
