"""The integrate-and-fire neuron with spikes of both signs."""

from __future__ import annotations

import math
from typing import Literal

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import MembraneState
from nastk.neurons.firing import FiringNeuron, SameStepConfig, charge, reset


@frozen(kw_only=True)
class TernaryConfig(SameStepConfig):
    """Settings of ``ternary``."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})
    leak: Literal["linear", "exponential", "none"] = field(
        default="linear",
        metadata={"help": "a step keeps 1 - 1/tau (linear) or exp(-1/tau) of the membrane, or all of it; none: no tau"},
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not -self.v_th < self.v_reset:
            raise ValueError(f"v_reset must be above -v_th, got v_reset {self.v_reset} and v_th {self.v_th}")


@mark.neuron(
    "ternary",
    config=TernaryConfig,
    paper="Guo et al., Ternary Spike: Learning Ternary Spikes for Spiking Neural Networks, AAAI 2024",
)
class Ternary(FiringNeuron[MembraneState]):
    """Leaky integrate-and-fire with spikes of -1, 0 and 1 (Guo et al., 2024).

    The membrane charges as that of ``lif`` (as that of ``if`` with ``leak = "none"``) and meets a threshold on either side::

        z[t] = (h[t] >= v_th) - (h[t] <= -v_th)
        v[t] = h[t] - z[t] v_th                            reset = "soft"
        v[t] = (1 - |z[t]|) h[t] + |z[t]| v_reset          reset = "hard"

    A spike of -1 counts as one spike, and is a subtraction for the layer that it reaches. The amplitude is 1: the paper's
    learned one can be folded into the next layer's weights. The same as SpikingJelly's ``TernaryLIFNode`` and
    ``TernaryIFNode`` (there ``v_th=1.0``, surrogate ``sigmoid``).
    """

    signed = True

    def __init__(self, config: TernaryConfig) -> None:
        super().__init__(config)
        self.config = config
        self.tau = -1 / math.expm1(-1 / config.tau) if config.leak == "exponential" else config.tau

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(torch.full_like(x_BF, self.config.v_reset))

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        c = self.config
        h = state.v + x_BF if c.leak == "none" else charge(x_BF, state.v, c.v_reset, self.tau, c.decay_input)
        up, down = self.fire(h - self.v_th), self.fire(-h - self.v_th)
        z = up - down
        fired = z if c.reset == "soft" else up + down
        return z, MembraneState(reset(h, fired, c.reset, c.v_reset, self.v_th, c.detach_reset))

    def spikes(self, z_TBF: Tensor) -> Tensor:
        return z_TBF.abs()
