"""Squeeze-and-excitation."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import hidden_channels
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class SqueezeExciteConfig:
    """Settings of ``se``."""

    reduction: int = field(
        default=16, validator=ge(1), metadata={"help": "channels a hidden unit stands for; at least 4 hidden units are kept"}
    )


@mark.attention("se", config=SqueezeExciteConfig, paper="Hu et al., Squeeze-and-Excitation Networks, CVPR 2018")
class SqueezeExcite(Attention):
    """Channel gate from the mean of each map, per time step (Hu et al., 2018).

    ``y = x * sigmoid(W2 relu(W1 GAP(x)))``, ``W1: C -> max(C // reduction, 4)``, no bias (Squeeze-and-Excitation
    Networks, CVPR 2018, eq. 3 and 4). Every step is gated by itself: causal.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: SqueezeExciteConfig) -> None:
        super().__init__()
        hidden = hidden_channels(shape.C, config.reduction)
        self.reduce = nn.Linear(shape.C, hidden, bias=False)
        self.expand = nn.Linear(hidden, shape.C, bias=False)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        gate_TBC = torch.sigmoid(self.expand(torch.relu(self.reduce(x_TBCHW.mean(dim=(-2, -1))))))
        return x_TBCHW * gate_TBC[..., None, None]
