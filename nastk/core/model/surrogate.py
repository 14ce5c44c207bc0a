"""Surrogate gradients: a step function forward, a smooth bump backward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Compare = Literal[">=", ">"]


class Bump(NamedTuple):
    """A derivative in the numbers that compiled kernels know.

    ================  ===================================================================
    ``atan``          ``a / (1 + (b u)^2)``
    ``logistic``      ``a s (1 - s)``, ``s = 1 / (1 + exp(-a u))``
    ``fast-sigmoid``  ``a / (1 + b |u|)^2``
    ``triangle``      ``a max(0, 1 - b |u|)``
    ``tanh``          ``a (1 - tanh^2(b u))`` where ``|u| < 0.5``, else 0
    ================  ===================================================================
    """

    kind: Literal["atan", "logistic", "fast-sigmoid", "triangle", "tanh"]
    a: float
    b: float = 0.0


class Surrogate(ABC):
    """The derivative that stands in for the step function's.

    Stateless, element-wise, even in its argument; positive at 0 and nowhere larger in size. Its area is free.
    """

    @abstractmethod
    def gradient(self, u: Tensor) -> Tensor:
        """``ds/du`` at ``u = v - v_th``, same shape and dtype as ``u``."""

    def bump(self) -> Bump | None:
        """What :meth:`gradient` computes, in numbers for a compiled kernel; ``None`` when it is none of those functions."""
        return None

    def spike(self, u: Tensor, compare: Compare = ">=") -> Tensor:
        """1 where ``u >= 0`` (or ``u > 0``), else 0, in the dtype of ``u``; differentiable by :meth:`gradient`."""
        spikes: Tensor = _Spike.apply(u, self, compare)  # type: ignore[no-untyped-call]
        return spikes


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, surrogate: Surrogate, compare: Compare) -> Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0 if compare == ">=" else u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.surrogate.gradient(u), None, None
