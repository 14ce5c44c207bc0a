"""One kernel an edge: with given statistics, norms and mixture of convolutions are one convolution.

``sum_o w_o (W_o * x - mean_o) / sigma_o = K * x + b``, where ``K = sum_o w_o / sigma_o W_o`` and
``b = - sum_o w_o mean_o / sigma_o``.
The statistics are those of a share of the samples, and no gradient goes through them: another algorithm than the exact
one, which they would make as dear. The gradient of the mixing weights flows through the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor, nn


@frozen
class Scaled:
    """Convolutions of one form, M of them, and what their norms see."""

    kernel: Tensor
    """Their dense kernels, ``(M * C, C, k, k)``."""
    form: nn.Conv2d
    mean: Tensor
    """Of their outputs, ``(M * C,)``."""
    variance: Tensor
    """Likewise."""
    slots: tuple[int, ...]
    """Where each of them goes."""
    weights: Tensor
    """Their mixing weights, ``(M,)``."""


def merged_kernel(groups: Sequence[Scaled], slots: int, eps: float, support: int) -> tuple[Tensor, Tensor]:
    """The kernels ``(slots * C, C, support, support)`` and biases ``(slots * C,)``, one of each for every slot."""
    kernel = bias = None
    for group in groups:
        count, channels = len(group.slots), group.kernel.shape[1]
        a_MC = group.weights[:, None] * torch.rsqrt(group.variance + eps).view(count, channels)
        scaled = a_MC[..., None, None, None] * group.kernel.view(count, channels, *group.kernel.shape[1:])
        parts = _on_grid(scaled, group.form, support), -a_MC * group.mean.view(count, channels)
        if group.slots != tuple(range(slots)):
            place = torch.tensor(group.slots, device=a_MC.device)
            parts = tuple(p.new_zeros(slots, *p.shape[1:]).index_add(0, place, p) for p in parts)  # type: ignore[assignment]
        kernel, bias = parts if kernel is None or bias is None else (kernel + parts[0], bias + parts[1])
    assert kernel is not None
    assert bias is not None
    return kernel.flatten(0, 1), bias.flatten()


def support_of(convolution: nn.Conv2d) -> int:
    """How many pixels wide a convolution looks."""
    return int(convolution.dilation[0] * (convolution.kernel_size[0] - 1) + 1)


def _on_grid(weight: Tensor, convolution: nn.Conv2d, support: int) -> Tensor:
    """(Dilated) kernels in the middle of larger, undilated ones."""
    step, own = convolution.dilation[0], support_of(convolution)
    if step > 1:
        spread = weight.new_zeros(*weight.shape[:-2], own, own)
        spread[..., ::step, ::step] = weight
        weight = spread
    return F.pad(weight, [(support - own) // 2] * 4) if support > own else weight
