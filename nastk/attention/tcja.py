"""Temporal-channel joint attention."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import padded, same_steps
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class TCJAConfig:
    """Settings of ``tcja``; the defaults are those of the authors' class."""

    t_kernel: int = field(
        default=2, validator=ge(1), metadata={"help": "channels that the convolution with a weight for every pair of steps reads"}
    )
    c_kernel: int = field(
        default=1, validator=ge(1), metadata={"help": "steps that the convolution with a weight for every pair of channels reads"}
    )


@mark.attention(
    "tcja",
    config=TCJAConfig,
    paper="Zhu et al., TCJA-SNN: Temporal-Channel Joint Attention for Spiking Neural Networks, TNNLS 2024",
)
class TCJA(Attention):
    """One gate a step and channel, from two crossed convolutions over both (TCJA-SNN, Zhu et al., 2024).

    ``Z = mean_HW x`` is a matrix ``(T, C)`` a sample; ``y = x * sigmoid(A * B)``, where A convolves Z along the channels
    (T to T steps, ``t_kernel`` wide) and B along the steps (C to C channels, ``c_kernel`` wide), zero padding, no bias.
    Of an even kernel the odd zero stands behind, as in the authors' code.

    It reads every step before it answers: not causal, and its weights are tied to T.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: TCJAConfig) -> None:
        super().__init__()
        self.T = shape.T
        self.along_channels = nn.Conv1d(shape.T, shape.T, config.t_kernel, bias=False)
        self.along_steps = nn.Conv1d(shape.C, shape.C, config.c_kernel, bias=False)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape. Raises :class:`ShapeError` for another number of steps than built for."""
        same_steps(x_TBCHW.shape[0], self.T)
        z_BTC = x_TBCHW.mean(dim=(-2, -1)).transpose(0, 1)
        a_BTC = self.along_channels(padded(z_BTC, self.along_channels.kernel_size[0], 1))
        b_BCT = self.along_steps(padded(z_BTC.transpose(1, 2), self.along_steps.kernel_size[0], 1))
        gate_TBC = torch.sigmoid(a_BTC * b_BCT.transpose(1, 2)).transpose(0, 1)
        return x_TBCHW * gate_TBC[..., None, None]
