"""Spiking self-attention between the pixels of a map: queries, keys and values are the answers of the run's neuron."""

from __future__ import annotations

from math import gcd
from typing import ClassVar

from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import Neuron
from nastk.core.model.operation import Operation, Site, fire, over_time

SPIKFORMER = "Zhou et al., Spikformer: When Spiking Neural Network Meets Transformer, ICLR 2023"
QKFORMER = "Zhou et al., QKFormer: Hierarchical Spiking Transformer using Q-K Attention, NeurIPS 2024"
HEADS = 8
"""Heads where the channels can be split so; else the largest common divisor of both."""
SCALE = 0.125
"""Of the products in Spikformer, in place of the softmax."""
HALF_THRESHOLD = 2.0
"""Both papers give the neuron behind the attention half the threshold of the others. Twice the current does the same: the
same spikes, whatever neuron a run has (one of several thresholds, or none), where it is linear and resets to 0."""


class Projection(nn.Module):
    """Convolution 1x1 and the run's batch norm; no bias."""

    def __init__(self, site: Site, stride: int = 1) -> None:
        super().__init__()
        channels = site.shape.C
        self.block = nn.Sequential(nn.Conv2d(channels, channels, 1, stride, bias=False), site.make_norm())

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to ``(T, B, C, H / stride, W / stride)``."""
        return over_time(self.block, x_TBCHW)


class Token(nn.Module):
    """A projection and the neuron behind it, as ``heads`` rows of tokens."""

    def __init__(self, site: Site, heads: int, stride: int = 1) -> None:
        super().__init__()
        self.project, self.neuron, self.heads = Projection(site, stride), site.make_neuron(), heads

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to ``(T, B, heads, C / heads, H W)``."""
        return fire(self.neuron, self.project(x_TBCHW)).flatten(3).unflatten(2, (self.heads, -1))


class SelfAttention(Operation):
    """Projections in, attention, the run's neuron, projection out: a current, as a convolution gives.

    The neuron that both papers put behind it is the one of the target node. At stride 2 what the output's pixels are made
    from (queries, and where each pixel keeps its own key that, too) is projected at every second pixel.
    """

    breaks: ClassVar = {
        "gradient_reaches_input_and_parameters": "what comes out is products of sparse spikes: on maps as small as those of the "
        "laws queries and keys may not meet, and then no gradient comes back"
    }

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.heads, self.out = gcd(site.shape.C, HEADS), site.out
        self.neuron: Neuron[object] = site.make_neuron()
        self.close = Projection(site)

    def closed(self, tokens: Tensor) -> Tensor:
        """``(T, B, heads, C / heads, H W)`` of the output's size to the current ``(T, B, C, H, W)``."""
        return self.close(tokens.flatten(2, 3).unflatten(3, (self.out.H, self.out.W)))  # type: ignore[no-any-return]


@mark.operation("ssa", paper=SPIKFORMER)
class SpikingSelfAttention(SelfAttention):
    """Spiking self-attention of Spikformer, ``neuron(q k^T v / 8)`` over all pixels of a step (Zhou et al., 2023).

    q, k and v are spikes, so there is no softmax: ``k^T v`` comes first, which is ``(C / heads)^2`` numbers a head and no
    map of pixels by pixels. At stride 2 the queries are those of every second pixel, keys and values those of all.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.q = Token(site, self.heads, site.stride)
        self.k, self.v = Token(site, self.heads), Token(site, self.heads)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        pairs = self.v(x_TBCHW) @ self.k(x_TBCHW).transpose(-2, -1)
        return self.closed(fire(self.neuron, HALF_THRESHOLD * SCALE * (pairs @ self.q(x_TBCHW))))


class QKAttention(SelfAttention):
    """``mask * k``, where the mask is the run's neuron on sums of q along one axis; no product of matrices."""

    summed: ClassVar[int]

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.q, self.k = Token(site, self.heads, site.stride), Token(site, self.heads, site.stride)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        mask = fire(self.neuron, HALF_THRESHOLD * self.q(x_TBCHW).sum(dim=self.summed, keepdim=True))
        return self.closed(mask * self.k(x_TBCHW))


@mark.operation("qk-attention", paper=QKFORMER)
class TokenQKAttention(QKAttention):
    """Token Q-K attention of QKFormer: keys of the pixels whose queries sum to a spike, head by head (Zhou et al., 2024)."""

    summed = 3


@mark.operation("qk-channel-attention", paper=QKFORMER)
class ChannelQKAttention(QKAttention):
    """Channel Q-K attention of QKFormer: keys of the channels whose queries sum to a spike (Zhou et al., 2024)."""

    summed = 4
