"""Temporal gate alone of MA-SNN."""

from __future__ import annotations

from attrs import frozen

from nastk.attention.multi_dimensional import PAPER, MultiDimensional, closing_relu, step_reduction
from nastk.core import mark
from nastk.core.types import Shape


@frozen(kw_only=True)
class TAConfig:
    """Settings of ``ta``."""

    t_reduction: int = step_reduction()
    relu: bool = closing_relu()


@mark.attention("ta", config=TAConfig, paper=PAPER)
class TA(MultiDimensional):
    """One gate a time step, from all time steps: the temporal gate of MA-SNN alone (Yao et al., 2023).

    The same function as ``temporal``, under the name and the settings of MA-SNN.
    The formulas stand at :class:`~nastk.attention.multi_dimensional.MultiDimensional`.

    It reads every step before it answers: not causal, and its weights are tied to T. Raises
    :class:`~nastk.core.errors.ShapeError` for a ``t_reduction`` above T.
    """

    def __init__(self, shape: Shape, config: TAConfig) -> None:
        super().__init__(shape, t_reduction=config.t_reduction, relu=config.relu)
