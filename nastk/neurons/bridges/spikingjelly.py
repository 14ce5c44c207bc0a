"""SpikingJelly 2's neurons (``spikingjelly.activation_based.neuron``) with one membrane, under ``spikingjelly-NAME``.

Settings have the library's names and defaults, but for three: ``v_reset=None`` is ``reset="soft"``, a surrogate is given
by the name of its class, and ``surrogate_alpha`` is its ``alpha``. What is computed is the library's own code.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, cast

import attrs
from attrs import field, frozen
from attrs.validators import gt, optional
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import Neuron, State
from nastk.neurons.bridges.library import library, on_default_device

# Those with an alpha that has a default and nothing else to set; not PoissonPass, which is random.
First = Literal["Sigmoid", "ATan", "PiecewiseQuadratic", "PiecewiseExp", "SoftSign", "SuperSpike", "Erf"]
Second = Literal["NonzeroSignLogAbs", "QPseudoSpike", "FakeNumericalGradient", "LogTailedReLU", "S2NN", "Rect"]
SurrogateName = Literal[First, Second]


class SpikingJellyNeuron(Neuron[State]):
    """A neuron of SpikingJelly. A sub-class names the library's class, and the state after its memories, in their order.

    The library's functional step takes a state and gives the next one, so its module never holds a memory. Raises
    :class:`~nastk.core.errors.BrokenPlugin` when SpikingJelly 2 is not installed.
    """

    node_class: ClassVar[str]
    state_class: ClassVar[type[Any]]

    def __init__(self, config: Any) -> None:
        super().__init__()
        nodes = library("spikingjelly.activation_based.neuron", release=2)
        self.node: Any = on_default_device(lambda: getattr(nodes, self.node_class)(**self.arguments(config)))

    def arguments(self, config: Any) -> dict[str, Any]:
        """What the library's constructor gets: the settings, with its own forms of a surrogate and of a soft reset."""
        given = {a.name: getattr(config, a.name) for a in attrs.fields(type(config))}
        surrogates = library("spikingjelly.activation_based.surrogate", release=2)
        surrogate, alpha = getattr(surrogates, given.pop("surrogate")), given.pop("surrogate_alpha")
        if given.pop("reset", "hard") == "soft":
            given["v_reset"] = None
        return given | {"surrogate_function": surrogate() if alpha is None else surrogate(alpha=alpha)}

    def initial_state(self, x_BF: Tensor) -> State:
        rest = tuple(self.node.get_reset_value(name) for name, _ in self.node.named_memories())
        return cast(State, self.state_class(*self.node.materialize_states((x_BF,), rest, "s")))

    def step(self, x_BF: Tensor, state: State) -> tuple[Tensor, State]:
        (z_BF,), after = self.node.functional_forward((x_BF,), tuple(state))
        return z_BF, cast(State, self.state_class(*after))


class Membrane(NamedTuple):
    """Membrane potential ``(B, *F)``."""

    v: Tensor


class OneMembrane(SpikingJellyNeuron[Membrane]):
    """A neuron of SpikingJelly whose only memory is its membrane."""

    state_class = Membrane


@frozen(kw_only=True)
class FiringConfig:
    """When a neuron fires."""

    v_threshold: float = field(default=1.0, validator=gt(0), metadata={"help": "fires when v >= v_threshold"})
    surrogate: SurrogateName = field(default="Sigmoid", metadata={"help": "surrogate gradient, a class of the library"})
    surrogate_alpha: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"help": "the surrogate's alpha, where not the library's default"}
    )


@frozen(kw_only=True)
class ResetConfig(FiringConfig):
    """When a neuron fires, and what that does to its membrane."""

    reset: Literal["hard", "soft"] = field(
        default="hard", metadata={"help": "hard: v becomes v_reset; soft (their v_reset=None): v_threshold is subtracted"}
    )
    v_reset: float = field(default=0.0, metadata={"help": "v at the start and after a hard reset; it is 0 where reset is soft"})

    def __attrs_post_init__(self) -> None:
        if self.reset == "hard" and not self.v_reset < self.v_threshold:
            raise ValueError(f"v_reset must be below v_threshold, got v_reset {self.v_reset} and v_threshold {self.v_threshold}")


@frozen(kw_only=True)
class IFConfig(ResetConfig):
    """Settings of an integrate-and-fire neuron."""

    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})


@mark.neuron("spikingjelly-if", config=IFConfig)
class IF(OneMembrane):
    """SpikingJelly's integrate-and-fire (``IFNode``)."""

    node_class = "IFNode"


@frozen(kw_only=True)
class LIFConfig(IFConfig):
    """Settings of a leaky neuron."""

    tau: float = field(default=2.0, validator=gt(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})


@mark.neuron("spikingjelly-lif", config=LIFConfig)
class LIF(OneMembrane):
    """SpikingJelly's leaky integrate-and-fire (``LIFNode``)."""

    node_class = "LIFNode"


@frozen(kw_only=True)
class PLIFConfig(IFConfig):
    """Settings of ``spikingjelly-plif``."""

    init_tau: float = field(default=2.0, validator=gt(1), metadata={"help": "time constant before training, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})


@mark.neuron(
    "spikingjelly-plif",
    config=PLIFConfig,
    paper="Fang et al., Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks, ICCV 2021",
)
class PLIF(OneMembrane):
    """SpikingJelly's leaky integrate-and-fire with one learned time constant a layer (``ParametricLIFNode``)."""

    node_class = "ParametricLIFNode"


@frozen(kw_only=True)
class KLIFConfig(LIFConfig):
    """Settings of ``spikingjelly-klif``."""

    scale_reset: bool = field(default=False, metadata={"help": "whether the membrane is divided by k again before the reset"})


@mark.neuron(
    "spikingjelly-klif",
    config=KLIFConfig,
    paper="Jiang and Zhang, KLIF: An Optimized Spiking Neuron Unit for Tuning Surrogate Gradient Slope and Membrane Potential, "
    "arXiv 2023",
)
class KLIF(OneMembrane):
    """SpikingJelly's leaky integrate-and-fire with a rectified membrane and a learned slope ``k`` (``KLIFNode``)."""

    node_class = "KLIFNode"


@frozen(kw_only=True)
class SLTTConfig(LIFConfig):
    """Settings of ``spikingjelly-sltt-lif``."""

    detach_reset: bool = field(default=True, metadata={"help": "whether the reset is cut from the gradient"})


@mark.neuron(
    "spikingjelly-sltt-lif",
    config=SLTTConfig,
    paper="Meng et al., Towards Memory- and Time-Efficient Backpropagation for Training Spiking Neural Networks, ICCV 2023",
)
class SLTT(OneMembrane):
    """SpikingJelly's leaky integrate-and-fire without gradient through time (``SLTTLIFNode``).

    In evaluation mode its spikes carry no gradient at all.
    """

    node_class = "SLTTLIFNode"


@frozen(kw_only=True)
class RestingConfig(IFConfig):
    """Settings of a neuron whose resting potential is not its reset value."""

    tau: float = field(default=2.0, validator=gt(1), metadata={"help": "membrane time constant, in time steps"})
    v_rest: float = field(default=0.0, metadata={"help": "resting potential; not below v_reset where reset is hard"})
    v_reset: float = field(default=-0.1, metadata={"help": "v at the start and after a hard reset; it is 0 where reset is soft"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.reset == "hard" and self.v_rest < self.v_reset:
            raise ValueError(f"v_rest must not be below v_reset, got v_rest {self.v_rest} and v_reset {self.v_reset}")


@frozen(kw_only=True)
class QIFConfig(RestingConfig):
    """Settings of ``spikingjelly-qif``."""

    v_c: float = field(default=0.8, metadata={"help": "critical potential: above it the membrane rises by itself"})
    a0: float = field(default=1.0, validator=gt(0), metadata={"help": "strength of the quadratic term"})


@mark.neuron("spikingjelly-qif", config=QIFConfig)
class QIF(OneMembrane):
    """SpikingJelly's quadratic integrate-and-fire (``QIFNode``)."""

    node_class = "QIFNode"
    breaks: ClassVar = {"silent_at_rest": "it starts at v_reset and drifts to v_rest, without a spike in its default settings"}


@frozen(kw_only=True)
class EIFConfig(RestingConfig):
    """Settings of ``spikingjelly-eif``."""

    delta_T: float = field(  # noqa: N815  the library's name
        default=1.0, validator=gt(0), metadata={"help": "sharpness of the exponential term"}
    )
    theta_rh: float = field(default=0.8, metadata={"help": "rheobase threshold, above which the exponential term takes over"})


@mark.neuron("spikingjelly-eif", config=EIFConfig)
class EIF(OneMembrane):
    """SpikingJelly's exponential integrate-and-fire (``EIFNode``); with its default settings it fires by itself."""

    node_class = "EIFNode"
    breaks: ClassVar = {
        "silent_at_rest": "in its default settings the exponential term alone lifts it over the threshold",
        "repeatable": "with a soft reset a strong input lets the exponential term overflow: nan is not equal to nan",
        "differentiable": "with a soft reset a strong input lets the exponential term overflow",
    }


@frozen(kw_only=True)
class HalfThresholdConfig(FiringConfig):
    """Settings of ``spikingjelly-half-threshold-if``."""

    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})


@mark.neuron("spikingjelly-half-threshold-if", config=HalfThresholdConfig)
class HalfThresholdIF(OneMembrane):
    """SpikingJelly's integrate-and-fire with soft reset that starts at half its threshold (``HalfThresholdIFNode``)."""

    node_class = "HalfThresholdIFNode"


@frozen(kw_only=True)
class OffsetConfig(IFConfig):
    """Settings of ``spikingjelly-activation-aware-if``."""

    v_offset: float = field(default=0.0, metadata={"help": "added to the membrane when it is compared with the threshold"})
    reset: Literal["hard", "soft"] = field(
        default="soft", metadata={"help": "hard: v becomes v_reset; soft (their v_reset=None): v_threshold is subtracted"}
    )


@mark.neuron("spikingjelly-activation-aware-if", config=OffsetConfig)
class ActivationAwareIF(OneMembrane):
    """SpikingJelly's integrate-and-fire with an offset (``ActivationAwareIFNode``, of one threshold for all channels)."""

    node_class = "ActivationAwareIFNode"
