"""The leaky integrate-and-fire neuron with a rectified membrane and a learned slope."""

from __future__ import annotations

import torch
from attrs import field, frozen
from attrs.validators import ge, gt
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import MembraneState
from nastk.neurons.firing import FiringNeuron, SameStepConfig, charge, reset


@frozen(kw_only=True)
class KLIFConfig(SameStepConfig):
    """Settings of ``klif``."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})
    k: float = field(default=1.0, validator=gt(0), metadata={"help": "slope before training"})
    scale_reset: bool = field(default=False, metadata={"help": "whether the membrane is divided by k again before the reset"})


@mark.neuron(
    "klif",
    config=KLIFConfig,
    paper="Jiang and Zhang, KLIF: An Optimized Spiking Neuron Unit for Tuning Surrogate Gradient Slope and Membrane Potential, "
    "arXiv 2023",
)
class KLIF(FiringNeuron[MembraneState]):
    """Leaky integrate-and-fire with a rectified membrane and a learned slope (Jiang & Zhang, 2023).

    With ``r = v_reset`` and ``c[t]`` the membrane that ``lif`` would have::

        c[t] = v[t-1] + (x[t] - (v[t-1] - r)) / tau        decay_input = True
        c[t] = v[t-1] - (v[t-1] - r) / tau + x[t]          decay_input = False
        h[t] = max(0, k c[t])
        z[t] = h[t] >= v_th
        v[t] = reset of h[t] by v_th                       scale_reset = False
        v[t] = reset of h[t] / k by v_th / k               scale_reset = True

    The parameter ``k`` is a scalar, one a layer. ``h`` is never negative: no gradient passes where ``c`` is, and a
    ``v_reset`` other than 0 is not where the membrane stays. The same as SpikingJelly's ``KLIFNode`` (there ``v_th=1.0`` and
    surrogate ``sigmoid``; its ``v_reset=None`` is ``reset="soft"``).
    """

    def __init__(self, config: KLIFConfig) -> None:
        super().__init__(config)
        self.config = config
        self.k = nn.Parameter(torch.tensor(config.k))  # of no dimension, so that the input's dtype decides the result's

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(torch.full_like(x_BF, self.config.v_reset))

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        c = self.config
        h = torch.relu(self.k * charge(x_BF, state.v, c.v_reset, c.tau, c.decay_input))
        z = self.fire(h - self.v_th)
        h, amount = (h / self.k, self.v_th / self.k) if c.scale_reset else (h, self.v_th)
        return z, MembraneState(reset(h, z, c.reset, c.v_reset, amount, c.detach_reset))
