"""Channel gate alone of MA-SNN."""

from __future__ import annotations

from attrs import frozen

from nastk.attention.multi_dimensional import PAPER, MultiDimensional, channel_reduction, closing_relu
from nastk.core import mark
from nastk.core.types import Shape


@frozen(kw_only=True)
class CAConfig:
    """Settings of ``ca``."""

    c_reduction: int = channel_reduction()
    relu: bool = closing_relu()


@mark.attention("ca", config=CAConfig, paper=PAPER)
class CA(MultiDimensional):
    """One gate a channel, from all time steps: the channel gate of MA-SNN alone (Yao et al., 2023).

    Unlike in ``se`` and ``cbam`` the pools reach over the time steps, and all steps share the gate.
    The formulas stand at :class:`~nastk.attention.multi_dimensional.MultiDimensional`.

    It reads every step before it answers: not causal.
    """

    def __init__(self, shape: Shape, config: CAConfig) -> None:
        super().__init__(shape, c_reduction=config.c_reduction, relu=config.relu)
