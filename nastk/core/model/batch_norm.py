"""Batch norms that know the time steps of a spiking network. All are :class:`torch.nn.BatchNorm2d` with something more.

They take activations with time folded into the batch, ``(T * B, C, H, W)``, time first, as :func:`over_time` hands them on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nastk.core.errors import ConfigError, ShapeError

PLAIN = "bn"
ALPHA = 1.0
"""What tdBN scales beside the threshold: 1 without a shortcut, as its paper has it."""


class ThresholdBatchNorm(nn.BatchNorm2d):
    """tdBN: one batch norm over (T, B, H, W), scaled to the threshold of the neuron behind it.

    ``y = weight (alpha v_th x_hat) + bias``: the weight starts at ``alpha v_th``; without weights that scale is constant.
    Zheng et al., Going Deeper With Directly-Trained Larger Spiking Neural Networks, AAAI 2021.
    """

    def __init__(self, channels: int, affine: bool, v_th: float) -> None:
        super().__init__(channels, affine=affine)
        self.scale = ALPHA * v_th
        if affine:
            nn.init.constant_(self.weight, self.scale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """``(T * B, C, H, W)`` to the same."""
        y_NCHW = super().forward(x_NCHW)
        return y_NCHW if self.affine else self.scale * y_NCHW


class TemporalEffectiveBatchNorm(nn.BatchNorm2d):
    """TEBN: one batch norm over (T, B, H, W), then a learned scale ``p[t]`` of each time step, which starts at 1.

    Without scale and shift of its own (``affine``) there is no ``p`` either: it is the plain batch norm.
    Duan et al., Temporal Effective Batch Normalization in Spiking Neural Networks, NeurIPS 2022.
    """

    def __init__(self, channels: int, time_steps: int, affine: bool) -> None:
        super().__init__(channels, affine=affine)
        self.time_steps = time_steps
        self.p = nn.Parameter(torch.ones(time_steps)) if affine else None

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """``(T * B, C, H, W)`` to the same. Raises :class:`ShapeError` for a batch that is not ``T`` steps."""
        y_NCHW = super().forward(x_NCHW)
        if self.p is None:
            return y_NCHW
        y_TBCHW = torch.unflatten(y_NCHW, 0, (self.time_steps, _samples(x_NCHW, self.time_steps)))
        return (y_TBCHW * self.p.to(y_NCHW.dtype)[:, None, None, None, None]).flatten(0, 1)


class BatchNormThroughTime(nn.BatchNorm2d):
    """BNTT: a batch norm of its own, statistics, scale and shift, for each time step.

    Kept as one norm of ``T * C`` channels: the channels of step t are the block t.
    Kim and Panda, Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks From Scratch,
    Frontiers in Neuroscience 2021.
    """

    def __init__(self, channels: int, time_steps: int, affine: bool) -> None:
        super().__init__(time_steps * channels, affine=affine)
        self.time_steps = time_steps

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """``(T * B, C, H, W)`` to the same. Raises :class:`ShapeError` for a batch that is not ``T`` steps."""
        steps, samples = self.time_steps, _samples(x_NCHW, self.time_steps)
        x_BTCHW = torch.unflatten(x_NCHW, 0, (steps, samples)).transpose(0, 1)
        y_BTCHW = torch.unflatten(super().forward(x_BTCHW.flatten(1, 2)), 1, (steps, x_NCHW.shape[1]))
        return y_BTCHW.transpose(0, 1).flatten(0, 1)


def _samples(x_NCHW: Tensor, time_steps: int) -> int:
    samples, left = divmod(x_NCHW.shape[0], time_steps)
    if left:
        pictures = x_NCHW.shape[0]
        raise ShapeError(f"A batch norm for T = {time_steps} time steps met {pictures} pictures, which are not T a sample.")
    return samples


def batch_norm(kind: str, channels: int, time_steps: int, affine: bool, v_th: float | None) -> nn.BatchNorm2d:
    """A new norm: ``bn``, ``tdbn``, ``tebn`` or ``bntt``. ``v_th`` is the threshold of the network's neuron.

    Raises :class:`ConfigError` for ``tdbn`` and a neuron that has no threshold.
    """
    if kind == "tdbn":
        if v_th is None:
            fault = "model.batch_norm: tdbn needs a neuron with a threshold v_th; take another norm or neuron"
            raise ConfigError([fault], "model")
        return ThresholdBatchNorm(channels, affine, v_th)
    if kind == "tebn":
        return TemporalEffectiveBatchNorm(channels, time_steps, affine)
    if kind == "bntt":
        return BatchNormThroughTime(channels, time_steps, affine)
    return nn.BatchNorm2d(channels, affine=affine)
