"""A channel gate with a learned bias: the smallest attention that is worth having, in a package of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from torch import Tensor, nn

from nastk import Attention, Axis, Shape, mark

NASTK_INTERFACE = 1


@frozen(kw_only=True)
class GatedConfig:
    """Settings of ``gated``."""

    bias: float = field(default=2.0, metadata={"help": "where the gate starts: sigmoid(2) lets 88 % through"})


@mark.attention("gated", config=GatedConfig)
class Gated(Attention):
    """Channel gate with a learned bias, which starts nearly open.

    ``y = x * sigmoid(W mean(x) + b)``, the mean over height and width, ``b`` starting at ``bias``. Every time step is
    gated by itself: causal.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: GatedConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.C, shape.C)
        nn.init.constant_(self.gate.bias, config.bias)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        gate_TBC = torch.sigmoid(self.gate(x_TBCHW.mean(dim=(-2, -1))))
        return x_TBCHW * gate_TBC[..., None, None]
