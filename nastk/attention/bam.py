"""Bottleneck attention module."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import hidden_channels
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.model.operation import over_time
from nastk.core.types import Axis, Shape

NORMS = "while it trains, its batch norms read the statistics of all samples and steps, as those of the operations do"


@frozen(kw_only=True)
class BAMConfig:
    """Settings of ``bam``."""

    reduction: int = field(
        default=16, validator=ge(1), metadata={"help": "channels a hidden unit stands for; at least 4 hidden units are kept"}
    )
    dilation: int = field(default=4, validator=ge(1), metadata={"help": "dilation of the spatial branch's 3x3 convolutions"})


@mark.attention("bam", config=BAMConfig, paper="Park et al., BAM: Bottleneck Attention Module, BMVC 2018")
class BAM(Attention):
    """Channel and spatial branch side by side, one gate from their sum, per time step (Park et al., 2018).

    ``y = x * (1 + sigmoid(Mc + Ms))`` (BAM, BMVC 2018, eq. 1 and 2), where ``Mc = W1 relu(BN(W0 mean_HW x))`` is one
    number a channel and ``Ms = conv_1x1(g(g(f(x))))`` one number a pixel: f is a 1x1 convolution ``C -> h``, g a dilated
    3x3 convolution ``h -> h``, each with BN and ReLU behind; ``h = max(C // reduction, 4)``. Where the norms stand is as
    in the authors' code; that code multiplies the branches, the paper adds them. The floor of 4 is ours.

    The gate lies in (1, 2): it amplifies and never shuts. Every step is gated by itself: causal.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.C, Axis.HW})
    breaks: ClassVar = {"mixes_only_declared_axes": NORMS, "batch_independent": NORMS}

    def __init__(self, shape: Shape, config: BAMConfig) -> None:
        super().__init__()
        C, h, d = shape.C, hidden_channels(shape.C, config.reduction), config.dilation
        self.channel = nn.Sequential(*_layer(C, h, 1, 1), nn.Conv2d(h, C, 1))
        self.spatial = nn.Sequential(*_layer(C, h, 1, 1), *_layer(h, h, 3, d), *_layer(h, h, 3, d), nn.Conv2d(h, 1, 1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        return over_time(self._gated, x_TBCHW)

    def _gated(self, x_NCHW: Tensor) -> Tensor:
        scores_NCHW = self.channel(x_NCHW.mean(dim=(-2, -1), keepdim=True)) + self.spatial(x_NCHW)
        return x_NCHW * (1 + torch.sigmoid(scores_NCHW))


def _layer(c_in: int, c_out: int, kernel: int, dilation: int) -> tuple[nn.Module, ...]:
    """Convolution that keeps the size, batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(c_in, c_out, kernel, padding=padding, dilation=dilation, bias=False)
    return convolution, nn.BatchNorm2d(c_out), nn.ReLU()
