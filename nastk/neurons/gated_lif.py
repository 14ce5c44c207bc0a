"""The gated leaky integrate-and-fire neuron: two kinds each of leak, input and reset, mixed by learned gates."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import and_, gt, lt, optional
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import TimedNeuron
from nastk.core.model.surrogate import Surrogate
from nastk.neurons.firing import SpikeConfig

SHARE = and_(gt(0), lt(1))


@frozen(kw_only=True)
class GatedLIFConfig(SpikeConfig):
    """Settings of ``gated-lif``: the values before training, each between 0 and 1."""

    v_th: float = field(default=0.5, validator=SHARE, metadata={"help": "firing threshold before training"})
    keep: float = field(default=0.25, validator=SHARE, metadata={"help": "share of the membrane that exponential decay keeps"})
    linear_decay: float | None = field(
        default=None, validator=optional(SHARE), metadata={"help": "what linear decay takes in a step; unset: v_th / (2 T)"}
    )
    v_subreset: float | None = field(
        default=None, validator=optional(SHARE), metadata={"help": "what a soft reset subtracts; unset: v_th"}
    )
    conduct: float = field(default=0.5, validator=SHARE, metadata={"help": "weight of the input, one for each time step"})


class Gated(NamedTuple):
    """Membrane potential and last spike, both ``(B, *F)``, and the number of steps so far."""

    v: Tensor
    z: Tensor
    t: int


@mark.neuron(
    "gated-lif",
    config=GatedLIFConfig,
    paper="Yao et al., GLIF: A Unified Gated Leaky Integrate-and-Fire Neuron for Spiking Neural Networks, NeurIPS 2022",
)
class GatedLIF(TimedNeuron[Gated]):
    """Leaky integrate-and-fire whose leak, input and reset are mixed by learned gates: GLIF (Yao et al., 2022).

    The layer-wise form of the paper: every number is a parameter, one a layer (``conduct`` one a layer and time step), kept
    between 0 and 1 by a sigmoid; with gates ``a, b, g`` (parameters ``alpha, beta, gamma``) and ``k = 1 - a (1 - keep)``::

        h[t] = k v[t-1] - (1 - a) linear_decay + x[t] (1 - b (1 - conduct[t]))
        v[t] = h[t] - z[t-1] (k v[t-1] g + (1 - g) v_subreset)
        z[t] = v[t] >= v_th

    The gates start between 0.475 and 0.525, drawn. So the reset of a spike comes one step later, and is part hard, part soft.
    The paper's channel-wise form needs the number of channels, which a neuron is not told. The same as SpikingJelly's
    ``GatedLIFNode(T)`` (``keep`` is its ``init_tau``; surrogate ``sigmoid``).
    """

    breaks: ClassVar = {"silent_at_rest": "its linear decay draws the membrane below zero without input, and there is no spike"}

    def __init__(self, T: int, config: GatedLIFConfig) -> None:
        super().__init__(T)
        self.compare = config.compare
        self.surrogate: Surrogate = config.surrogate.build()
        self.alpha, self.beta, self.gamma = (nn.Parameter(nn.init.uniform_(torch.empty(()), -0.1, 0.1)) for _ in range(3))
        decay = config.v_th / (2 * T) if config.linear_decay is None else config.linear_decay
        subreset = config.v_th if config.v_subreset is None else config.v_subreset
        self.keep, self.v_threshold, self.linear_decay, self.v_subreset = (
            nn.Parameter(torch.tensor(_logit(value))) for value in (config.keep, config.v_th, decay, subreset)
        )
        self.conduct = nn.Parameter(torch.full((T,), _logit(config.conduct)))

    def initial_state(self, x_BF: Tensor) -> Gated:
        return Gated(torch.zeros_like(x_BF), torch.zeros_like(x_BF), 0)

    def step(self, x_BF: Tensor, state: Gated) -> tuple[Tensor, Gated]:
        v, z, t = state
        self.ensure_steps(t + 1)
        alpha, beta, gamma = self.alpha.sigmoid(), self.beta.sigmoid(), self.gamma.sigmoid()
        kept = (1 - alpha * (1 - self.keep.sigmoid())) * v
        current = x_BF * (1 - beta * (1 - self.conduct[t].sigmoid()))
        h = kept - (1 - alpha) * self.linear_decay.sigmoid() + current
        v = h - kept * gamma * z - (1 - gamma) * self.v_subreset.sigmoid() * z
        z = self.surrogate.spike(v - self.v_threshold.sigmoid(), self.compare)
        return z, Gated(v, z, t + 1)


def _logit(share: float) -> float:
    return -math.log(1 / share - 1)
