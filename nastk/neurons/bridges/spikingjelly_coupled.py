"""SpikingJelly 2's neurons that remember more than a membrane, under ``spikingjelly-NAME``."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from attrs import field, frozen
from attrs.validators import gt, lt
from torch import Tensor

from nastk.core import mark
from nastk.neurons.bridges.spikingjelly import FiringConfig, IFConfig, ResetConfig, SpikingJellyNeuron, SurrogateName


class Adapting(NamedTuple):
    """Membrane potential and recovery, both ``(B, *F)``."""

    v: Tensor
    w: Tensor


@frozen(kw_only=True)
class IzhikevichConfig(IFConfig):
    """Settings of ``spikingjelly-izhikevich``."""

    tau: float = field(default=2.0, validator=gt(1), metadata={"help": "membrane time constant, in time steps"})
    v_c: float = field(default=0.8, metadata={"help": "critical potential: above it the membrane rises by itself"})
    a0: float = field(default=1.0, validator=gt(0), metadata={"help": "strength of the quadratic term"})
    v_rest: float = field(default=-0.1, metadata={"help": "resting potential"})
    w_rest: float = field(default=0.0, metadata={"help": "recovery before the first step"})
    tau_w: float = field(default=2.0, validator=gt(0), metadata={"help": "time constant of the recovery, in time steps"})
    a: float = field(default=0.0, metadata={"help": "how strongly the recovery follows the membrane"})
    b: float = field(default=0.0, metadata={"help": "what a spike adds to the recovery"})


@mark.neuron(
    "spikingjelly-izhikevich",
    config=IzhikevichConfig,
    paper="Izhikevich, Simple Model of Spiking Neurons, IEEE Transactions on Neural Networks 2003",
)
class Izhikevich(SpikingJellyNeuron[Adapting]):
    """SpikingJelly's quadratic integrate-and-fire with adaptation (``IzhikevichNode``)."""

    node_class = "IzhikevichNode"
    breaks: ClassVar = {"silent_at_rest": "it starts at v_reset and drifts to v_rest, without a spike in its default settings"}
    state_class = Adapting


class Resonating(NamedTuple):
    """Membrane potential and the current that turns into it, both ``(B, *F)``."""

    v: Tensor
    u: Tensor


@frozen(kw_only=True)
class RAFConfig(IFConfig):
    """Settings of ``spikingjelly-raf``."""

    b: float = field(default=-0.2, validator=lt(0), metadata={"help": "damping: a step keeps exp(b dt) of the oscillation"})
    omega: float = field(default=1.0, validator=gt(0), metadata={"help": "frequency, in radians a unit of time"})
    dt: float = field(default=1.0, validator=gt(0), metadata={"help": "time of one step"})


@mark.neuron("spikingjelly-raf", config=RAFConfig, paper="Izhikevich, Resonate-and-Fire Neurons, Neural Networks 2001")
class RAF(SpikingJellyNeuron[Resonating]):
    """SpikingJelly's resonate-and-fire (``RAFNode``): an input acts one step later."""

    node_class = "RAFNode"
    state_class = Resonating


class Complemented(NamedTuple):
    """Membrane potential and complementary potential, both ``(B, *F)``."""

    v: Tensor
    m: Tensor


@frozen(kw_only=True)
class CLIFConfig(FiringConfig):
    """Settings of ``spikingjelly-clif``."""

    tau: float = field(default=2.0, validator=gt(1), metadata={"help": "membrane time constant, in time steps"})
    surrogate: SurrogateName = field(default="Rect", metadata={"help": "surrogate gradient, a class of the library"})


@mark.neuron(
    "spikingjelly-clif",
    config=CLIFConfig,
    paper="Huang et al., CLIF: Complementary Leaky Integrate-and-Fire Neuron for Spiking Neural Networks, ICML 2024",
)
class CLIF(SpikingJellyNeuron[Complemented]):
    """SpikingJelly's leaky integrate-and-fire with a complementary potential (``ComplementaryLIFNode``).

    In evaluation mode its spikes carry no gradient.
    """

    node_class = "ComplementaryLIFNode"
    state_class = Complemented


class Charged(NamedTuple):
    """Membrane potential and synaptic current, both ``(B, *F)``."""

    v: Tensor
    c: Tensor


@frozen(kw_only=True)
class CUBAConfig(ResetConfig):
    """Settings of ``spikingjelly-cuba-lif``."""

    c_decay: float = field(default=0.5, metadata={"help": "share of the current that a step keeps"})
    v_decay: float = field(default=0.75, metadata={"help": "share of the membrane that a step keeps"})
    v_threshold: float = field(default=0.5, validator=gt(0), metadata={"help": "fires when v >= v_threshold"})
    surrogate: SurrogateName = field(default="Rect", metadata={"help": "surrogate gradient, a class of the library"})


@mark.neuron("spikingjelly-cuba-lif", config=CUBAConfig)
class CUBA(SpikingJellyNeuron[Charged]):
    """SpikingJelly's current-based leaky integrate-and-fire (``CUBALIFNode``)."""

    node_class = "CUBALIFNode"
    state_class = Charged
