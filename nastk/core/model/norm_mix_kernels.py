"""The passes over memory of :mod:`nastk.core.model.norm_mix`: compiled where a compiler is found, else in ATen."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.native import build

SUFFIXES = {torch.float32: "f32", torch.float64: "f64"}


@frozen
class Term:
    """One contribution: channels ``block * C`` to ``(block + 1) * C`` of input ``tensor``, normalised or not, into ``slot``."""

    tensor: int
    block: int
    slot: int
    normed: bool


@frozen
class Mixture:
    """Which terms go where; ``normed`` says of each input whether its statistics are wanted."""

    terms: tuple[Term, ...]
    slots: int
    channels: int
    eps: float

    @property
    def normed(self) -> list[bool]:
        """One truth an input."""
        count = max(term.tensor for term in self.terms) + 1
        return [any(term.normed and term.tensor == i for term in self.terms) for i in range(count)]


def library(like: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels, where they can work on tensors like this one."""
    return build.load("norm_mix") if like.device.type == "cpu" and like.dtype in SUFFIXES else None


def forward(mixture: Mixture, weights_M: Tensor, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The mixtures, one a slot, and mean and population variance of each input's channels (empty where not wanted)."""
    if found := library(inputs[0]):
        return _compiled_forward(found, mixture, weights_M, inputs)
    means, variances = [], []
    for y, wanted in zip(inputs, mixture.normed, strict=True):
        mean_K, var_K = moments(y) if wanted else (y.new_empty(0), y.new_empty(0))
        means.append(mean_K)
        variances.append(var_K)
    out: list[Tensor | None] = [None] * mixture.slots
    for term, w in zip(mixture.terms, weights_M, strict=True):
        here = slice(term.block * mixture.channels, (term.block + 1) * mixture.channels)
        y = inputs[term.tensor][:, here]
        if term.normed:
            a_C = w * torch.rsqrt(variances[term.tensor][here] + mixture.eps)
            part = torch.addcmul((-means[term.tensor][here] * a_C)[:, None, None], y, a_C[:, None, None])
        else:
            part = w * y
        before = out[term.slot]
        out[term.slot] = part if before is None else before.add_(part)
    return [z for z in out if z is not None], means, variances


def gradients(
    mixture: Mixture,
    weights_M: Tensor,
    inputs: Sequence[Tensor],
    means: Sequence[Tensor],
    variances: Sequence[Tensor],
    outer: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the weights ``(M,)`` and of every input, from those of the mixtures."""
    if found := library(inputs[0]):
        return _compiled_gradients(found, mixture, weights_M, inputs, means, variances, outer)
    d_weights, d_inputs = torch.empty_like(weights_M), [torch.zeros_like(y) for y in inputs]
    for m, term in enumerate(mixture.terms):
        here = slice(term.block * mixture.channels, (term.block + 1) * mixture.channels)
        y, g, w, into = inputs[term.tensor][:, here], outer[term.slot], weights_M[m], d_inputs[term.tensor][:, here]
        if not term.normed:
            d_weights[m] = (g * y).sum()
            into.add_(w * g)
            continue
        numbers = y.shape[0] * y.shape[2] * y.shape[3]
        mean_C, scale_C = means[term.tensor][here], torch.rsqrt(variances[term.tensor][here] + mixture.eps)
        total_C = g.sum(dim=(0, 2, 3))
        s_C = scale_C * ((g * y).sum(dim=(0, 2, 3)) - mean_C * total_C)
        d_weights[m] = s_C.sum()
        a_C, b_C = w * scale_C, -w * scale_C.square() * s_C / numbers
        constant_C = -a_C * total_C / numbers - b_C * mean_C
        into.add_(torch.addcmul(torch.addcmul(constant_C[:, None, None], g, a_C[:, None, None]), y, b_C[:, None, None]))
    return d_weights, d_inputs


def moments(y_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance of each channel."""
    found = library(y_NCHW)
    if found is None:
        var_C, mean_C = torch.var_mean(y_NCHW, dim=(0, 2, 3), correction=0)
        return mean_C, var_C
    y_NCHW = y_NCHW.contiguous(memory_format=torch.channels_last)
    mean_C, var_C = y_NCHW.new_empty(2, y_NCHW.shape[1]).unbind()
    sizes = (ctypes.c_int64(y_NCHW.numel() // y_NCHW.shape[1]), ctypes.c_int64(y_NCHW.shape[1]))
    function = getattr(found, f"norm_mix_moments_{SUFFIXES[y_NCHW.dtype]}")
    function.restype = None
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (y_NCHW, mean_C, var_C)]
    function(pointers[0], *sizes, *pointers[1:], ctypes.c_int(build.threads()))
    return mean_C, var_C


def _arguments(mixture: Mixture, weights_M: Tensor, inputs: Sequence[Tensor]) -> list[Any]:
    """What both kernels take first; the caller keeps the tensors alive."""
    samples, _, height, width = inputs[0].shape
    terms = mixture.terms
    sizes = (ctypes.c_int64 * 5)(samples * height * width, mixture.channels, len(terms), mixture.slots, len(inputs))
    columns = ([t.tensor for t in terms], [t.block for t in terms], [t.slot for t in terms], [int(t.normed) for t in terms])
    widths = (ctypes.c_int64 * len(inputs))(*(y.shape[1] for y in inputs))
    numbers = [(ctypes.c_int32 * len(terms))(*column) for column in columns]
    return [sizes, *numbers, widths, ctypes.c_void_p(weights_M.data_ptr()), _pointers(inputs), ctypes.c_double(mixture.eps)]


def _pointers(tensors: Sequence[Tensor]) -> Any:
    """An array of addresses; null for an empty tensor."""
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() if t.numel() else None for t in tensors))


def _compiled_forward(
    found: ctypes.CDLL, mixture: Mixture, weights_M: Tensor, inputs: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    samples, _, height, width = inputs[0].shape
    means = [y.new_zeros(y.shape[1] if wanted else 0) for y, wanted in zip(inputs, mixture.normed, strict=True)]
    variances = [torch.zeros_like(mean) for mean in means]
    shape = (samples, mixture.channels, height, width)
    out = [torch.empty(shape, dtype=inputs[0].dtype, memory_format=torch.channels_last) for _ in range(mixture.slots)]
    weights_M = weights_M.contiguous()
    function = getattr(found, f"norm_mix_forward_{SUFFIXES[inputs[0].dtype]}")
    function.restype = None
    arguments = _arguments(mixture, weights_M, inputs)
    function(*arguments, _pointers(means), _pointers(variances), _pointers(out), ctypes.c_int(build.threads()))
    return out, means, variances


def _compiled_gradients(
    found: ctypes.CDLL,
    mixture: Mixture,
    weights_M: Tensor,
    inputs: Sequence[Tensor],
    means: Sequence[Tensor],
    variances: Sequence[Tensor],
    outer: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    d_inputs = [torch.empty_like(y) for y in inputs]
    d_weights_MC = inputs[0].new_empty(len(mixture.terms), mixture.channels)
    weights_M = weights_M.contiguous()
    function = getattr(found, f"norm_mix_backward_{SUFFIXES[inputs[0].dtype]}")
    function.restype = None
    statistics = (_pointers(means), _pointers(variances), _pointers(outer), _pointers(d_inputs))
    arguments = _arguments(mixture, weights_M, inputs)
    function(*arguments, *statistics, ctypes.c_void_p(d_weights_MC.data_ptr()), ctypes.c_int(build.threads()))
    return d_weights_MC.sum(1).to(weights_M.dtype), d_inputs
