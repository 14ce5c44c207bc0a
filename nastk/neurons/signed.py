"""A layer of neurons that only excite, or only inhibit."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen
from torch import Tensor

from nastk.core import mark
from nastk.core.config import NeuronPart, default_part
from nastk.core.errors import ConfigError
from nastk.core.model.neuron import FusedNeuron, TimedNeuron, build_neuron


@frozen(kw_only=True)
class SignedConfig:
    """Settings of ``signed``."""

    sign: Literal["excitatory", "inhibitory"] = field(
        default="inhibitory", metadata={"help": "whether the output is never below zero, or never above it"}
    )
    mirrored: bool = field(
        default=False, metadata={"help": "whether an inhibitory neuron is driven by negative input: -f(-x) in place of -f(x)"}
    )
    neuron: NeuronPart = field(default=default_part(NeuronPart, "lif"), metadata={"help": "the neuron that gets the sign"})


@mark.neuron(
    "signed",
    config=SignedConfig,
    paper="Pan et al., Multi-scale Evolutionary Neural Architecture Search for Deep Spiking Neural Networks, "
    "IEEE Transactions on Evolutionary Computation 2024",
)
class Signed(FusedNeuron[Any], TimedNeuron[Any]):
    """Another neuron with a sign: excitatory (spikes of 1) or inhibitory (spikes of -1).

    With the other neuron as ``f``, and its state as the state::

        z[t] = f(x[t])         sign = "excitatory"
        z[t] = -f(x[t])        sign = "inhibitory"
        z[t] = -f(-x[t])       sign = "inhibitory", mirrored = True

    So all synapses of a layer have one effect, as in Dale's principle. With ``neuron = "relu"`` and ``mirrored`` it is the signed
    rectifier ``min(0, x)`` that MSE-NAS (Pan et al., 2024) puts behind an inhibitory operation. A spike of -1 counts as one
    spike. Raises :class:`~nastk.core.errors.ConfigError` for a neuron whose spikes have a sign of their own.
    """

    signed = True

    def __init__(self, T: int, config: SignedConfig) -> None:
        super().__init__(T)
        self.inner = build_neuron(config.neuron, T)
        if self.inner.signed:
            fault = f"neuron: {config.neuron.name!r} has a sign of its own; name one with spikes of 1"
            raise ConfigError([fault], "neuron 'signed'")
        self.spiking = self.inner.spiking
        self.inner.spiking = False  # what comes out of a layer is counted once: as the output of this neuron
        self.sign = 1 if config.sign == "excitatory" else -1
        self.turned = config.mirrored and self.sign < 0

    def initial_state(self, x_BF: Tensor) -> Any:
        return self.inner.initial_state(x_BF)

    def step(self, x_BF: Tensor, state: Any) -> tuple[Tensor, Any]:
        z_BF, state = self.inner.step(-x_BF if self.turned else x_BF, state)
        return self.sign * z_BF, state

    def fuse(self, x_TBF: Tensor, state: Any) -> tuple[Tensor, Any]:
        # Past the hooks of the inner neuron, for the same reason.
        z_TBF, state = self.inner.forward(-x_TBF if self.turned else x_TBF, state)
        return self.sign * z_TBF, state

    def spikes(self, z_TBF: Tensor) -> Tensor:
        return self.inner.spikes(self.sign * z_TBF)
