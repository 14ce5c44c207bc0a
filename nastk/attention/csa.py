"""Channel and spatial gate of MA-SNN."""

from __future__ import annotations

from attrs import frozen

from nastk.attention.multi_dimensional import PAPER, MultiDimensional, channel_reduction, closing_relu, spatial_kernel
from nastk.core import mark
from nastk.core.types import Shape


@frozen(kw_only=True)
class CSAConfig:
    """Settings of ``csa``."""

    c_reduction: int = channel_reduction()
    kernel: int = spatial_kernel()
    relu: bool = closing_relu()


@mark.attention("csa", config=CSAConfig, paper=PAPER)
class CSA(MultiDimensional):
    """Channel, then spatial gate, over all time steps (MA-SNN, Yao et al., 2023).

    ``cbam`` with pools over the time steps and a spatial gate that all steps share.
    The formulas stand at :class:`~nastk.attention.multi_dimensional.MultiDimensional`.

    It reads every step before it answers: not causal.
    """

    def __init__(self, shape: Shape, config: CSAConfig) -> None:
        super().__init__(shape, c_reduction=config.c_reduction, kernel=config.kernel, relu=config.relu)
