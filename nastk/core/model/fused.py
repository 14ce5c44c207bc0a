"""Charge, fire and reset over all time steps at once: one pass over memory, and only the input kept for the gradient.

A neuron describes its leak (:class:`Leak`) and a surrogate its derivative (:class:`~nastk.core.model.surrogate.Bump`) in a
few numbers. What does not fit these, and every call that no kernel has an answer to (another dtype or device, a function
transform, tracing), is left to the scan. Spikes and membranes equal the scan's to the bit. On the CPU the kernel is C++
(:mod:`nastk.core.native`), on CUDA it is Triton's, where that is installed.
"""

from __future__ import annotations

import copy
import ctypes
import logging
import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nastk.core import native

if TYPE_CHECKING:
    from nastk.core.model.neuron import ThresholdNeuron

LEAKS = {("none", False): 0, ("divide", False): 1, ("divide", True): 2, ("multiply", False): 3, ("multiply", True): 4}
RESETS = {"none": 0, "soft": 1, "hard": 2}
BUMPS = {"atan": 0, "logistic": 1, "fast-sigmoid": 2, "triangle": 3, "tanh": 4}
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
DTYPES = {"cpu": tuple(SUFFIX), "cuda": (torch.float32, torch.bfloat16)}
FEW = 1 << 15
"""Below this many numbers a second thread costs more than it saves."""


class Leak(NamedTuple):
    """How a membrane ``v`` with the rest value ``r`` is charged by ``x``.

    ``none`` is ``v + x``. ``multiply`` is ``v + (x - (v - r)) k`` where the input decays, else ``v - (v - r) k + x``;
    ``divide`` has ``/ k`` in its place. A ``k`` that is a tensor of no dimension gets its gradient.
    """

    kind: Literal["none", "divide", "multiply"]
    k: float | Tensor = 1.0
    decay_input: bool = False
    rest: float = 0.0

    def charge(self, k: Tensor, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        """The membrane for a ``k`` that is learned, in operations of torch."""
        above_rest = v_BF - self.rest if self.rest else v_BF
        return v_BF + (x_BF - above_rest) * k if self.decay_input else v_BF - above_rest * k + x_BF


def fused(neuron: ThresholdNeuron, leak: Leak, x_TBF: Tensor, v_BF: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Spikes ``(T, B, *F)`` and last membrane ``(B, *F)``; ``None`` when this call is one for the scan.

    Without ``v_BF`` the membrane starts at ``v_reset``. The outputs lie in memory as a step of the input does.
    """
    firing = neuron.firing
    bump = neuron.surrogate.bump() if describes(type(neuron.surrogate), "bump", ("gradient", "spike")) else None
    if bump is None or _traced() or not _plain(x_TBF, x_TBF):
        return None
    k = leak.k.to(x_TBF.dtype) if isinstance(leak.k, Tensor) else None
    if not all(_plain(given, x_TBF) for given in (v_BF, k) if given is not None):
        return None
    kernels = _native() if x_TBF.device.type == "cpu" else _triton(leak, x_TBF.dtype)
    if kernels is None:
        return None
    how = _How(
        *(LEAKS[leak.kind, leak.decay_input], RESETS[firing.reset], firing.reset_timing == "next", firing.detach_reset),
        *(firing.compare == ">=", BUMPS[bump.kind], 0.0 if isinstance(leak.k, Tensor) else leak.k, leak.rest),
        *(firing.v_th, firing.v_reset, bump.a, bump.b),
    )
    outputs: tuple[Tensor, Tensor] = _Fused.apply(x_TBF, v_BF, k, _Call(kernels, how, neuron, leak))  # type: ignore[no-untyped-call]
    return outputs


@cache
def describes(cls: type, description: str, described: tuple[str, ...]) -> bool:
    """Whether ``description`` speaks of these methods: no sub-class overrode one of them and left the description."""
    place = {name: n for n, c in reversed(list(enumerate(cls.__mro__))) for name in vars(c)}
    return all(place[description] <= place[name] for name in described)


def _plain(x: Tensor, like: Tensor) -> bool:
    """Numbers in memory, on the device of another tensor and of its dtype, which there is a kernel for."""
    if type(x) not in (Tensor, nn.Parameter) or x.dtype != like.dtype or x.device != like.device or x.layout != torch.strided:
        return False
    try:
        return x.dtype in DTYPES.get(x.device.type, ()) and not x.is_neg() and x.data_ptr() != 0
    except RuntimeError:  # it only looks like one: a tensor of torch.autograd.grad(..., is_grads_batched=True), say
        return False


def _traced() -> bool:
    """Whether the call is recorded or transformed rather than run: then it must be made of operations of torch."""
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return traced or torch._C._are_functorch_transforms_active()


class _How(ctypes.Structure):
    """``How`` of ``native/neuron.cpp``."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("leak", "reset", "next", "detach", "at_threshold", "bump")),
        *((name, ctypes.c_double) for name in ("k", "rest", "v_th", "v_reset", "a", "b")),
    )


class _Kernels(Protocol):
    """Writes into what is given for its answers. Tensors are dense in each step and laid out alike; ``None``: not there."""

    def forward(self, how: _How, x: Tensor, v: Tensor | None, k: Tensor | None, z: Tensor, end: Tensor) -> None: ...

    def backward(
        self, how: _How, x: Tensor, v: Tensor | None, k: Tensor | None, gz: Tensor | None, gend: Tensor | None,
        gx: Tensor | None, gv: Tensor | None, gk: Tensor | None,
    ) -> None: ...  # fmt: skip


class _Native:
    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def forward(self, how: _How, x: Tensor, v: Tensor | None, k: Tensor | None, z: Tensor, end: Tensor) -> None:
        self._call("forward", how, k, x, v, z, end)

    def backward(
        self, how: _How, x: Tensor, v: Tensor | None, k: Tensor | None, gz: Tensor | None, gend: Tensor | None,
        gx: Tensor | None, gv: Tensor | None, gk: Tensor | None,
    ) -> None:  # fmt: skip
        self._call("backward", how, k, x, v, gz, 0 if gz is None else gz.stride(0), gend, gx, gv, gk)

    def _call(self, direction: str, how: _How, k: Tensor | None, x: Tensor, *rest: Tensor | int | None) -> None:
        if k is not None:
            how.k = float(k.detach())
        function = getattr(self.library, f"{direction}_{SUFFIX[x.dtype]}")
        function.restype = None
        arguments = [len(x), x[0].numel(), x, x.stride(0), *rest]
        count = native.threads() if x.numel() >= FEW else 1
        function(ctypes.byref(how), *map(_c, arguments), ctypes.c_int32(count))


def _c(argument: Tensor | int | None) -> ctypes.c_int64 | ctypes.c_void_p:
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return ctypes.c_void_p(None if argument is None else argument.data_ptr())


def _native() -> _Kernels | None:
    library = native.load("neuron")
    return None if library is None else _Native(library)


def _triton(leak: Leak, dtype: torch.dtype) -> _Kernels | None:
    """Only when asked for: it has never run on a GPU. There torch divides by a number as it likes: that is left to it."""
    return _tried_triton(dtype) if os.environ.get(native.SWITCH) == "triton" and leak.kind != "divide" else None


@cache
def _tried_triton(dtype: torch.dtype) -> _Kernels | None:
    """Triton's kernels, if they run on this machine and there give the bits that torch gives."""
    try:
        from nastk.core.model import fused_triton
    except ImportError:
        return None
    x = torch.linspace(-3, 4, 1200, device="cuda").view(300, 4).T.contiguous().to(dtype)
    try:
        fused_triton.agrees(x, _How(LEAKS["multiply", True], RESETS["hard"], 0, 0, 1, 0, 0.3, -0.3, 0.7, -0.3, 1.0, 3.0))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        logging.getLogger("nastk").warning("nastk: the Triton neuron is not used here (%s); the slower path is.", reason)
        return None
    return fused_triton


class _Call(NamedTuple):
    kernels: _Kernels
    how: _How
    neuron: ThresholdNeuron
    leak: Leak


class _Fused(torch.autograd.Function):
    """Keeps the input (and a first membrane that was given); the backward pass computes the membranes anew."""

    @staticmethod
    def forward(ctx: Any, x_TBF: Tensor, v_BF: Tensor | None, k: Tensor | None, call: _Call) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x_TBF, v_BF, k)
        ctx.set_materialize_grads(False)
        ctx.call = call
        strides = _strides(x_TBF)
        x, v = _laid_out(x_TBF, strides), None if v_BF is None else _laid_out(v_BF, strides)
        z, end = _empty(x.shape, strides, x), _empty(x.shape[1:], strides, x)
        call.kernels.forward(call.how, x, v, k, z, end)
        return z, end

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor | None, grad_end: Tensor | None) -> tuple[Tensor | None, ...]:
        x_TBF, v_BF, k = ctx.saved_tensors
        arrived = [grad for grad in (grad_z, grad_end) if grad is not None]
        if torch.is_grad_enabled() or _traced() or not all(_plain(grad, x_TBF) for grad in arrived):
            return *_replayed(ctx, grad_z, grad_end), None
        to_x, to_v, to_k, _ = ctx.needs_input_grad
        strides = _strides(x_TBF)
        x, v, gz, gv = (None if t is None else _laid_out(t, strides) for t in (x_TBF, v_BF, grad_z, grad_end))
        assert x is not None
        grad_x = _empty(x.shape, strides, x) if to_x else None
        grad_v = _empty(x.shape[1:], strides, x) if to_v else None
        grad_k = torch.empty((), dtype=torch.float64, device=x.device) if to_k else None
        ctx.call.kernels.backward(ctx.call.how, x, v, k, gz, gv, grad_x, grad_v, grad_k)
        return grad_x, grad_v, None if grad_k is None else grad_k.to(k.dtype), None


def _replayed(ctx: Any, grad_z: Tensor | None, grad_end: Tensor | None) -> list[Tensor | None]:
    """The gradients by the scan, so that they can be differentiated or transformed in turn."""
    from nastk.core.model.neuron import MembraneState

    inputs, create_graph = ctx.saved_tensors, torch.is_grad_enabled()
    x_TBF, v_BF, k = inputs
    twin = copy.copy(ctx.call.neuron)
    if k is not None:  # the tensor that the kernel was given, not the parameter it came from
        twin.__dict__["charge"] = partial(ctx.call.leak.charge, k)
    with torch.enable_grad():
        z_TBF, (end_BF,) = twin.scan(x_TBF, None if v_BF is None else MembraneState(v_BF))
    pairs = [(out, grad) for out, grad in ((z_TBF, grad_z), (end_BF, grad_end)) if grad is not None and out.requires_grad]
    wanted = [n for n in range(3) if ctx.needs_input_grad[n]]
    grads: list[Tensor | None] = [None] * 3
    if pairs:
        outs, arrived = zip(*pairs, strict=True)
        sources = [inputs[n] for n in wanted]
        for n, grad in zip(wanted, torch.autograd.grad(outs, sources, arrived, None, create_graph, True), strict=True):
            grads[n] = grad
    return grads


def _strides(x_TBF: Tensor) -> tuple[int, ...]:
    """Of one step: its own if its numbers lie side by side in some order of the axes (channels_last, say), else the usual."""
    shape, strides, side_by_side = x_TBF.shape[1:], x_TBF.stride()[1:], 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride != side_by_side:
            return torch.empty(shape, device="meta").stride()
        side_by_side *= size
    return strides


def _laid_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """The same numbers, each step in these strides; a copy where it lies otherwise."""
    first = x.dim() - len(strides)
    if all(own == want for own, want, size in zip(x.stride()[first:], strides, x.shape[first:], strict=True) if size > 1):
        return x
    return _empty(x.shape, strides, x).copy_(x)


def _empty(shape: torch.Size, strides: tuple[int, ...], like: Tensor) -> Tensor:
    whole = strides if len(shape) == len(strides) else (shape[1:].numel(), *strides)
    return torch.empty_strided(shape, whole, dtype=like.dtype, device=like.device)
