"""Efficient channel attention."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge, optional
from torch import Tensor, nn

from nastk.attention.gates import odd
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class ECAConfig:
    """Settings of ``eca``."""

    gamma: int = field(default=2, validator=ge(1), metadata={"help": "divisor of the adaptive kernel size"})
    b: int = field(default=1, validator=ge(0), metadata={"help": "offset of the adaptive kernel size"})
    kernel: int | None = field(
        default=None, validator=optional(odd), metadata={"help": "fixed odd kernel size; left out, it follows from C"}
    )


def adaptive_kernel(channels: int, gamma: int = 2, b: int = 1) -> int:
    """``|log2(C) / gamma + b / gamma|``, cut to a whole number and, where that is even, raised to the next odd one.

    16 and 64 channels give 3, 128 give 5 (Wang et al. 2020, eq. 12 as their code rounds it).
    """
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


@mark.attention(
    "eca",
    config=ECAConfig,
    paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, CVPR 2020",
)
class ECA(Attention):
    """Channel gate by a short convolution along the channels, per time step (Wang et al., 2020).

    ``y = x * sigmoid(conv1d_k(GAP(x)))``, zero padding, no bias; k parameters (ECA-Net, CVPR 2020, eq. 9 and 12).
    Every step is gated by itself: causal.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: ECAConfig) -> None:
        super().__init__()
        kernel = adaptive_kernel(shape.C, config.gamma, config.b) if config.kernel is None else config.kernel
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        mean_TBC = x_TBCHW.mean(dim=(-2, -1))
        gate_N1C = torch.sigmoid(self.conv(mean_TBC.flatten(0, 1).unsqueeze(1)))
        return x_TBCHW * gate_N1C.view(*mean_TBC.shape, 1, 1)
