"""Halving height and width with 1x1 convolutions (DARTS ``FactorizedReduce``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FactorizedReduce(nn.Module):
    """Two 1x1 convolutions of stride 2, the second one pixel off, each giving half of the channels; then ``norm``.

    ``(N, C_in, H, W)`` to ``(N, C_out, H/2, W/2)``, odd sizes rounded up (the missing row and column are zeros).
    A single channel has the first convolution alone.
    """

    def __init__(self, c_in: int, c_out: int, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        evens = max(c_out // 2, 1)
        self.even = nn.Conv2d(c_in, evens, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - evens, 1, stride=2, bias=False) if c_out > 1 else None
        self.norm = norm

    def forward(self, x_NCHW: Tensor) -> Tensor:
        halves = [self.even(x_NCHW)]
        if self.odd is not None:
            halves.append(self.odd(F.pad(x_NCHW, (0, 1, 0, 1))[..., 1:, 1:]))
        out: Tensor = self.norm(torch.cat(halves, dim=1))
        return out
