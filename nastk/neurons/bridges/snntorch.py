"""snnTorch's neurons, each under ``snntorch-NAME``.

Settings have the library's names and defaults, but for two: a surrogate (its ``spike_grad``) is given by the name of its
function, and ``surrogate_slope`` is its ``slope`` (``alpha`` of ``atan``). Where the library has no default (``alpha``,
``beta``), ours is the value of its own examples. What is computed is the library's own code.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

import attrs
import torch
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import Neuron, State
from nastk.neurons.bridges.library import library, on_default_device

# Not SSO, whose gradient is random, nor LSO, which snnTorch 1.0 cannot run.
Sloped = Literal["atan", "fast_sigmoid", "sigmoid", "spike_rate_escape", "SFS"]
Fixed = Literal["triangular", "straight_through_estimator", "heaviside"]


class SNNTorchNeuron(Neuron[State]):
    """A neuron of snnTorch. A sub-class names the library's class, and the state after its memories, in their order.

    The library's module takes the state and gives the next one, but keeps what it was given: it is put back as it was.
    snnTorch makes float32 spikes whatever the input; here the spikes and the state have the input's dtype. Raises
    :class:`~nastk.core.errors.BrokenPlugin` when snnTorch is not installed.
    """

    node_class: ClassVar[str]
    state_class: ClassVar[type[Any]]

    def __init__(self, config: Any) -> None:
        super().__init__()
        snntorch = library("snntorch", release=1)
        self.node: Any = on_default_device(lambda: getattr(snntorch, self.node_class)(**self.arguments(config)))
        # The library lists every neuron that was ever made, which keeps it alive for good.
        snntorch.SpikingNeuron.instances.remove(self.node)
        # A constant that the step branches on. As a tensor it would be fetched from the device each time.
        del self.node.reset_mechanism_val
        self.node.reset_mechanism_val = snntorch.SpikingNeuron.reset_dict[self.node.reset_mechanism]

    def arguments(self, config: Any) -> dict[str, Any]:
        """What the library's constructor gets: the settings, with its own form of a surrogate."""
        given = {a.name: getattr(config, a.name) for a in attrs.fields(type(config))}
        name, slope = given.pop("surrogate"), given.pop("surrogate_slope")
        surrogate = getattr(library("snntorch.surrogate", release=1), name)
        settings = {} if slope is None else {"alpha" if name == "atan" else "slope": slope}
        return given | {"spike_grad": surrogate(**settings)}

    def initial_state(self, x_BF: Tensor) -> State:
        return cast(State, self.state_class(*(torch.zeros_like(x_BF) for _ in self.state_class._fields)))

    def step(self, x_BF: Tensor, state: State) -> tuple[Tensor, State]:
        empty = {name: getattr(self.node, name) for name in self.state_class._fields}
        try:
            z_BF, *after = self.outputs(x_BF, state)
        finally:
            for name, value in empty.items():
                setattr(self.node, name, value)
            vars(self.node).pop("reset", None)
        return z_BF.to(x_BF.dtype), cast(State, self.state_class(*(part.to(x_BF.dtype) for part in after)))

    def outputs(self, x_BF: Tensor, state: State) -> tuple[Tensor, ...]:
        """The library's step: spikes, then the parts of the new state."""
        return cast(tuple[Tensor, ...], self.node(x_BF, *state))


@frozen(kw_only=True)
class SurrogateConfig:
    """The surrogate gradient."""

    surrogate: Literal[Sloped, Fixed] = field(default="atan", metadata={"help": "surrogate gradient, a function of the library"})
    surrogate_slope: float | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata={"help": "the surrogate's slope (atan: alpha), where not the library's default"},
    )

    def __attrs_post_init__(self) -> None:
        if self.surrogate_slope is not None and self.surrogate in get_args(Fixed):
            raise ValueError(f"surrogate {self.surrogate!r} has no slope, got surrogate_slope {self.surrogate_slope}")


@frozen(kw_only=True)
class FiringConfig(SurrogateConfig):
    """When a neuron fires, and what that does to its membrane."""

    threshold: float = field(default=1.0, validator=gt(0), metadata={"help": "fires when the membrane is above it"})
    learn_threshold: bool = field(default=False, metadata={"help": "whether the threshold is a parameter"})
    reset_mechanism: Literal["subtract", "zero", "none"] = field(
        default="subtract", metadata={"help": "after a spike the threshold is subtracted, the membrane becomes zero, or runs on"}
    )


@frozen(kw_only=True)
class DecayConfig(FiringConfig):
    """When a neuron fires and how its membrane decays."""

    beta: float = field(default=0.5, validator=and_(ge(0), le(1)), metadata={"help": "share of the membrane that a step keeps"})
    learn_beta: bool = field(default=False, metadata={"help": "whether beta is a parameter"})


@frozen(kw_only=True)
class LeakyConfig(DecayConfig):
    """Settings of ``snntorch-leaky``."""

    reset_delay: bool = field(default=True, metadata={"help": "whether the reset waits for the step after the spike"})


class Membrane(NamedTuple):
    """Membrane potential ``(B, *F)``."""

    mem: Tensor


@mark.neuron("snntorch-leaky", config=LeakyConfig)
class Leaky(SNNTorchNeuron[Membrane]):
    """snnTorch's leaky integrate-and-fire (``Leaky``)."""

    node_class = "Leaky"
    state_class = Membrane


@frozen(kw_only=True)
class LapicqueConfig(FiringConfig):
    """Settings of ``snntorch-lapicque``: beta, beta and one of R and C, or both of these and ``beta = 0``."""

    beta: float = field(default=0.5, validator=and_(ge(0), lt(1)), metadata={"help": "exp(-time_step / (R C)); 0: from R and C"})
    R: float = field(default=0.0, validator=ge(0), metadata={"help": "resistance; 0: from beta and C, or 1"})
    C: float = field(default=0.0, validator=ge(0), metadata={"help": "capacitance; 0: from beta and R"})
    time_step: float = field(default=1.0, validator=gt(0), metadata={"help": "time of one step"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if bool(self.beta) + bool(self.R) + bool(self.C) not in (1, 2) or not (self.beta or (self.R and self.C)):
            wanted = "beta, beta and one of R and C, or R and C with beta 0"
            raise ValueError(f"give {wanted}, got beta {self.beta}, R {self.R} and C {self.C}")


@mark.neuron("snntorch-lapicque", config=LapicqueConfig)
class Lapicque(SNNTorchNeuron[Membrane]):
    """snnTorch's leaky integrate-and-fire as a circuit of a resistor and a capacitor (``Lapicque``)."""

    node_class = "Lapicque"
    state_class = Membrane


class Current(NamedTuple):
    """Synaptic current and membrane potential, both ``(B, *F)``."""

    syn: Tensor
    mem: Tensor


@frozen(kw_only=True)
class CurrentConfig(DecayConfig):
    """When a neuron fires and how its membrane and its current decay."""

    alpha: float = field(default=0.9, validator=and_(ge(0), le(1)), metadata={"help": "share of the current that a step keeps"})
    learn_alpha: bool = field(default=False, metadata={"help": "whether alpha is a parameter"})


@frozen(kw_only=True)
class SynapticConfig(CurrentConfig):
    """Settings of ``snntorch-synaptic``."""

    reset_delay: bool = field(default=True, metadata={"help": "whether the reset waits for the step after the spike"})


@mark.neuron("snntorch-synaptic", config=SynapticConfig)
class Synaptic(SNNTorchNeuron[Current]):
    """snnTorch's leaky integrate-and-fire with a synaptic current (``Synaptic``)."""

    node_class = "Synaptic"
    state_class = Current


class Currents(NamedTuple):
    """Excitatory and inhibitory current and membrane potential, all ``(B, *F)``."""

    syn_exc: Tensor
    syn_inh: Tensor
    mem: Tensor


@frozen(kw_only=True)
class AlphaConfig(FiringConfig):
    """Settings of ``snntorch-alpha``. snnTorch 1.0 cannot learn its alpha."""

    alpha: float = field(default=0.9, validator=and_(gt(0), le(1)), metadata={"help": "share of the excitation a step keeps"})
    beta: float = field(default=0.8, validator=and_(gt(0), lt(1)), metadata={"help": "share of the inhibition, below alpha"})
    learn_beta: bool = field(default=False, metadata={"help": "whether beta is a parameter"})
    reset_mechanism: Literal["subtract", "zero", "none"] = field(
        default="zero", metadata={"help": "after a spike the threshold is subtracted, the membrane becomes zero, or runs on"}
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.alpha > self.beta:
            raise ValueError(f"alpha must be above beta, got alpha {self.alpha} and beta {self.beta}")


@mark.neuron("snntorch-alpha", config=AlphaConfig)
class Alpha(SNNTorchNeuron[Currents]):
    """snnTorch's alpha-function neuron (``Alpha``): an input acts one step later."""

    node_class = "Alpha"
    breaks: ClassVar = {"differentiable": "with the surrogate SFS there is no gradient up to 1 above the threshold"}
    state_class = Currents


class TwoMembranes(NamedTuple):
    """Membrane potential after the last step and after the one before, both ``(B, *F)``."""

    mem: Tensor
    mem_prev: Tensor


@frozen(kw_only=True)
class DeltaLeakyConfig(SurrogateConfig):
    """Settings of ``snntorch-delta-leaky``, which has no reset."""

    delta_threshold: float = field(default=1.0, validator=gt(0), metadata={"help": "fires when the membrane moves by more"})
    beta: float = field(default=0.5, validator=and_(ge(0), le(1)), metadata={"help": "share of the membrane that a step keeps"})
    learn_beta: bool = field(default=False, metadata={"help": "whether beta is a parameter"})


@mark.neuron("snntorch-delta-leaky", config=DeltaLeakyConfig)
class DeltaLeaky(SNNTorchNeuron[TwoMembranes]):
    """snnTorch's leaky integrator that fires when its membrane moves (``DeltaLeaky``)."""

    node_class = "DeltaLeaky"
    state_class = TwoMembranes

    def outputs(self, x_BF: Tensor, state: TwoMembranes) -> tuple[Tensor, ...]:
        z_BF, membranes = self.node(x_BF, tuple(state))
        return z_BF, *membranes
