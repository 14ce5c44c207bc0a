"""The fused neuron on a GPU, in Triton: the same function as ``native/neuron.cpp``. Imported only where it is used.

Every operation is rounded to the tensors' dtype, as the operations of torch are, and none is contracted into a fused
multiply-add. A program owns a block of elements for all time steps. The backward pass keeps the membranes, which it computes
anew, in the gradient of the input until that is known. Sums for ``k`` are per program, so they do not depend on order.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def _fires(h, v_th, AT_THRESHOLD: tl.constexpr):
    return (h >= v_th) if AT_THRESHOLD else (h > v_th)


@triton.jit
def _round(value, like):
    return value.to(like.dtype.element_ty).to(tl.float32)


@triton.jit
def _reset(h, like, v_th, v_reset, RESET: tl.constexpr, AT_THRESHOLD: tl.constexpr):
    z = tl.where(_fires(h, v_th, AT_THRESHOLD), 1.0, 0.0)
    if RESET == 1:
        h = _round(h - _round(z * v_th, like), like)
    elif RESET == 2:
        h = _round(_round((1.0 - z) * h, like) + _round(z * v_reset, like), like)
    return h


@triton.jit
def _charge(x, v, like, k, rest, LEAK: tl.constexpr):
    above = _round(v - rest, like)
    if LEAK == 0:
        h = v + x
    elif LEAK == 3:
        h = _round(v - _round(above * k, like), like) + x
    else:
        h = v + _round(_round(x - above, like) * k, like)
    return _round(h, like)


@triton.jit
def _membrane(
    x, v, like, k, rest, v_th, v_reset, due, LEAK: tl.constexpr, RESET: tl.constexpr, NEXT: tl.constexpr, AT: tl.constexpr
):
    """The membrane before firing, from the one that the last step had before its reset; ``due`` says whether one is."""
    if NEXT and RESET == 1:
        z = tl.where(_fires(v, v_th, AT), 1.0, 0.0)
        h = _round(_charge(x, v, like, k, rest, LEAK) - _round(z * v_th, like), like)
    else:
        if due:
            v = _reset(v, like, v_th, v_reset, RESET, AT)
        h = _charge(x, v, like, k, rest, LEAK)
    return h


@triton.jit
def _bump(u, a, b, BUMP: tl.constexpr):
    w = tl.abs(u)
    if BUMP == 0:
        g = a / (1.0 + (b * u) * (b * u))
    elif BUMP == 2:
        g = a / ((1.0 + b * w) * (1.0 + b * w))
    elif BUMP == 3:
        g = a * tl.maximum(1.0 - b * w, 0.0)
    elif BUMP == 1:
        e = tl.exp(-a * w)
        g = a * (e / ((1.0 + e) * (1.0 + e)))
    else:
        e = tl.exp(-2.0 * b * w)
        g = tl.where(w >= 0.5, 0.0, a * 4.0 * (e / ((1.0 + e) * (1.0 + e))))
    return g


@triton.jit(do_not_specialize=["T"])
def _forward(
    x, v0, k_at, z, end, T, N, x_step, k, rest, v_th, v_reset,
    LEAK: tl.constexpr, RESET: tl.constexpr, NEXT: tl.constexpr, AT: tl.constexpr,
    FROM: tl.constexpr, LEARNED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < N
    if LEARNED:
        k = tl.load(k_at).to(tl.float32)
    v = tl.load(v0 + i, mask=inside, other=0.0).to(tl.float32) if FROM else tl.zeros((BLOCK,), tl.float32) + v_reset
    v = _round(v, z)
    row_x, row_z = x + i, z + i
    for t in range(T):
        now = tl.load(row_x, mask=inside, other=0.0).to(tl.float32)
        v = _membrane(now, v, z, k, rest, v_th, v_reset, NEXT or t > 0, LEAK, RESET, NEXT, AT)
        tl.store(row_z, tl.where(_fires(v, v_th, AT), 1.0, 0.0).to(z.dtype.element_ty), mask=inside)
        row_x += x_step
        row_z += N
    if not NEXT:
        v = _reset(v, z, v_th, v_reset, RESET, AT)
    tl.store(end + i, v.to(end.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["T"])
def _backward(
    x, v0, k_at, grad_z, grad_end, grad_x, grad_v, grad_k, T, N, x_step, z_step, k, rest, v_th, v_reset, keep, a, b,
    LEAK: tl.constexpr, RESET: tl.constexpr, NEXT: tl.constexpr, AT: tl.constexpr, BUMP: tl.constexpr,
    FROM: tl.constexpr, LEARNED: tl.constexpr, BY_Z: tl.constexpr, BY_END: tl.constexpr, TO_V: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < N
    if LEARNED:
        k = tl.load(k_at).to(tl.float32)
    first = tl.load(v0 + i, mask=inside, other=0.0).to(tl.float32) if FROM else tl.zeros((BLOCK,), tl.float32) + v_reset
    first = _round(first, grad_x)
    v = first
    row_x, row_g = x + i, grad_x + i
    for t in range(T):
        now = tl.load(row_x, mask=inside, other=0.0).to(tl.float32)
        v = _membrane(now, v, grad_x, k, rest, v_th, v_reset, NEXT or t > 0, LEAK, RESET, NEXT, AT)
        tl.store(row_g, v.to(grad_x.dtype.element_ty), mask=inside)
        row_x += x_step
        row_g += N
    gv = tl.load(grad_end + i, mask=inside, other=0.0).to(tl.float32) if BY_END else tl.zeros((BLOCK,), tl.float32)
    of_k = tl.zeros((BLOCK,), tl.float32)
    row_z = grad_z + i + (T - 1).to(tl.int64) * z_step
    for back in range(T):
        row_x -= x_step
        row_g -= N
        h = v
        v = first
        if back + 1 < T:
            v = tl.load(row_g - N, mask=inside, other=0.0).to(tl.float32)
        gz = tl.load(row_z, mask=inside, other=0.0).to(tl.float32) if BY_Z else tl.zeros((BLOCK,), tl.float32)
        row_z -= z_step
        s = _bump(h - v_th, a, b, BUMP)
        gh = gv + gz * s
        if RESET == 1 and not NEXT:
            gh -= keep * (gv * v_th) * s
        if RESET == 2 and not NEXT:
            gh = tl.where(_fires(h, v_th, AT), 0.0, gv) + (gz + keep * (gv * (v_reset - h))) * s
        fed = v
        if not (NEXT and RESET == 1):  # noqa: SIM102  the compiler knows this one
            if NEXT or back + 1 < T:
                fed = _reset(v, grad_x, v_th, v_reset, RESET, AT)
        now = tl.load(row_x, mask=inside, other=0.0).to(tl.float32)
        if LEAK == 0:
            gx, gv = gh, gh
        elif LEAK == 3:
            gx, gv = gh, gh - gh * k
            of_k -= gh * (fed - rest)
        else:
            gx, gv = gh * k, gh - gh * k
            of_k += gh * (now - (fed - rest))
        tl.store(row_g, gx.to(grad_x.dtype.element_ty), mask=inside)
        if NEXT and RESET > 0:
            s = _bump(v - v_th, a, b, BUMP)
            if RESET == 1:
                gv -= keep * (gh * v_th) * s
            else:
                gv = tl.where(_fires(v, v_th, AT), 0.0, gv) + keep * (gv * (v_reset - v)) * s
    if TO_V:
        tl.store(grad_v + i, gv.to(grad_v.dtype.element_ty), mask=inside)
    if LEARNED:
        tl.store(grad_k + tl.program_id(0), tl.sum(tl.where(inside, of_k, 0.0)))


def forward(how: Any, x: Tensor, v: Tensor | None, k: Tensor | None, z: Tensor, end: Tensor) -> None:
    """Writes the spikes and the last membrane; ``how`` has the fields of the C structure of that name."""
    N = end.numel()
    _forward[(triton.cdiv(N, BLOCK),)](
        *(x, x if v is None else v, x if k is None else k, z, end, len(x), N, x.stride(0)),
        *(how.k, how.rest, how.v_th, how.v_reset, how.leak, how.reset, bool(how.next), bool(how.at_threshold)),
        *(v is not None, k is not None, BLOCK),
        enable_fp_fusion=False,
    )


def backward(
    how: Any, x: Tensor, v: Tensor | None, k: Tensor | None, gz: Tensor | None, gend: Tensor | None,
    gx: Tensor | None, gv: Tensor | None, gk: Tensor | None,
) -> None:  # fmt: skip
    """Writes the gradients of the input, of the first membrane and of ``k``."""
    N = x[0].numel()
    programs = triton.cdiv(N, BLOCK)
    gx = torch.empty(x.shape, dtype=x.dtype, device=x.device) if gx is None else gx  # room for the membranes
    sums = None if k is None else torch.empty(programs, device=x.device)
    _backward[(programs,)](
        *(x if pointer is None else pointer for pointer in (x, v, k, gz, gend, gx, gv, sums)),
        *(len(x), N, x.stride(0), 0 if gz is None else gz.stride(0)),
        *(how.k, how.rest, how.v_th, how.v_reset, 0.0 if how.detach else 1.0, how.a, how.b),
        *(how.leak, how.reset, bool(how.next), bool(how.at_threshold), how.bump, v is not None, k is not None),
        *(gz is not None, gend is not None, gv is not None, BLOCK),
        enable_fp_fusion=False,
    )
    if gk is not None and sums is not None:
        gk.copy_(sums.double().sum())


def agrees(x: Tensor, how: Any) -> None:
    """Raises where these kernels do not run, or give other bits than torch for a leaky neuron with a hard reset."""
    z, end, gx = torch.empty_like(x), torch.empty_like(x[0]), torch.empty_like(x)
    forward(how, x, None, None, z, end)
    backward(how, x, None, None, x, end, gx, None, None)
    v = torch.full_like(end, how.v_reset)
    for now, spikes in zip(x, z, strict=True):
        h = v + (now - (v - how.rest)) * how.k
        fires = (h - how.v_th >= 0).to(h.dtype)
        v = (1.0 - fires) * h + fires * how.v_reset
        if not torch.equal(fires, spikes):
            raise ArithmeticError("it gives other spikes than torch")
    if not torch.equal(v, end) or not bool(gx.isfinite().all()):
        raise ArithmeticError("it gives other membranes than torch")
