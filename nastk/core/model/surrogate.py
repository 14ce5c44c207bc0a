"""Surrogate gradients: a step function forward, a smooth bump backward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor

Compare = Literal[">=", ">"]


class Surrogate(ABC):
    """The derivative that stands in for the step function's. Stateless, element-wise, even in its argument."""

    @abstractmethod
    def gradient(self, u: Tensor) -> Tensor:
        """``ds/du`` at ``u = v - v_th``, same shape and dtype as ``u``."""

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
