"""Izhikevich's neuron of four parameters, in the units of his paper."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core import mark
from nastk.core.config import SurrogatePart, default_part
from nastk.core.model.neuron import Neuron
from nastk.core.model.surrogate import Compare, Surrogate
from nastk.neurons.firing import reset


@frozen(kw_only=True)
class IzhikevichConfig:
    """Settings of ``izhikevich``: by default a regular spiking cell."""

    a: float = field(default=0.02, metadata={"help": "rate of the recovery, in 1/ms"})
    b: float = field(default=0.2, metadata={"help": "how strongly the recovery follows the membrane"})
    c: float = field(default=-65.0, metadata={"help": "membrane after a spike, in mV"})
    d: float = field(default=8.0, metadata={"help": "what a spike adds to the recovery"})
    v_peak: float = field(default=30.0, metadata={"help": "membrane at which a spike ends, in mV"})
    sq: float = field(default=0.04, validator=gt(0), metadata={"help": "factor of the squared membrane"})
    mn: float = field(default=5.0, metadata={"help": "factor of the membrane"})
    bias: float = field(default=140.0, metadata={"help": "constant current"})
    dt: float = field(default=0.25, validator=gt(0), metadata={"help": "length of a time step, in ms"})
    gain: float = field(default=100.0, validator=gt(0), metadata={"help": "current that an input of 1 stands for"})
    compare: Compare = field(default=">=", metadata={"help": "fires when v >= v_peak, or v > v_peak (Norse)"})
    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "atan"), metadata={"help": "surrogate gradient"})

    def __attrs_post_init__(self) -> None:
        if (self.mn - self.b) ** 2 < 4 * self.sq * self.bias:
            raise ValueError(
                f"(mn - b)^2 must be at least 4 sq bias (without a resting potential it fires by itself), "
                f"got mn {self.mn}, b {self.b}, sq {self.sq} and bias {self.bias}"
            )
        if not max(self.c, self.v_rest) < self.v_peak:
            rest = f"c {self.c}, a resting potential of {self.v_rest:.4g} and v_peak {self.v_peak}"
            raise ValueError(f"v_peak must be above c and the resting potential, got {rest}")

    @property
    def v_rest(self) -> float:
        """The resting potential, in mV: the lower zero of ``sq v^2 + (mn - b) v + bias``."""
        slope = self.mn - self.b
        return (-slope - math.sqrt(slope * slope - 4 * self.sq * self.bias)) / (2 * self.sq)


class Recovering(NamedTuple):
    """Membrane potential in mV, and by how much the recovery is above its rest, both ``(B, *F)``."""

    v: Tensor
    w: Tensor


@mark.neuron(
    "izhikevich",
    config=IzhikevichConfig,
    paper="Izhikevich, Simple Model of Spiking Neurons, IEEE Transactions on Neural Networks 2003",
)
class Izhikevich(Neuron[Recovering]):
    """Izhikevich's neuron of four parameters, in milliseconds and millivolts (Izhikevich, 2003).

    ::

        h[t] = v[t-1] + dt (0.04 v[t-1]^2 + 5 v[t-1] + 140 - u[t-1] + gain x[t])
        q[t] = u[t-1] + dt a (b v[t-1] - u[t-1])
        z[t] = h[t] >= v_peak
        v[t] = c,   u[t] = q[t] + d                        where z[t] = 1
        v[t] = h[t], u[t] = q[t]                           elsewhere

    It starts at rest (by default ``v = -70``, ``u = -14``), and is computed around it: ``w = u - b v_rest``, and the square as
    ``sq (v - v_rest) (v - v_crit)``, so that without input nothing moves. The surrogate sees ``(h - v_peak) / (v_peak -
    v_rest)``, 100 mV as 1. A strong negative current overshoots in one Euler step and may end in a spike: make ``dt`` or
    ``gain`` smaller. Few time steps are a short time here: 4 of them are 1 ms.

    Norse's ``izhikevich_feed_forward_step`` is ``gain = 1``, ``compare = ">"``, ``dt`` its ``tau_inv * dt``, started at rest;
    ``sq``, ``mn`` and ``bias`` are named as there. Other kinds of cell are other parameters (``c = -50, d = 2`` bursts).
    """

    def __init__(self, config: IzhikevichConfig) -> None:
        super().__init__()
        self.config, self.rest = config, config.v_rest
        self.critical = -config.mn / config.sq - config.v_rest
        self.surrogate: Surrogate = config.surrogate.build()

    def initial_state(self, x_BF: Tensor) -> Recovering:
        return Recovering(torch.full_like(x_BF, self.rest), torch.zeros_like(x_BF))

    def step(self, x_BF: Tensor, state: Recovering) -> tuple[Tensor, Recovering]:
        c, (v, w) = self.config, state
        above = v - self.rest
        h = v + c.dt * (c.sq * above * (v - self.critical) - w + c.gain * x_BF)
        w = w + c.dt * c.a * (c.b * above - w)
        z = self.surrogate.spike((h - c.v_peak) / (c.v_peak - self.rest), c.compare)
        fired = z.detach() if c.detach_reset else z
        return z, Recovering(reset(h, z, "hard", c.c, 0.0, c.detach_reset), w + c.d * fired)
