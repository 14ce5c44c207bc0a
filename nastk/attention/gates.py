"""Gates that several attention modules share: bottleneck, shared MLP over pooled values, convolution over a pooled map."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nastk.core.errors import ShapeError

LEAST_HIDDEN = 4
"""Hidden units that a channel gate keeps at least, so that narrow cells (C = 16, reduction 16) are not cut to one."""


def hidden_channels(channels: int, reduction: int) -> int:
    """Width of a channel gate's bottleneck: ``max(C // reduction, 4)``."""
    return max(channels // reduction, LEAST_HIDDEN)


def odd(_instance: Any, _attribute: Any, value: int) -> None:
    """attrs validator: a kernel size that keeps the output as large as the input. Raises ``ValueError``."""
    if value < 1 or value % 2 == 0:
        raise ValueError(f"expected a positive odd kernel size, so that the output keeps its size; got {value}")


def padded(x: Tensor, kernel: int, axes: int) -> Tensor:
    """Zeros around the last ``axes`` axes, so that a convolution of any kernel size keeps their sizes.

    Of an even kernel the odd zero stands behind, as with torch's ``padding="same"``.
    """
    return F.pad(x, ((kernel - 1) // 2, kernel // 2) * axes)


def means_and_maxima(x_TBCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of every feature map: two ``(T, B, C)``.

    ``amax`` shares the gradient among equal maxima, which binary and zero maps have plenty of, so it is the same on
    every device.
    """
    return x_TBCHW.mean(dim=(-2, -1)), x_TBCHW.amax(dim=(-2, -1))


class PooledGate(nn.Module):
    """``sigmoid(W2 relu(W1 mean) + W2 relu(W1 max))`` along one axis of size N; no bias.

    CBAM, Woo et al. 2018, eq. 2, over channels; TA-SNN, Yao et al. 2021, and MA-SNN, Yao et al. 2023, over time too.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(size, hidden, bias=False)
        self.expand = nn.Linear(hidden, size, bias=False)

    def score(self, means: Tensor, maxima: Tensor) -> Tensor:
        """Two ``(..., N)`` to the gate before its sigmoid, ``(..., N)``."""
        # W2 is linear, so the two branches are added before it: one product instead of two.
        scores: Tensor = self.expand(torch.relu(self.reduce(means)) + torch.relu(self.reduce(maxima)))
        return scores

    def forward(self, means: Tensor, maxima: Tensor) -> Tensor:
        """Two ``(..., N)`` to a gate ``(..., N)`` in (0, 1)."""
        return torch.sigmoid(self.score(means, maxima))


class TemporalGate(PooledGate):
    """A :class:`PooledGate` over T time steps with ``T // reduction`` hidden units.

    ``setting`` is the name of the reduction in the user's configuration. Raises :class:`ShapeError` for a reduction
    above T, and for an input with another number of time steps than T.
    """

    def __init__(self, T: int, reduction: int, setting: str) -> None:
        if reduction > T:
            raise ShapeError(
                f"{setting} = {reduction} is above the number of time steps T = {T}, which leaves the temporal gate no hidden "
                f"unit: set {setting} to at most {T}, or time_steps to at least {reduction}."
            )
        super().__init__(T, T // reduction)
        self.T = T

    def score(self, means: Tensor, maxima: Tensor) -> Tensor:
        """Two ``(B, T)`` to the gate before its sigmoid, ``(B, T)``."""
        same_steps(means.shape[-1], self.T)
        return super().score(means, maxima)


def same_steps(found: int, built_for: int) -> None:
    """Raise :class:`ShapeError` for an input of another number of time steps than the weights are for."""
    if found != built_for:
        raise ShapeError(
            f"A temporal gate built for T = {built_for} time steps got {found}: its weights are tied to T, so "
            f"give it {built_for} time steps, or build the network with time_steps = {found}."
        )


class SpatialGate(nn.Module):
    """``sigmoid(conv_kxk([mean, max]))``: two maps to one; no bias (CBAM, Woo et al. 2018, eq. 3)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, mean_NHW: Tensor, max_NHW: Tensor) -> Tensor:
        """Two ``(N, H, W)`` to a gate ``(N, H, W)`` in (0, 1)."""
        return torch.sigmoid(self.conv(torch.stack((mean_NHW, max_NHW), dim=1)).squeeze(1))
