"""Wires: operations that hand the value of a node on, pooled or as it is."""

from __future__ import annotations

from abc import abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.operation import Operation, Pooled, Site, over_time
from nastk.core.model.reduce import FactorizedReduce
from nastk.core.types import Face


@mark.operation("none")
class Zero(Operation):
    """Nothing arrives: zeros of the right shape."""

    reads = Face.VALUE
    identity = True

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.stride = site.stride

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW[..., :: self.stride, :: self.stride] * 0.0


@mark.operation("skip_connect")
class Skip(Operation):
    """The value as it is; at stride 2 a factorised 1x1 reduction."""

    reads = Face.VALUE

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.identity = site.stride == 1
        channels = site.shape.C
        self.reduce = nn.Identity() if self.identity else FactorizedReduce(channels, channels, site.make_norm())

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW if self.identity else over_time(self.reduce, x_TBCHW)


class Pool(Operation):
    """A 3x3 pooling and a batch norm without scale and shift, in search and in the final network alike."""

    reads = Face.VALUE

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.stride = site.stride
        self.norm = site.make_norm(affine=False)

    @abstractmethod
    def pool(self, x_NCHW: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H/stride, W/stride)``."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(lambda x_NCHW: self.norm(self.pool(x_NCHW)), x_TBCHW)

    @property
    def recipe(self) -> Pooled:
        return Pooled((type(self).__qualname__, self.stride), self.pool, self.norm)


@mark.operation("avg_pool_3x3")
class AvgPool3x3(Pool):
    """Average pooling 3x3, border not counted. Its output is not binary."""

    def pool(self, x_NCHW: Tensor) -> Tensor:
        return F.avg_pool2d(x_NCHW, 3, self.stride, padding=1, count_include_pad=False)


@mark.operation("max_pool_3x3")
class MaxPool3x3(Pool):
    """Max pooling 3x3."""

    def pool(self, x_NCHW: Tensor) -> Tensor:
        return F.max_pool2d(x_NCHW, 3, self.stride, padding=1)


@mark.operation("attention")
class AttentionOperation(Operation):
    """The run's attention as a candidate of its own (``model.attention_location = "candidate"``)."""

    reads = Face.VALUE

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.skip = Skip(site)
        self.attention = site.make_attention(site.out)
        self.norm = site.make_norm(affine=False)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(self.norm, self.attention(self.skip(x_TBCHW)))
