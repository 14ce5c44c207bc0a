"""``temporal`` and the gates of MA-SNN against SpikingJelly's modules with the same weights: outputs and gradients."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from nastk.core.config import AttentionPart
from nastk.core.types import Shape

Pairs = list[tuple[nn.Parameter, nn.Parameter]]


def copy(pairs: Pairs) -> None:
    with torch.no_grad():
        for ours, theirs in pairs:
            ours.copy_(theirs.reshape(ours.shape))


def assert_same(ours: nn.Module, theirs: nn.Module, x_TBCHW: Tensor, pairs: Pairs) -> None:
    x_ours, x_theirs = x_TBCHW.clone().requires_grad_(), x_TBCHW.clone().requires_grad_()
    y_ours, y_theirs = ours(x_ours), theirs(x_theirs)
    torch.testing.assert_close(y_ours, y_theirs, rtol=1e-10, atol=1e-12)
    pull = torch.randn(x_TBCHW.shape, generator=torch.Generator().manual_seed(1), dtype=x_TBCHW.dtype)
    (y_ours * pull).sum().backward()
    (y_theirs * pull).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, rtol=1e-9, atol=1e-11)
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad.reshape(mine.shape), rtol=1e-9, atol=1e-11)


def sequence(shape: Shape, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(shape.T, batch, shape.C, shape.H, shape.W, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("T", "reduction"), [(1, 1), (2, 2), (5, 2), (6, 1)])
def test_temporal(spikingjelly_attention: ModuleType, T: int, reduction: int) -> None:
    shape = Shape(T, 5, 3, 4)
    ours = AttentionPart.named("temporal", reduction=reduction).build(shape).double()
    theirs = spikingjelly_attention.TemporalWiseAttention(T, reduction).double()
    mlp = theirs.sharedMLP
    pairs = [(ours.gate.reduce.weight, mlp[0].weight), (ours.gate.expand.weight, mlp[2].weight)]
    copy(pairs)
    assert_same(ours, theirs, sequence(shape), pairs)


@pytest.mark.parametrize("name", ["ta", "ca", "sa", "tca", "csa", "tcsa"])
@pytest.mark.parametrize(("T", "C", "t_reduction", "c_reduction", "kernel"), [(1, 4, 1, 1, 3), (5, 9, 2, 2, 7), (6, 16, 1, 4, 3)])
def test_gates_of_ma_snn(
    spikingjelly_attention: ModuleType, name: str, T: int, C: int, t_reduction: int, c_reduction: int, kernel: int
) -> None:
    shape = Shape(T, C, 5, 3)
    here = {letter: letter in name.removesuffix("a") for letter in "tcs"}
    chosen = {"t_reduction": t_reduction} if here["t"] else {}
    chosen |= {"c_reduction": c_reduction} if here["c"] else {}
    chosen |= {"kernel": kernel} if here["s"] else {}
    ours = AttentionPart.named(name, **chosen, relu=True).build(shape).double()
    uses = {"use_temporal": here["t"], "use_channel": here["c"], "use_spatial": here["s"]}
    theirs = spikingjelly_attention.MultiDimensionalAttention(T, C, t_reduction, c_reduction, kernel, **uses).double()
    pairs: Pairs = []
    for gate, mine, other in (("t", ours.temporal, theirs.ta), ("c", ours.channel, theirs.ca)):
        if here[gate]:
            pairs += [(mine.reduce.weight, other.sharedMLP[0].weight), (mine.expand.weight, other.sharedMLP[2].weight)]
    if here["s"]:
        pairs.append((ours.spatial.conv.weight, theirs.sa.conv.weight))
    copy(pairs)
    assert_same(ours, theirs, sequence(shape), pairs)
