"""A DARTS-style supernet as it is usually written, spiking or not: the reference of the search-step benchmark.

Own code after the method of Liu et al., DARTS (ICLR 2019), imports torch alone. Plain on purpose: a module for each
candidate of each edge, a neuron in front of each convolution, the zero operation computed, sums in Python, a Python
loop over T inside each neuron, and the gradients of weights and architecture both computed in both halves of a step.

    T time   B batch   N = T * B   C channels   H, W height, width   E edges   O candidates
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPIKING = (
    "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "conv_3x3", "conv_5x5", "dws_conv_3x3", "dil_conv_3x3",
)  # fmt: skip
DARTS = (
    "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip

Activation = Callable[[], nn.Module]


class ATanSpike(torch.autograd.Function):
    """A step forward; backward ``1 / (1 + (pi u)^2)`` (Fang et al., ICCV 2021, alpha = 2)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grad / (1 + (math.pi * u).square())


class LIF(nn.Module):
    """Leaky integrate-and-fire, tau = 2, threshold 0.5, hard reset to 0, its tape left to autograd."""

    def __init__(self, time_steps: int) -> None:
        super().__init__()
        self.time_steps = time_steps

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x_TBCHW = x_NCHW.unflatten(0, (self.time_steps, -1))
        v = torch.zeros_like(x_TBCHW[0])
        spikes = []
        for x in x_TBCHW:
            v = v + (x - v) / 2.0
            z = ATanSpike.apply(v - 0.5)
            v = (1.0 - z) * v
            spikes.append(z)
        return torch.stack(spikes).flatten(0, 1)


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Pool(nn.Module):
    def __init__(self, pool: nn.Module, channels: int) -> None:
        super().__init__()
        self.pool, self.norm = pool, nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pool(x))


class FactorizedReduce(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def conv(act: Activation, channels: int, kernel: int, stride: int) -> nn.Sequential:
    """Neuron, convolution, norm."""
    layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(act(), layer, nn.BatchNorm2d(channels, affine=False))


def separable(act: Activation, channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """Neuron, depthwise and pointwise convolution, norm."""
    depthwise = nn.Conv2d(channels, channels, kernel, stride, dilation * (kernel // 2), dilation, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(act(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=False))


def candidate(name: str, act: Activation, channels: int, stride: int) -> nn.Module:
    """A new module of a candidate operation."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if name == "max_pool_3x3":
        return Pool(nn.MaxPool2d(3, stride, padding=1), channels)
    if name == "avg_pool_3x3":
        return Pool(nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), channels)
    kind, _, size = name.partition("_conv_") if "_conv_" in name else ("conv", "", name.removeprefix("conv_"))
    kernel = int(size[0])
    if kind == "conv":
        return conv(act, channels, kernel, stride)
    if kind == "sep":
        return nn.Sequential(*separable(act, channels, kernel, stride), *separable(act, channels, kernel, 1))
    return separable(act, channels, kernel, stride, dilation={"dws": 1, "dil": 2}[kind])


class MixedOp(nn.Module):
    def __init__(self, operations: Sequence[str], act: Activation, channels: int, stride: int) -> None:
        super().__init__()
        self.ops = nn.ModuleList([candidate(name, act, channels, stride) for name in operations])

    def forward(self, x: Tensor, weights_O: Tensor) -> Tensor:
        return sum(w * op(x) for w, op in zip(weights_O, self.ops, strict=True))  # type: ignore[return-value]


def cell_edges(nodes: int) -> list[tuple[int, int]]:
    """(source, target) of every edge in the order of DARTS: by target, then source; 0 and 1 are the inputs."""
    return [(src, dst) for dst in range(2, 2 + nodes) for src in range(dst)]


class Cell(nn.Module):
    def __init__(
        self, operations: Sequence[str], act: Activation, nodes: int, widths: tuple[int, int], channels: int, reduction: bool,
        after_reduction: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.nodes, self.reduction = nodes, reduction
        old, new = widths
        first = FactorizedReduce(old, channels) if after_reduction else projection(old, channels)
        self.preprocess = nn.ModuleList([nn.Sequential(act(), first), nn.Sequential(act(), projection(new, channels))])
        self.edges = nn.ModuleList(
            [MixedOp(operations, act, channels, 2 if reduction and src < 2 else 1) for src, _ in cell_edges(nodes)]
        )

    def forward(self, s0: Tensor, s1: Tensor, weights_EO: Tensor) -> Tensor:
        states = [self.preprocess[0](s0), self.preprocess[1](s1)]
        at = 0
        for _ in range(self.nodes):
            states.append(sum(self.edges[at + j](s, weights_EO[at + j]) for j, s in enumerate(states)))
            at += len(states) - 1
        return torch.cat(states[2:], dim=1)


def projection(c_in: int, c_out: int) -> nn.Sequential:
    """Convolution 1x1 and norm."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=False))


class Supernet(nn.Module):
    """``(B, C, H, W)`` images to logits ``(B, K)``, time folded into the batch; ``time_steps = 0`` is ReLU without time.

    ``alpha`` holds the architecture parameters of both cells, ``(E, O)`` each; they are not among ``parameters()``.
    """

    def __init__(
        self, operations: Sequence[str] = SPIKING, time_steps: int = 2, channels: int = 16, cells: int = 8, nodes: int = 4,
        classes: int = 10, colours: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        self.operations, self.repeats, self.nodes = tuple(operations), max(time_steps, 1), nodes
        act: Activation = (lambda: LIF(time_steps)) if time_steps else nn.ReLU
        stem = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(colours, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleList()
        old, new, after_reduction = stem, stem, False
        for layer in range(cells):
            reduction = layer in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            self.cells.append(Cell(operations, act, nodes, (old, new), channels, reduction, after_reduction))
            old, new, after_reduction = new, nodes * channels, reduction
        self.classifier = nn.Linear(new, classes)
        shape = (len(cell_edges(nodes)), len(operations))
        self.alpha = {name: (1e-3 * torch.randn(shape)).requires_grad_() for name in ("normal", "reduce")}

    def forward(self, x_BCHW: Tensor) -> Tensor:
        weights = {name: F.softmax(alpha, dim=-1) for name, alpha in self.alpha.items()}
        s0 = s1 = self.stem(x_BCHW.repeat(self.repeats, 1, 1, 1))  # direct coding: the image at every time step
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, weights["reduce" if cell.reduction else "normal"])
        logits_NK = self.classifier(F.adaptive_avg_pool2d(s1, 1).flatten(1))
        return logits_NK.unflatten(0, (self.repeats, -1)).mean(0)


class SearchStep:
    """A first-order step of DARTS: Adam on the held-out loss, then SGD on the training loss; optimizers tensor by tensor."""

    def __init__(self, net: Supernet) -> None:
        self.net = net
        self.optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4, foreach=False)
        self.alpha_optimizer = torch.optim.Adam(net.alpha.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3, foreach=False)

    def __call__(self, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Both losses, the held-out one first; a batch is ``(B, C, H, W)`` and labels ``(B,)``."""
        self.alpha_optimizer.zero_grad()
        held_loss = F.cross_entropy(self.net(held[0]), held[1])
        held_loss.backward()
        self.alpha_optimizer.step()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(train[0]), train[1])
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0, foreach=False)
        self.optimizer.step()
        return held_loss.detach(), loss.detach()


PARTS = {  # the places of parameters in a candidate here -> in nastk's
    "conv": ("", "block.0", "block.1"),
    "dws": ("", "block.0", "block.1", "block.2"),
    "dil": ("", "block.0", "block.1", "block.2"),
    "sep": ("", "first.0", "first.1", "first.2", "", "second.0", "second.1", "second.2"),
}


def names_in_nastk(net: Supernet) -> dict[str, str]:
    """For each parameter and buffer of this network, its name in nastk's supernet of the same space."""
    return {name: _name_in_nastk(net, name) for name in net.state_dict()}


def _name_in_nastk(net: Supernet, name: str) -> str:
    if not name.startswith("cells."):
        return f"encoder.{name}" if name.startswith("stem.") else f"body.{name}"
    if found := re.fullmatch(r"cells\.(\d+)\.preprocess\.(\d)\.1\.(.+)", name):
        return "body.cells.{}.feeds.{}.project.{}".format(*found.groups())
    found = re.fullmatch(r"cells\.(\d+)\.edges\.(\d+)\.ops\.(\d+)\.(.+)", name)
    assert found is not None, name
    src, dst = cell_edges(net.nodes)[int(found[2])]
    operation, rest = net.operations[int(found[3])], found[4]
    if operation == "skip_connect":
        rest = f"reduce.{rest}"
    elif "conv" in operation:
        place, _, leaf = rest.partition(".")
        rest = f"{PARTS[operation.split('_')[0]][int(place)]}.{leaf}"
    return f"body.cells.{found[1]}.edges.{src}_{dst}.ops.{operation}.{rest}"


def rows_in_nastk(nodes: int) -> list[int]:
    """For each edge in the order of DARTS, its row in nastk's, which is by source, then target."""
    return [sorted(cell_edges(nodes)).index(edge) for edge in cell_edges(nodes)]


@torch.no_grad()
def copy_weights(net: Supernet, state: Mapping[str, Tensor], alpha: Mapping[str, Tensor]) -> None:
    """Take over the weights and the architecture of nastk's supernet of the same space."""
    net.load_state_dict({mine: state[theirs] for mine, theirs in names_in_nastk(net).items()})
    for name, mine in net.alpha.items():
        mine.copy_(alpha[name][rows_in_nastk(net.nodes)])
