"""What the gates of MA-SNN share: any of a temporal, a channel and a spatial gate, one behind the other."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import PooledGate, SpatialGate, TemporalGate, hidden_channels, means_and_maxima, odd
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Shape

PAPER = "Yao et al., Attention Spiking Neural Networks, TPAMI 2023"


def step_reduction() -> Any:
    """The setting of a temporal gate."""
    return field(default=1, validator=ge(1), metadata={"help": "time steps a hidden unit stands for; at most T"})


def channel_reduction() -> Any:
    """The setting of a channel gate."""
    text = "channels a hidden unit stands for; at least 4 hidden units are kept"
    return field(default=16, validator=ge(1), metadata={"help": text})


def spatial_kernel() -> Any:
    """The setting of a spatial gate."""
    return field(default=3, validator=odd, metadata={"help": "odd kernel size of the spatial gate"})


def closing_relu() -> Any:
    """Whether MA-SNN's rectifier ends it."""
    return field(default=False, metadata={"help": "close with a ReLU as MA-SNN does; it clips negative current"})


class MultiDimensional(Attention):
    """Those of the three gates whose setting is given; each multiplies the running output ``u``, which starts as ``x``.

    ``T: sigmoid(MLP(mean_CHW u) + MLP(max_CHW u))``, one number a step;
    ``C: sigmoid(MLP(mean_THW u) + MLP(max_THW u))``, one number a channel, shared by all steps;
    ``S: sigmoid(conv_kxk([mean_TC u, max_TC u]))``, one map shared by all steps and channels
    (Attention Spiking Neural Networks, TPAMI 2023). MLPs ``T -> T // t_reduction -> T`` and
    ``C -> max(C // c_reduction, 4) -> C``, no bias. The floor of 4 is ours, as in ``se`` and ``cbam``.

    Every gate pools over the time steps, so none is causal; only a temporal one has weights tied to T, and raises
    :class:`~nastk.core.errors.ShapeError` for a ``t_reduction`` above T.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})

    def __init__(
        self,
        shape: Shape,
        *,
        t_reduction: int | None = None,
        c_reduction: int | None = None,
        kernel: int | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.temporal = None if t_reduction is None else TemporalGate(shape.T, t_reduction, setting="t_reduction")
        self.channel = None if c_reduction is None else PooledGate(shape.C, hidden_channels(shape.C, c_reduction))
        self.spatial = None if kernel is None else SpatialGate(kernel)
        self.close: nn.Module = nn.ReLU() if relu else nn.Identity()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        if self.temporal is not None or self.channel is not None:
            x_TBCHW = x_TBCHW * self._pooled_gates(*means_and_maxima(x_TBCHW))[..., None, None]
        if self.spatial is not None:
            # Channels first, then time: one reduction over both would stride through memory, many times slower.
            s_gate_BHW = self.spatial(x_TBCHW.mean(dim=2).mean(dim=0), x_TBCHW.amax(dim=2).amax(dim=0))
            x_TBCHW = x_TBCHW * s_gate_BHW[:, None]
        closed: Tensor = self.close(x_TBCHW)
        return closed

    def _pooled_gates(self, mean_TBC: Tensor, max_TBC: Tensor) -> Tensor:
        """The product of the temporal and the channel gate, to be multiplied onto ``(T, B, C, ...)``."""
        gate = mean_TBC.new_ones(1, 1, 1)
        if self.temporal is not None:
            gate = self.temporal(mean_TBC.mean(dim=2).T, max_TBC.amax(dim=2).T).T.unsqueeze(2)
        if self.channel is not None:
            # A gate is positive and constant over a map, so the gated tensor's pools are the gated pools: no need for
            # the tensor itself between the two gates.
            gate = gate * self.channel((mean_TBC * gate).mean(dim=0), (max_TBC * gate).amax(dim=0))
        return gate


