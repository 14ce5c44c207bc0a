"""No attention, so that a baseline is the same network with one name changed."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@mark.attention("none")
class NoAttention(Attention):
    """No attention: the input itself, no parameters."""

    axes: ClassVar[frozenset[Axis]] = frozenset()

    def __init__(self, shape: Shape) -> None:  # noqa: ARG002 - the interface
        super().__init__()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """The same tensor ``(T, B, C, H, W)``, not a copy."""
        return x_TBCHW
