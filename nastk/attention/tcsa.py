"""Multi-dimensional attention of MA-SNN: time, channels, space."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.attention.gates import PooledGate, SpatialGate, TemporalGate, hidden_channels, means_and_maxima, odd
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class TCSAConfig:
    """Settings of ``tcsa``."""

    t_reduction: int = field(default=1, validator=ge(1), metadata={"help": "time steps a hidden unit stands for; at most T"})
    c_reduction: int = field(
        default=16, validator=ge(1), metadata={"help": "channels a hidden unit stands for; at least 4 hidden units are kept"}
    )
    kernel: int = field(default=3, validator=odd, metadata={"help": "odd kernel size of the spatial gate"})
    relu: bool = field(default=False, metadata={"help": "close with a ReLU as MA-SNN does; it clips negative current"})


@mark.attention("tcsa", config=TCSAConfig, paper="Yao et al., Attention Spiking Neural Networks, TPAMI 2023")
class TCSA(Attention):
    """Temporal, then channel, then spatial gate, over all time steps (MA-SNN, Yao et al., 2023).

    Each gate multiplies the running output ``u``, which starts as ``x``:
    ``T: sigmoid(MLP(mean_CHW u) + MLP(max_CHW u))``, one number a step;
    ``C: sigmoid(MLP(mean_THW u) + MLP(max_THW u))``, one number a channel, shared by all steps;
    ``S: sigmoid(conv_kxk([mean_TC u, max_TC u]))``, one map shared by all steps and channels
    (Attention Spiking Neural Networks, TPAMI 2023). MLPs ``T -> T // t_reduction -> T`` and
    ``C -> max(C // c_reduction, 4) -> C``, no bias. The floor of 4 is ours, as in ``se`` and ``cbam``.

    It reads every step before it answers: not causal, and its weights are tied to T. Raises
    :class:`~nastk.core.errors.ShapeError` for a ``t_reduction`` above T.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: TCSAConfig) -> None:
        super().__init__()
        self.temporal = TemporalGate(shape.T, config.t_reduction, setting="t_reduction")
        self.channel = PooledGate(shape.C, hidden_channels(shape.C, config.c_reduction))
        self.spatial = SpatialGate(config.kernel)
        self.relu = config.relu

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        mean_TBC, max_TBC = means_and_maxima(x_TBCHW)
        t_gate_TB = self.temporal(mean_TBC.mean(dim=2).T, max_TBC.amax(dim=2).T).T
        # A gate is positive and constant over a map, so the gated tensor's pools are the gated pools: no need for
        # the tensor itself between the first two gates.
        t_gate_TB1 = t_gate_TB.unsqueeze(2)
        c_gate_BC = self.channel((mean_TBC * t_gate_TB1).mean(dim=0), (max_TBC * t_gate_TB1).amax(dim=0))
        x_TBCHW = x_TBCHW * (t_gate_TB1 * c_gate_BC)[..., None, None]
        # Channels first, then time: one reduction over both would stride through memory, many times slower.
        s_gate_BHW = self.spatial(x_TBCHW.mean(dim=2).mean(dim=0), x_TBCHW.amax(dim=2).amax(dim=0))
        y_TBCHW = x_TBCHW * s_gate_BHW[:, None]
        return torch.relu(y_TBCHW) if self.relu else y_TBCHW
