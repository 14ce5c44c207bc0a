"""Temporal-wise attention."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.attention.gates import TemporalGate
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class TemporalConfig:
    """Settings of ``temporal``."""

    reduction: int = field(default=1, validator=ge(1), metadata={"help": "time steps a hidden unit stands for; at most T"})


@mark.attention(
    "temporal",
    config=TemporalConfig,
    paper="Yao et al., Temporal-wise Attention Spiking Neural Networks for Event Streams Classification, ICCV 2021",
)
class TemporalAttention(Attention):
    """One gate a time step, from all time steps (TA-SNN, Yao et al., 2021).

    ``y_t = x_t * sigmoid(MLP(mean_CHW x) + MLP(max_CHW x))_t``, MLP ``T -> T // reduction -> T`` with ReLU, shared by
    both poolings, no bias (Temporal-wise Attention Spiking Neural Networks, ICCV 2021). It reads every step before it
    answers: not causal, and its weights are tied to T. Raises :class:`~nastk.core.errors.ShapeError` for a reduction
    above T.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: TemporalConfig) -> None:
        super().__init__()
        self.gate = TemporalGate(shape.T, config.reduction, setting="reduction")

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        mean_TB, max_TB = x_TBCHW.mean(dim=(2, 3, 4)), x_TBCHW.amax(dim=(2, 3, 4))
        return x_TBCHW * self.gate(mean_TB.T, max_TB.T).T[..., None, None, None]
