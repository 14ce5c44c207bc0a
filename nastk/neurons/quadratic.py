"""Integrate-and-fire neurons that finish their spike by themselves: quadratic, exponential, and quadratic with adaptation."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import ge, gt
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import MembraneState
from nastk.neurons.firing import FiringNeuron, HardResetConfig, reset


@frozen(kw_only=True)
class RestingConfig(HardResetConfig):
    """When a neuron fires, and where its membrane rests."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    v_rest: float = field(default=0.0, metadata={"help": "resting potential, below v_th"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.v_rest < self.v_th:
            raise ValueError(f"v_rest must be below v_th, got v_rest {self.v_rest} and v_th {self.v_th}")


class SelfFinishing(FiringNeuron[MembraneState]):
    """A membrane that starts at ``v_reset`` and is reset hard; a sub-class gives :meth:`charge`."""

    def __init__(self, config: RestingConfig) -> None:
        super().__init__(config)
        self.resting = config

    @abstractmethod
    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        """The membrane before firing, from the input current and the membrane after the last step."""

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(torch.full_like(x_BF, self.resting.v_reset))

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        h = self.charge(x_BF, state.v)
        z = self.fire(h - self.v_th)
        return z, MembraneState(reset(h, z, "hard", self.resting.v_reset, self.v_th, self.resting.detach_reset))


@frozen(kw_only=True)
class QIFConfig(RestingConfig):
    """Settings of ``qif``. The defaults are SpikingJelly's at half the scale: a threshold of 0.5 in place of 1."""

    v_c: float = field(default=0.4, metadata={"help": "critical potential, above v_rest: above it the membrane rises by itself"})
    a0: float = field(default=2.0, validator=gt(0), metadata={"help": "strength of the quadratic term"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.v_c > self.v_rest:
            raise ValueError(f"v_c must be above v_rest, got v_c {self.v_c} and v_rest {self.v_rest}")


@mark.neuron(
    "qif",
    config=QIFConfig,
    paper="Ermentrout and Kopell, Parabolic Bursting in an Excitable System Coupled with a Slow Oscillation, "
    "SIAM Journal on Applied Mathematics 1986",
)
class QIF(SelfFinishing):
    """Quadratic integrate-and-fire: above a critical potential the membrane rises by itself.

    ::

        h[t] = v[t-1] + (x[t] + a0 (v[t-1] - v_rest) (v[t-1] - v_c)) / tau
        z[t] = h[t] >= v_th
        v[t] = v_reset where z[t] = 1, else h[t]

    The membrane starts at ``v_reset``, and drifts to ``v_rest`` where the two differ. A membrane far below rest is thrown over
    the threshold by the square: one Euler step is long. The reset is hard, since any other leaves a membrane that runs to
    infinity. The same as SpikingJelly's ``QIFNode`` (there ``v_th=1.0, v_c=0.8, a0=1.0, v_reset=-0.1``, surrogate
    ``sigmoid``).
    """

    def __init__(self, config: QIFConfig) -> None:
        super().__init__(config)
        self.config = config

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        c, v = self.config, v_BF
        return v + (x_BF + c.a0 * (v - c.v_rest) * (v - c.v_c)) / c.tau


@frozen(kw_only=True)
class EIFConfig(RestingConfig):
    """Settings of ``eif``."""

    delta_t: float = field(default=0.1, validator=gt(0), metadata={"help": "sharpness: how far the exponential term reaches"})
    theta_rh: float = field(default=0.4, metadata={"help": "rheobase threshold, above which the exponential term takes over"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if (self.v_th - self.theta_rh) / self.delta_t > MOST:
            wanted = f"(v_th - theta_rh) / delta_t must be at most {MOST}, else the exponential term overflows"
            raise ValueError(f"{wanted}, got v_th {self.v_th}, theta_rh {self.theta_rh} and delta_t {self.delta_t}")


MOST = 50
"""Largest exponent: its power is far from the largest number of float32 and bfloat16."""


@mark.neuron(
    "eif",
    config=EIFConfig,
    paper="Fourcaud-Trocme et al., How Spike Generation Mechanisms Determine the Neuronal Response to Fluctuating Inputs, "
    "Journal of Neuroscience 2003",
)
class EIF(SelfFinishing):
    """Exponential integrate-and-fire: close to the threshold the membrane rises ever faster (Fourcaud-Trocme et al., 2003).

    ::

        h[t] = v[t-1] + (x[t] + v_rest - v[t-1] + delta_t exp((v[t-1] - theta_rh) / delta_t)) / tau
        z[t] = h[t] >= v_th
        v[t] = v_reset where z[t] = 1, else h[t]

    The membrane starts at ``v_reset``. Without input it settles a little above ``v_rest``, by default at 0.0019, without a
    spike; where ``delta_t`` is not below ``theta_rh - v_rest`` it fires by itself, as SpikingJelly's ``EIFNode`` does in its
    default settings (``v_th=1.0, delta_t=1.0, theta_rh=0.8, v_reset=-0.1``). Otherwise the two are the same. The reset is
    hard, since any other leaves a membrane that runs to infinity.
    """

    breaks: ClassVar = {"silent_at_rest": "the exponential term is above zero at rest: the membrane drifts, without a spike"}

    def __init__(self, config: EIFConfig) -> None:
        super().__init__(config)
        self.config = config

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        c, v = self.config, v_BF
        return v + (x_BF + c.v_rest - v + c.delta_t * torch.exp((v - c.theta_rh) / c.delta_t)) / c.tau


@frozen(kw_only=True)
class AQIFConfig(QIFConfig):
    """Settings of ``aqif``. SpikingJelly's ``a`` and ``b`` are 0 by default: no adaptation."""

    tau_w: float = field(default=10.0, validator=gt(0), metadata={"help": "time constant of the recovery, in time steps"})
    a: float = field(default=0.1, metadata={"help": "how strongly the recovery follows the membrane"})
    b: float = field(default=0.2, metadata={"help": "what a spike adds to the recovery"})
    w_rest: float = field(default=0.0, metadata={"help": "recovery before the first step"})


class Recovering(NamedTuple):
    """Membrane potential and recovery, both ``(B, *F)``."""

    v: Tensor
    w: Tensor


@mark.neuron(
    "aqif",
    config=AQIFConfig,
    paper="Izhikevich, Simple Model of Spiking Neurons, IEEE Transactions on Neural Networks 2003",
)
class AQIF(FiringNeuron[Recovering]):
    """Adaptive quadratic integrate-and-fire: Izhikevich's model in units of the threshold.

    ::

        h[t] = v[t-1] + (x[t] + a0 (v[t-1] - v_rest) (v[t-1] - v_c) - w[t-1]) / tau
        z[t] = h[t] >= v_th
        w[t] = w[t-1] + (a (h[t] - v_rest) - w[t-1]) / tau_w + b z[t]
        v[t] = v_reset where z[t] = 1, else h[t]

    The same as SpikingJelly's ``IzhikevichNode`` (there ``v_th=1.0, v_c=0.8, a0=1.0, v_rest=-0.1, tau_w=2.0, a=0.0, b=0.0``,
    surrogate ``sigmoid``). ``izhikevich`` has the units of the paper.
    """

    def __init__(self, config: AQIFConfig) -> None:
        super().__init__(config)
        self.config = config

    def initial_state(self, x_BF: Tensor) -> Recovering:
        return Recovering(torch.full_like(x_BF, self.config.v_reset), torch.full_like(x_BF, self.config.w_rest))

    def step(self, x_BF: Tensor, state: Recovering) -> tuple[Tensor, Recovering]:
        c, (v, w) = self.config, state
        h = v + (x_BF + c.a0 * (v - c.v_rest) * (v - c.v_c) - w) / c.tau
        z = self.fire(h - self.v_th)
        w = w + (c.a * (h - c.v_rest) - w) / c.tau_w + c.b * z
        return z, Recovering(reset(h, z, "hard", c.v_reset, self.v_th, c.detach_reset), w)
