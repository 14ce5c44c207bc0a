"""Gated attention coding."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import TemporalGate, padded
from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.model.operation import over_time
from nastk.core.types import Axis, Shape


@frozen(kw_only=True)
class GACConfig:
    """Settings of ``gac``; the defaults are those of the authors' code."""

    t_reduction: int = field(default=2, validator=ge(1), metadata={"help": "time steps a hidden unit stands for; at most T"})
    c_reduction: int = field(
        default=1, validator=ge(1), metadata={"help": "channels that a channel between the two convolutions stands for"}
    )
    kernel: int = field(default=4, validator=ge(1), metadata={"help": "kernel size of both convolutions"})


@mark.attention(
    "gac",
    config=GACConfig,
    paper="Qiu et al., Gated Attention Coding for Training High-performance and Efficient Spiking Neural Networks, AAAI 2024",
)
class GAC(Attention):
    """One gate a value, temporal score times a convolved spatial-channel score (Qiu et al., 2024); meant for the encoder.

    ``y = x * sigmoid(TA * SCA)``: ``TA = MLP(mean_CHW x) + MLP(max_CHW x)`` is one number a step, with an MLP
    ``T -> T // t_reduction -> T``; ``SCA = conv_k(relu(conv_k(x)))``, ``C -> C // c_reduction -> C``, is one a value. No
    bias, zero padding. So a picture that direct coding feeds unchanged at every step gets another weight at each.

    The paper puts it once, at the input encoder: ``model.input_attention = "gac"``. There it gates the current in front
    of the encoder's neuron, so that what enters the cells is binary; the authors' code gates the encoder's spikes, and its
    first block fires before it convolves. It reads every step before it answers: not causal, and its weights are tied to
    T. Raises :class:`~nastk.core.errors.ShapeError` for a ``t_reduction`` above T, which T = 1 is with the default.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})

    def __init__(self, shape: Shape, config: GACConfig) -> None:
        super().__init__()
        hidden, self.kernel = max(shape.C // config.c_reduction, 1), config.kernel
        self.temporal = TemporalGate(shape.T, config.t_reduction, setting="t_reduction")
        self.narrow = nn.Conv2d(shape.C, hidden, config.kernel, bias=False)
        self.widen = nn.Conv2d(hidden, shape.C, config.kernel, bias=False)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape."""
        means_TB, maxima_TB = x_TBCHW.mean(dim=(2, 3, 4)), x_TBCHW.amax(dim=(2, 3, 4))
        score_TB = self.temporal.score(means_TB.T, maxima_TB.T).T
        return x_TBCHW * torch.sigmoid(score_TB[..., None, None, None] * over_time(self._convolved, x_TBCHW))

    def _convolved(self, x_NCHW: Tensor) -> Tensor:
        hidden = torch.relu(self.narrow(padded(x_NCHW, self.kernel, 2)))
        scores: Tensor = self.widen(padded(hidden, self.kernel, 2))
        return scores
