"""The leaky integrate-and-fire neuron whose reset grows with its recent spikes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.core import mark
from nastk.neurons.firing import FiringNeuron, SpikeConfig, charge, reset


@frozen(kw_only=True)
class CLIFConfig(SpikeConfig):
    """Settings of ``clif``."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})


class Complemented(NamedTuple):
    """Membrane potential and complementary potential, both ``(B, *F)``."""

    v: Tensor
    m: Tensor


@mark.neuron(
    "clif",
    config=CLIFConfig,
    paper="Huang et al., CLIF: Complementary Leaky Integrate-and-Fire Neuron for Spiking Neural Networks, ICML 2024",
)
class CLIF(FiringNeuron[Complemented]):
    """Leaky integrate-and-fire with a complementary potential (Huang et al., 2024).

    The potential ``m`` remembers spikes, the longer the higher the membrane; a neuron that fired lately falls deeper::

        h[t] = v[t-1] - v[t-1] / tau + x[t]
        z[t] = h[t] >= v_th
        m[t] = m[t-1] sigmoid(h[t] / tau) + z[t]
        v[t] = h[t] - z[t] (v_th + sigmoid(m[t]))

    It learns nothing of its own. The same as SpikingJelly's ``ComplementaryLIFNode`` (there ``v_th=1.0`` and surrogate
    ``rectangle``), which has no gradient in evaluation mode.
    """

    def __init__(self, config: CLIFConfig) -> None:
        super().__init__(config)
        self.tau, self.detach_reset = config.tau, config.detach_reset

    def initial_state(self, x_BF: Tensor) -> Complemented:
        return Complemented(torch.zeros_like(x_BF), torch.zeros_like(x_BF))

    def step(self, x_BF: Tensor, state: Complemented) -> tuple[Tensor, Complemented]:
        h = charge(x_BF, state.v, 0.0, self.tau, decay_input=False)
        z = self.fire(h - self.v_th)
        m = state.m * torch.sigmoid(h / self.tau) + z
        return z, Complemented(reset(h, z, "soft", 0.0, self.v_th + torch.sigmoid(m), self.detach_reset), m)
