"""Spiking multiscale attention with attention zone-out."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import Factory, field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.attention.gates import hidden_channels, same_steps
from nastk.core import mark
from nastk.core.config import NeuronPart
from nastk.core.model.attention import Attention
from nastk.core.model.neuron import build_neuron
from nastk.core.model.operation import fire, over_time
from nastk.core.types import Axis, Shape

KERNELS = (1, 3, 5, 7)
"""The scales."""


@frozen(kw_only=True)
class SMAConfig:
    """Settings of ``sma``."""

    c_reduction: int = field(
        default=16, validator=ge(1), metadata={"help": "channels a hidden unit stands for; at least 4 hidden units are kept"}
    )
    t_reduction: int = field(
        default=4, validator=ge(1), metadata={"help": "time steps a hidden unit stands for; one hidden unit is kept"}
    )
    zoneout: bool = field(default=True, metadata={"help": "attention zone-out, in training only"})
    zoned_steps: int = field(
        default=4, validator=ge(1), metadata={"help": "zone-out holds one of so many time steps, and at least one"}
    )
    zoned_channels: int = field(
        default=4, validator=ge(1), metadata={"help": "zone-out holds one of so many channels, and at least one"}
    )
    neuron: NeuronPart = field(
        default=Factory(lambda: NeuronPart.named("lif", v_th=1.0, detach_reset=True)), metadata={"help": "neuron of every scale"}
    )


@mark.attention(
    "sma",
    config=SMAConfig,
    paper="Shan et al., Advancing Spiking Neural Networks towards Multiscale Spatiotemporal Interaction Learning, AAAI 2025",
)
class SMA(Attention):
    """Spikes of four kernel sizes, mixed by a softmax over the scales for channels and time (SMA, Shan et al., 2025).

    For each kernel k of 1, 3, 5 and 7: ``y_k = neuron(BN(conv_k(x)))``, C to C channels. With ``s = mean_HW sum_k y_k``,
    ``(T, C)`` a sample, every scale has logits for each step and channel, ``W_k relu(W s)`` (``C -> h -> C``), and for each
    step, ``V_k relu(V mean_C s)`` (``T -> max(T // t_reduction, 1) -> T``); a softmax *over the scales* makes weights
    ``wc_k`` and ``wt_k`` of each, and ``y = sum_k wt_k wc_k y_k``, real values. Structure as in the authors' code.

    Attention zone-out (AZO), in training: :func:`zoned_out`.

    Ours: ``h = max(C // c_reduction, 4)``; W and V start without negative entries, as what they read has none and a
    hidden unit that starts shut would stay so; a sample that is silent throughout stays silent, so that an absent edge
    stays absent. It reads every step before it answers: not causal, and its weights are tied to T.
    """

    axes: ClassVar[frozenset[Axis]] = frozenset({Axis.T, Axis.C, Axis.HW})
    breaks: ClassVar = {
        "batch_independent": "while it trains, its batch norms and its zone-out look at the whole batch",
    }

    def __init__(self, shape: Shape, config: SMAConfig) -> None:
        super().__init__()
        T, C = shape.T, shape.C
        self.config, self.T = config, T
        self.scales = nn.ModuleList(_scale(shape, kernel, config.neuron) for kernel in KERNELS)
        self.channel = ScaleScores(C, hidden_channels(C, config.c_reduction))
        self.time = ScaleScores(T, max(T // config.t_reduction, 1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to the same shape. Raises :class:`ShapeError` for another number of steps than built for."""
        same_steps(x_TBCHW.shape[0], self.T)
        y_STBCHW = torch.stack([_spikes(scale, x_TBCHW) for scale in self.scales])
        wt_STB, wc_STBC = self.weights(y_STBCHW)
        y_STBCHW = y_STBCHW * (wt_STB[..., None] * wc_STBC)[..., None, None]
        if self.training and self.config.zoneout:
            y_STBCHW = zoned_out(y_STBCHW, wt_STB, wc_STBC, self.config.zoned_steps, self.config.zoned_channels)
        heard_B = (x_TBCHW != 0).transpose(0, 1).flatten(1).any(dim=1)
        return y_STBCHW.sum(dim=0) * heard_B[:, None, None, None]

    def weights(self, y_STBCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(S, T, B)`` of the scales at each step and ``(S, T, B, C)`` at each step and channel; sums over S are 1."""
        s_TBC = y_STBCHW.sum(dim=0).mean(dim=(-2, -1))
        wt_SBT = self.time(s_TBC.mean(dim=2).T).softmax(dim=0)
        return wt_SBT.transpose(1, 2), self.channel(s_TBC).softmax(dim=0)


class ScaleScores(nn.Module):
    """For each scale, ``N -> hidden -> N`` with ReLU; all scales read the same hidden units."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(size, hidden)
        self.expand = nn.ModuleList(nn.Linear(hidden, size) for _ in KERNELS)
        with torch.no_grad():
            self.reduce.weight.abs_()
            self.reduce.bias.abs_()

    def forward(self, x: Tensor) -> Tensor:
        """``(..., N)`` to ``(S, ..., N)``."""
        hidden = torch.relu(self.reduce(x))
        return torch.stack([expand(hidden) for expand in self.expand])


def zoned_out(y_STBCHW: Tensor, wt_STB: Tensor, wc_STBC: Tensor, steps: int, channels: int) -> Tensor:
    """Hold the least attended cells at their value one step before (attention zone-out, Shan et al., AAAI 2025).

    For each scale, the ``max(T // steps, 1)`` steps of the smallest time weight, summed over the batch; then the
    ``max(C // channels, 1)`` channels of the smallest channel weight, summed over the batch and those steps. At these
    steps and channels the value becomes that of the step before, as it was; the first step stays. Of equal weights the
    earlier position is taken.
    """
    T, C = wt_STB.shape[1], wc_STBC.shape[3]
    steps_SN = wt_STB.sum(dim=2).argsort(dim=1, stable=True)[:, : max(T // steps, 1)]
    zoned_ST = torch.zeros_like(wt_STB[:, :, 0], dtype=torch.bool).scatter(1, steps_SN, True)
    weight_SC = (wc_STBC.sum(dim=2) * zoned_ST[..., None]).sum(dim=1)
    channels_SM = weight_SC.argsort(dim=1, stable=True)[:, : max(C // channels, 1)]
    zoned_SC = torch.zeros_like(weight_SC, dtype=torch.bool).scatter(1, channels_SM, True)
    before_STBCHW = torch.cat((y_STBCHW[:, :1], y_STBCHW[:, :-1]), dim=1)
    zoned_STC = zoned_ST[..., None] & zoned_SC[:, None]
    return torch.where(zoned_STC[:, :, None, :, None, None], before_STBCHW, y_STBCHW)


def _scale(shape: Shape, kernel: int, neuron: NeuronPart) -> nn.ModuleDict:
    convolution = nn.Conv2d(shape.C, shape.C, kernel, padding=kernel // 2, bias=False)
    return nn.ModuleDict({"conv": convolution, "norm": nn.BatchNorm2d(shape.C), "neuron": build_neuron(neuron, shape.T)})


def _spikes(scale: nn.Module, x_TBCHW: Tensor) -> Tensor:
    """One scale: ``(T, B, C, H, W)`` to spikes of the same shape."""
    conv, norm, neuron = scale["conv"], scale["norm"], scale["neuron"]  # type: ignore[index]
    return fire(neuron, over_time(lambda x_NCHW: norm(conv(x_NCHW)), x_TBCHW))
