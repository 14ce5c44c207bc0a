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
from torch import Tensor, nn

Scaled = tuple[Tensor, nn.Conv2d, Tensor, Tensor]
"""A dense kernel ``(C, C, k, k)``, the convolution it comes from, and the mean and variance ``(C,)`` of its output."""


def merged_kernel(weighted: Sequence[tuple[Tensor, Scaled]], eps: float, support: int) -> tuple[Tensor, Tensor]:
    """The kernel ``(C, C, support, support)`` and the bias ``(C,)`` of one edge, from its candidates and their weights."""
    kernels, biases = [], []
    for w, (weight, convolution, mean_C, var_C) in weighted:
        a_C = w * torch.rsqrt(var_C + eps)
        kernels.append(_on_grid(a_C[:, None, None, None] * weight, convolution, support))
        biases.append(-a_C * mean_C)
    return _total(kernels), _total(biases)


def support_of(convolution: nn.Conv2d) -> int:
    """How many pixels wide a convolution looks."""
    return int(convolution.dilation[0] * (convolution.kernel_size[0] - 1) + 1)


def _on_grid(weight: Tensor, convolution: nn.Conv2d, support: int) -> Tensor:
    """A (dilated) kernel in the middle of a larger, undilated one."""
    step, own = convolution.dilation[0], support_of(convolution)
    if step > 1:
        spread = weight.new_zeros(*weight.shape[:2], own, own)
        spread[..., ::step, ::step] = weight
        weight = spread
    return F.pad(weight, [(support - own) // 2] * 4)


def _total(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
