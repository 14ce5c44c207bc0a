"""Attention modules re-weight activations; shape in equals shape out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from nastk.core.types import Axis


class Attention(nn.Module, ABC):
    """Re-weights activations. A plug-in class is built as ``cls(shape, config)``.

    ``shape`` is the :class:`~nastk.core.types.Shape` ``(T, C, H, W)`` it will meet; a setting that does not fit it
    raises :class:`~nastk.core.errors.ShapeError` with a clear sentence. Zero in must give zero out, so that an absent
    edge stays absent; the batch is never mixed.
    """

    axes: ClassVar[frozenset[Axis]]
    """The axes it may mix, a subset of ``{T, C, HW}``. With ``T`` among them it is not causal."""

    @abstractmethod
    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
