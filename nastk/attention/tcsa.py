"""Temporal, channel and spatial gate of MA-SNN."""

from __future__ import annotations

from attrs import frozen

from nastk.attention.multi_dimensional import (
    PAPER,
    MultiDimensional,
    channel_reduction,
    closing_relu,
    spatial_kernel,
    step_reduction,
)
from nastk.core import mark
from nastk.core.types import Shape


@frozen(kw_only=True)
class TCSAConfig:
    """Settings of ``tcsa``."""

    t_reduction: int = step_reduction()
    c_reduction: int = channel_reduction()
    kernel: int = spatial_kernel()
    relu: bool = closing_relu()


@mark.attention("tcsa", config=TCSAConfig, paper=PAPER)
class TCSA(MultiDimensional):
    """Temporal, then channel, then spatial gate, over all time steps (MA-SNN, Yao et al., 2023).

    The formulas stand at :class:`~nastk.attention.multi_dimensional.MultiDimensional`.

    It reads every step before it answers: not causal, and its weights are tied to T. Raises
    :class:`~nastk.core.errors.ShapeError` for a ``t_reduction`` above T.
    """

    def __init__(self, shape: Shape, config: TCSAConfig) -> None:
        reductions = {"t_reduction": config.t_reduction, "c_reduction": config.c_reduction}
        super().__init__(shape, **reductions, kernel=config.kernel, relu=config.relu)
