"""Convolutional block attention module."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.attention.gates import PooledGate, SpatialGate, hidden_channels, means_and_maxima, odd
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class CBAMConfig:
    """Settings of ``cbam``."""

    reduction: int = field(
        default=16, validator=ge(1), metadata={"help": "channels a hidden unit stands for; at least 4 hidden units are kept"}
    )
    kernel: int = field(default=7, validator=odd, metadata={"help": "odd kernel size of the spatial gate"})


@mark.attention("cbam", config=CBAMConfig, paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018")
class CBAM(Attention):
    """Channel gate, then spatial gate, per time step (Woo et al., 2018).

    ``x1 = x * sigmoid(MLP(mean_HW x) + MLP(max_HW x))``, ``y = x1 * sigmoid(conv_kxk([mean_C x1, max_C x1]))``;
    MLP ``C -> max(C // reduction, 4) -> C`` with ReLU, shared by both poolings, no bias (CBAM, ECCV 2018, eq. 1 to 3;
    no batch normalisation after the convolution). Every step is gated by itself: causal.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: CBAMConfig) -> None:
        super().__init__()
        self.channel = PooledGate(shape.C, hidden_channels(shape.C, config.reduction))
        self.spatial = SpatialGate(config.kernel)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        x_TBCHW = x_TBCHW * self.channel(*means_and_maxima(x_TBCHW))[..., None, None]
        mean_TBHW, max_TBHW = x_TBCHW.mean(dim=2), x_TBCHW.amax(dim=2)
        gate_NHW = self.spatial(mean_TBHW.flatten(0, 1), max_TBHW.flatten(0, 1))
        return x_TBCHW * gate_NHW.view(mean_TBHW.shape).unsqueeze(2)
