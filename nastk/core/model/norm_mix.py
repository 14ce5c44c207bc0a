"""Batch norm without scale, mixture and sum in one: ``z_j = sum_m w_m norm(y_m)`` over the terms m of a slot j.

The forward pass keeps the inputs and their statistics alone. In the backward pass the gradient of the mixing weights
is a by-product of that of the norm, which needs ``sum(g norm(y))`` anyway::

    d w_m = sum_c s_mc,   s_mc = sum(g_j norm(y_m))_c
    d y_m = w_m / sigma_m (g_j - mean(g_j) - norm(y_m) s_mc / M)

with M numbers a channel. Terms without a norm (the value itself) have ``d y_m = w_m g_j``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nastk.core.model.norm_mix_kernels import Mixture, Term, forward, gradients


class _NormMix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mixture: Mixture, weights_M: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        inputs = tuple(y.contiguous(memory_format=torch.channels_last) for y in inputs)
        out, means, variances = forward(mixture, weights_M, inputs)
        ctx.mixture = mixture
        ctx.save_for_backward(weights_M, *inputs, *means, *variances)
        ctx.mark_non_differentiable(*means, *variances)
        return (*out, *means, *variances)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        weights_M, *saved = ctx.saved_tensors
        count = len(saved) // 3
        inputs, means, variances = saved[:count], saved[count : 2 * count], saved[2 * count :]
        outer = [g.contiguous(memory_format=torch.channels_last) for g in grads[: len(grads) - 2 * count]]
        d_weights, d_inputs = gradients(ctx.mixture, weights_M, inputs, means, variances, outer)
        return (None, d_weights, *d_inputs)


def norm_mix(
    terms: Sequence[Term], slots: int, channels: int, eps: float, weights_M: Tensor, inputs: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The mixtures ``(N, C, H, W)``, one a slot, and mean and population variance of the channels of every input.

    ``inputs`` are ``(N, blocks * C, H, W)`` with ``C = channels``; a term reads one block of one input, and every block of
    an input has to be read by a term. ``weights_M`` holds one weight a term. Statistics that no term wants are empty.
    """
    inputs = [y.to(weights_M.dtype) for y in inputs]  # under autocast some are bfloat16: no statistics in that
    found = _NormMix.apply(Mixture(tuple(terms), slots, channels, eps), weights_M, *inputs)  # type: ignore[no-untyped-call]
    count = len(inputs)
    return list(found[:slots]), list(found[slots : slots + count]), list(found[slots + count :])
