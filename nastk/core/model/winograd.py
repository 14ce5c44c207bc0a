"""Convolutions with fewer products, where that is faster: Winograd's minimal filtering, compiled.

A tile of 4 x 4 outputs of a 3x3 kernel takes 36 products for each pair of channels in place of 144, one of a 5x5 kernel 64 in
place of 400 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). The function is the same up to
rounding: some 1e-15 of the largest output in float64, 1e-5 in float32.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nastk.core.native import build

SUFFIXES = {torch.float32: "f32", torch.float64: "f64"}
WIDTHS = (3, 5)
ENOUGH = 256
"""Output pixels of all samples below which the transform of the kernel costs more than it saves."""

Pair = tuple[int, int]


def convolve(x_NCHW: Tensor, kernel: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Tensor:
    """What ``F.conv2d`` gives for a kernel ``(K, C, k, k)`` and a bias ``(K,)``; channels last where the compiled path is taken.

    It is taken on the CPU at stride 1 for kernels 3 and 5 wide that keep the size, where both channel counts are
    multiples of what a register holds (16 numbers of float32 with AVX-512), and not under autocast.
    """
    # A program that is exported has no such kernels, and knows no size of a batch to choose by.
    exported = torch.compiler.is_compiling()
    fits = not exported and _fits(x_NCHW, kernel, stride, padding, dilation)
    library = _library(x_NCHW, kernel) if fits else None
    if library is None:
        return F.conv2d(x_NCHW, kernel, bias, stride, padding, dilation)
    out: Tensor = _Winograd.apply(x_NCHW, kernel, bias, dilation[0], library)  # type: ignore[no-untyped-call]
    return out


def _fits(x_NCHW: Tensor, kernel: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> bool:
    width = kernel.shape[-1]
    keeps = padding == (dilation[0] * (width // 2),) * 2 and dilation[0] == dilation[1]
    square = kernel.shape[-2] == width and width in WIDTHS and kernel.shape[1] == x_NCHW.shape[1]
    return stride == (1, 1) and keeps and square and x_NCHW.numel() >= ENOUGH * x_NCHW.shape[1]


def _library(x_NCHW: Tensor, kernel: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels, where they can work on tensors like these."""
    if x_NCHW.device.type != "cpu" or x_NCHW.dtype not in SUFFIXES or kernel.dtype != x_NCHW.dtype:
        return None
    if torch.is_autocast_enabled("cpu"):  # another precision is asked for, and torch's own convolution keeps to it
        return None
    library = build.load("winograd")
    if library is None:
        return None
    lanes = getattr(library, f"winograd_channels_{SUFFIXES[x_NCHW.dtype]}")()
    return None if kernel.shape[0] % lanes or kernel.shape[1] % lanes else library


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int, library: ctypes.CDLL) -> Tensor:
        x_NCHW, kernel = x_NCHW.contiguous(memory_format=torch.channels_last), kernel.contiguous()
        bias = None if bias is None else bias.to(x_NCHW.dtype).contiguous()
        ctx.save_for_backward(x_NCHW, kernel)
        ctx.dilation, ctx.library = dilation, library
        shape = (x_NCHW.shape[0], kernel.shape[0], *x_NCHW.shape[2:])
        y_NKHW = torch.empty(shape, dtype=x_NCHW.dtype, memory_format=torch.channels_last)
        _call(library, "forward", dilation, x_NCHW, kernel, bias, y_NKHW)
        return y_NKHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NKHW: Tensor) -> tuple[Tensor | None, ...]:
        x_NCHW, kernel = ctx.saved_tensors
        wants_x, wants_kernel, wants_bias = ctx.needs_input_grad[:3]
        to_x = torch.empty_like(x_NCHW) if wants_x else None
        to_kernel = torch.empty_like(kernel) if wants_kernel else None
        grad_NKHW = grad_NKHW.contiguous(memory_format=torch.channels_last)
        _call(ctx.library, "backward", ctx.dilation, x_NCHW, kernel, grad_NKHW, to_x, to_kernel)
        return to_x, to_kernel, grad_NKHW.sum(dim=(0, 2, 3)) if wants_bias else None, None, None


def _call(library: ctypes.CDLL, direction: str, dilation: int, x_NCHW: Tensor, kernel: Tensor, *others: Tensor | None) -> None:
    samples, channels, height, width = x_NCHW.shape
    sizes = (ctypes.c_int64 * 6)(samples, height, width, channels, kernel.shape[0], dilation)
    function = getattr(library, f"winograd_{direction}_{kernel.shape[-1]}_{SUFFIXES[x_NCHW.dtype]}")
    function.restype = None
    pointers = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in (x_NCHW, kernel, *others)]
    function(sizes, *pointers, ctypes.c_int(build.threads()))
