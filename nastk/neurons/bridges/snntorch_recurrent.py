"""snnTorch's neurons that hear their own last spike, under ``snntorch-NAME``."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from attrs import field, frozen
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import State
from nastk.neurons.bridges.snntorch import CurrentConfig, LeakyConfig, SNNTorchNeuron


class Recurrent(SNNTorchNeuron[State]):
    """A neuron of snnTorch that hears its own last spike (its ``all_to_all=False``, which needs no shape)."""

    breaks: ClassVar = {"differentiable": "with a delayed reset to zero the reset deletes what V has just added"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        del self.node.V  # the library holds it under two names, which safetensors refuses

    def arguments(self, config: Any) -> dict[str, Any]:
        return super().arguments(config) | {"all_to_all": False}

    def outputs(self, x_BF: Tensor, state: State) -> tuple[Tensor, ...]:
        z_BF, *rest = self.node(x_BF, *state)
        return z_BF, z_BF, *rest


class SpikeAndMembrane(NamedTuple):
    """Last spike and membrane potential, both ``(B, *F)``."""

    spk: Tensor
    mem: Tensor


@frozen(kw_only=True)
class RLeakyConfig(LeakyConfig):
    """Settings of ``snntorch-rleaky``."""

    V: float = field(default=1.0, metadata={"help": "weight of the last spike, one for all neurons"})
    learn_recurrent: bool = field(default=True, metadata={"help": "whether V is a parameter"})


@mark.neuron("snntorch-rleaky", config=RLeakyConfig)
class RLeaky(Recurrent[SpikeAndMembrane]):
    """snnTorch's leaky integrate-and-fire with one-to-one recurrence (``RLeaky``)."""

    node_class = "RLeaky"
    state_class = SpikeAndMembrane


class SpikeCurrentAndMembrane(NamedTuple):
    """Last spike, synaptic current and membrane potential, all ``(B, *F)``."""

    spk: Tensor
    syn: Tensor
    mem: Tensor


@frozen(kw_only=True)
class RSynapticConfig(CurrentConfig):
    """Settings of ``snntorch-rsynaptic``. It has no ``reset_delay``: snnTorch 1.0 computes it from the wrong spikes."""

    V: float = field(default=1.0, metadata={"help": "weight of the last spike, one for all neurons"})
    learn_recurrent: bool = field(default=True, metadata={"help": "whether V is a parameter"})


@mark.neuron("snntorch-rsynaptic", config=RSynapticConfig)
class RSynaptic(Recurrent[SpikeCurrentAndMembrane]):
    """snnTorch's leaky integrate-and-fire with a synaptic current and one-to-one recurrence (``RSynaptic``)."""

    node_class = "RSynaptic"
    state_class = SpikeCurrentAndMembrane
