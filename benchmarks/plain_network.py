"""The network of a genotype written from plain modules and SpikingJelly's multi-step LIF: the reference of ``retrain.py``.

Reads the genotype as data and imports nothing of nastk; modules have the names of nastk's, so that weights can be copied.
Covers the space ``spiking-cells`` with one neuron a node and a norm in front of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn


def lif() -> nn.Module:
    """SpikingJelly's LIF for whole sequences, torch backend, with nastk's default constants."""
    return neuron.LIFNode(
        tau=2.0, decay_input=True, v_threshold=0.5, v_reset=0.0, surrogate_function=surrogate.ATan(2.0), step_mode="m"
    )


def folded(module: nn.Module, x_TBCHW: Tensor) -> Tensor:
    """A stateless module over a sequence."""
    return functional.seq_to_ann_forward(x_TBCHW, module)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class Conv(nn.Module):
    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, bias=False)
        self.block = nn.Sequential(layer, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class AvgPool(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.norm = stride, nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False))


class Skip(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(x)


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """A new module of an operation."""
    if name == "skip_connect":
        return Skip(channels, stride)
    if name == "avg_pool_3x3":
        return AvgPool(channels, stride)
    return Conv(channels, int(name.removeprefix("conv_")[0]), stride)


class Feed(nn.Module):
    def __init__(self, c_in: int, c_out: int, halve: bool) -> None:
        super().__init__()
        plain = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.project = FactorizedReduce(c_in, c_out) if halve else plain
        self.neuron = lif()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.neuron(folded(self.project, x_TBCHW))


class Cell(nn.Module):
    def __init__(self, wires: list[list[Any]], widths: tuple[int, int], channels: int, reduction: bool, halve: bool) -> None:
        super().__init__()
        self.wires = wires
        self.feeds = nn.ModuleList([Feed(widths[0], channels, halve), Feed(widths[1], channels, False)])
        self.edges = nn.ModuleDict()
        for src, dst, name in wires:
            # The operation stands below "ops" and its name, as in nastk.
            holder = nn.ModuleDict({"ops": nn.ModuleDict({name: operation(name, channels, 2 if reduction and src < 2 else 1)})})
            self.edges[f"{src}_{dst}"] = holder
        self.norms = nn.ModuleDict({str(node): nn.BatchNorm2d(channels) for node in range(2, 6)})
        self.neurons = nn.ModuleDict({str(node): lif() for node in range(2, 6)})

    def forward(self, x0_TBCHW: Tensor, x1_TBCHW: Tensor) -> Tensor:
        states = [self.feeds[0](x0_TBCHW), self.feeds[1](x1_TBCHW)]
        for node in range(2, 6):
            arrivals = [
                folded(self.edges[f"{src}_{dst}"]["ops"][name], states[src]) for src, dst, name in self.wires if dst == node
            ]
            states.append(self.neurons[str(node)](folded(self.norms[str(node)], sum(arrivals))))
        return torch.cat(states[2:], dim=2)


class PlainNetwork(nn.Module):
    """``(T, B, C, H, W)`` with the image repeated at every step, to logits ``(T, B, K)``."""

    def __init__(self, genotype: Mapping[str, Any], classes: int = 10, colours: int = 3) -> None:
        super().__init__()
        parts = genotype["parts"]
        channels = parts["channels"]
        self.time_steps = parts["time_steps"]
        self.encoder = nn.Module()
        self.encoder.stem = nn.Sequential(nn.Conv2d(colours, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.first = lif()
        self.body = nn.Module()
        self.body.cells = nn.ModuleList()
        old = new = channels
        scale, halve = 0, False
        for target in map(int, parts["layers"]):
            reduction = target > scale
            wires = genotype["cells"]["reduce" if reduction else "normal"]["edges"]
            width = channels * 2**target
            self.body.cells.append(Cell(wires, (old, new), width, reduction, halve))
            old, new, scale, halve = new, 4 * width, target, reduction
        self.body.classifier = nn.Linear(new, classes)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        functional.reset_net(self)
        before = last = self.first(folded(self.encoder.stem, x_TBCHW))
        for cell in self.body.cells:
            before, last = last, cell(before, last)
        return self.body.classifier(last.mean(dim=(-2, -1)))
