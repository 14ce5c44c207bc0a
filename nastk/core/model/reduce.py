"""Halving height and width with 1x1 convolutions (DARTS ``FactorizedReduce``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FactorizedReduce(nn.Module):
    """Two 1x1 convolutions of stride 2, the second one pixel off, each giving half of the channels; then batch norm.

    ``(N, C_in, H, W)`` to ``(N, C_out, H/2, W/2)``, odd sizes rounded up (the missing row and column are zeros).
    """

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        shifted = F.pad(x_NCHW, (0, 1, 0, 1))[..., 1:, 1:]
        out: Tensor = self.norm(torch.cat([self.even(x_NCHW), self.odd(shifted)], dim=1))
        return out
