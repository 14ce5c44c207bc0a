"""Spatial gate alone of MA-SNN."""

from __future__ import annotations

from attrs import frozen

from nastk.attention.multi_dimensional import PAPER, MultiDimensional, closing_relu, spatial_kernel
from nastk.core import mark
from nastk.core.types import Shape


@frozen(kw_only=True)
class SAConfig:
    """Settings of ``sa``."""

    kernel: int = spatial_kernel()
    relu: bool = closing_relu()


@mark.attention("sa", config=SAConfig, paper=PAPER)
class SA(MultiDimensional):
    """One gate a pixel, from all time steps: the spatial gate of MA-SNN alone (Yao et al., 2023).

    The formulas stand at :class:`~nastk.attention.multi_dimensional.MultiDimensional`.

    It reads every step before it answers: not causal.
    """

    def __init__(self, shape: Shape, config: SAConfig) -> None:
        super().__init__(shape, kernel=config.kernel, relu=config.relu)
