"""``ssa``, ``qk-attention`` and ``qk-channel-attention``: against SpikingJelly's layers, and by loops over pixels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nastk.core.config import AttentionPart, NeuronPart, OperationPart
from nastk.core.laws.check import check
from nastk.core.model.network import Network
from nastk.core.model.operation import Operation, Site, fire
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
NAMES = ["ssa", "qk-attention", "qk-channel-attention"]
THEIRS = {"ssa": "SpikingSelfAttention", "qk-attention": "TokenQKAttention", "qk-channel-attention": "ChannelQKAttention"}
LIF = {"name": "lif", "v_th": 1.0, "detach_reset": True, "surrogate": "sigmoid"}


@pytest.fixture(scope="module")
def layers() -> ModuleType:
    return pytest.importorskip("spikingjelly.activation_based.layer.attention", exc_type=ImportError)


def site(shape: Shape, stride: int = 1, **neuron: Any) -> Site:
    return Site(shape, stride, True, NeuronPart.named(**(neuron or LIF)), AttentionPart.named("none"))


def built(name: str, place: Site, seed: int = 0) -> Operation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Operation = OperationPart.named(name).build(place)
    return module.double()


def spikes(shape: Shape, batch: int, seed: int, rate: float = 0.4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape.T, batch, *shape[1:], generator=generator) < rate).double()


def pairs_of(name: str, ours: Any, theirs: Any) -> list[tuple[nn.Parameter, nn.Parameter, slice]]:
    """Our parameter, theirs, and which rows of theirs."""
    projections = [ours.q.project, ours.k.project, *([ours.v.project] if name == "ssa" else [])]
    joint = theirs.qkv_conv_bn if name == "ssa" else theirs.qk_conv_bn
    C = projections[0].block[0].weight.shape[0]
    found = []
    for i, mine in enumerate(projections):
        rows = slice(i * C, (i + 1) * C)
        found += [(m, t, rows) for m, t in zip(mine.block.parameters(), joint.parameters(), strict=True)]
    closing = zip(ours.close.block.parameters(), theirs.proj_conv_bn.parameters(), strict=True)
    return found + [(mine, other, slice(0, C)) for mine, other in closing]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_spikes_are_those_of_spikingjelly(layers: ModuleType, name: str, training: bool) -> None:
    """With the paper's thresholds: 1 everywhere, a half behind the attention."""
    shape = Shape(4, 16, 3, 5)
    ours = built(name, site(shape))
    theirs = getattr(layers, THEIRS[name])(16, 8).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for mine, other, rows in pairs_of(name, ours, theirs):
            noise = torch.randn(mine.shape, generator=generator).double()
            drawn = mine + 0.1 * noise if mine.ndim > 1 else 3 * mine + noise  # norms wide enough to fire
            other[rows] = drawn.reshape(other[rows].shape)
            mine.copy_(other[rows].reshape(mine.shape))
    x = spikes(shape, 3, 1)
    with torch.no_grad():
        current = ours.train(training)(x)
        found = fire(NeuronPart.named(**LIF).build(), current)
        expected = theirs.train(training)(x.flatten(3)).reshape(found.shape)
    assert torch.equal(found, expected)
    assert 0.01 < float(found.mean()) < 0.99


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_spikingjelly(layers: ModuleType, name: str) -> None:
    """Theirs with one threshold and twice the current, as a surrogate gradient looks at the distance to the threshold."""
    shape = Shape(3, 16, 3, 2)
    ours = built(name, site(shape))
    theirs = getattr(layers, THEIRS[name])(16, 8, tau=2.0, v_threshold=1.0, detach_reset=True).double()
    theirs.scale = 0.25
    if name != "ssa":
        theirs.attn_lif.register_forward_pre_hook(lambda _, args: (2 * args[0],))
    with torch.no_grad():
        for mine, other, rows in pairs_of(name, ours, theirs):
            other[rows] = mine.reshape(other[rows].shape)
    x, y = (spikes(shape, 4, 2).requires_grad_() for _ in range(2))
    pull = torch.randn(3, 4, 16, 3, 2, generator=torch.Generator().manual_seed(3)).double()
    (fire(NeuronPart.named(**LIF).build(), ours(x)) * pull).sum().backward()
    (theirs(y.flatten(3)).reshape(pull.shape) * pull).sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-6, atol=1e-9)
    for mine, other, rows in pairs_of(name, ours, theirs):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, other.grad[rows].reshape(mine.shape), rtol=1e-6, atol=1e-9)


def by_loops(name: str, module: Any, x_TBCHW: Tensor, stride: int) -> Tensor:
    """Evaluation mode, pixel by pixel; ``relu`` as the neuron, so that nothing hangs on a threshold."""

    def projected(projection: Any, x_C: Tensor) -> Tensor:
        convolution, norm = projection.block
        y = convolution.weight[:, :, 0, 0] @ x_C
        return (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias

    T, B, C, H, W = x_TBCHW.shape
    heads = module.heads
    size = C // heads
    out = torch.zeros(T, B, C, -(-H // stride), -(-W // stride)).double()
    kept = [(i, j) for i in range(0, H, stride) for j in range(0, W, stride)]
    for t in range(T):
        for b in range(B):
            every = [(i, j) for i in range(H) for j in range(W)]
            at = {p: x_TBCHW[t, b, :, p[0], p[1]] for p in every}
            q = {p: projected(module.q.project, at[p]).relu().view(heads, size) for p in kept}
            k = {p: projected(module.k.project, at[p]).relu().view(heads, size) for p in every}
            answers = {}
            for p in kept:
                if name == "ssa":
                    v = {r: projected(module.v.project, at[r]).relu().view(heads, size) for r in every}
                    rows = [sum((q[p][h] @ k[r][h]) * v[r][h] for r in every) for h in range(heads)]
                    answers[p] = (0.25 * torch.stack(rows)).relu().flatten()
                elif name == "qk-attention":
                    answers[p] = ((2 * q[p].sum(1, keepdim=True)).relu() * k[p]).flatten()
                else:
                    answers[p] = ((2 * sum(q[r] for r in kept)).relu() * k[p]).flatten()
            for i, j in kept:
                out[t, b, :, i // stride, j // stride] = projected(module.close, answers[i, j])
    return out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("C", "H", "W"), [(6, 3, 2), (1, 1, 1), (8, 2, 3)])
def test_it_is_the_formula_at_both_strides(name: str, stride: int, C: int, H: int, W: int) -> None:
    shape = Shape(2, C, H, W)
    module = built(name, site(shape, stride, name="relu")).eval()
    generator = torch.Generator().manual_seed(9)
    for key, value in module.state_dict().items():
        if "running" in key or key.endswith(("1.weight", "bias")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.2)
    x = torch.randn(2, 2, C, H, W, generator=generator).double()
    with torch.no_grad():
        torch.testing.assert_close(module(x), by_loops(name, module, x, stride), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("channels", "heads"), [(64, 8), (16, 8), (12, 4), (6, 2), (7, 1), (1, 1)])
def test_heads_divide_the_channels(channels: int, heads: int) -> None:
    assert built("ssa", site(Shape(1, channels, 2, 2))).heads == heads


@pytest.mark.parametrize("name", NAMES)
def test_laws(name: str) -> None:
    assert {verdict.law: verdict.outcome for verdict in check("operation", name) if verdict.outcome == "fails"} == {}


def test_a_cell_of_them_trains() -> None:
    space = build_space("toy", {"channels": 4, "cells": 2}, operations=("none", "skip_connect", *NAMES))
    net = Network(space.full(), Shape(1, 1, 8, 8), 3, affine=False)
    mixing = {name: torch.full((len(cell.edges), 5), 0.2) for name, cell in space.full().cells}
    loss = net(torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), mixing).square().sum()
    loss.backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []
