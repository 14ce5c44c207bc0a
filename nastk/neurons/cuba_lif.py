"""Leaky integrate-and-fire neurons with a synaptic current: one neuron, and snnTorch's settings of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import and_, ge, le
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import FiringConfig
from nastk.core.model.surrogate import Compare
from nastk.neurons.firing import FiringNeuron, Reset, reset


@frozen(kw_only=True)
class CUBALIFConfig(FiringConfig):
    """Settings of ``cuba-lif``: firing and reset, and what a step keeps."""

    alpha: float = field(default=0.5, validator=and_(ge(0), le(1)), metadata={"help": "share of the current that a step keeps"})
    beta: float = field(default=0.75, validator=and_(ge(0), le(1)), metadata={"help": "share of the membrane that a step keeps"})
    decay_input: bool = field(default=False, metadata={"help": "whether the current reaches the membrane times 1 - beta"})
    learn_alpha: bool = field(default=False, metadata={"help": "whether alpha is a parameter, kept between 0 and 1"})
    learn_beta: bool = field(default=False, metadata={"help": "whether beta is a parameter, kept between 0 and 1"})


class Charged(NamedTuple):
    """Membrane potential and synaptic current, both ``(B, *F)``."""

    v: Tensor
    i: Tensor


@mark.neuron("cuba-lif", config=CUBALIFConfig)
class CUBALIF(FiringNeuron[Charged]):
    """Leaky integrate-and-fire with a synaptic current that decays (current-based, CUBA).

    With ``r = v_reset`` (the resting potential)::

        i[t] = alpha i[t-1] + x[t]
        h[t] = r + beta (v[t-1] - r) + i[t]                    decay_input = False
        h[t] = r + beta (v[t-1] - r) + (1 - beta) i[t]         decay_input = True

    then firing and reset by :class:`~nastk.core.model.neuron.FiringConfig`; with ``reset_timing = "next"`` the reset of the last
    spike comes after this step's current, which a hard one deletes too. A spike leaves the current as it is.

    =====================================  ==============================================================
    same as                                settings
    =====================================  ==============================================================
    SpikingJelly ``CUBALIFNode``           ``alpha = c_decay, beta = v_decay``, surrogate ``rectangle``
    ... ``v_reset=None``                   the same with ``reset="soft"``
    snnTorch ``Synaptic(alpha, beta)``     ``v_th=1.0, compare=">", reset="soft", reset_timing="next",
                                           detach_reset=True``, or ``synaptic``, which has these
    ... ``reset_mechanism="zero"``         the same with ``reset="hard"``
    ... ``reset_mechanism="none"``         the same with ``reset="none"``
    Norse ``lif_feed_forward_step``        ``v_th=1.0, compare=">", decay_input=True, alpha = 1 - dt *
                                           tau_syn_inv, beta = 1 - dt * tau_mem_inv``
    =====================================  ==============================================================

    SpikingJelly's membrane decays to 0 and not to its ``v_reset``: the two are the same where that is 0. snnTorch's
    ``reset_delay=False`` has no counterpart here.
    """

    def __init__(self, config: CUBALIFConfig) -> None:
        super().__init__(config)
        self.config = config
        self.alpha: float | nn.Parameter = nn.Parameter(torch.tensor(config.alpha)) if config.learn_alpha else config.alpha
        self.beta: float | nn.Parameter = nn.Parameter(torch.tensor(config.beta)) if config.learn_beta else config.beta

    def initial_state(self, x_BF: Tensor) -> Charged:
        return Charged(torch.full_like(x_BF, self.config.v_reset), torch.zeros_like(x_BF))

    def step(self, x_BF: Tensor, state: Charged) -> tuple[Tensor, Charged]:
        c, rest = self.config, self.config.v_reset
        alpha, beta = (share.clamp(0, 1) if isinstance(share, Tensor) else share for share in (self.alpha, self.beta))
        i = alpha * state.i + x_BF
        kept = rest + beta * (state.v - rest) if rest else beta * state.v
        h = kept + (1 - beta) * i if c.decay_input else kept + i
        if c.reset_timing == "next":
            h = self.after(h, self.fire(state.v - self.v_th))
            return self.fire(h - self.v_th), Charged(h, i)
        z = self.fire(h - self.v_th)
        return z, Charged(self.after(h, z), i)

    def after(self, h: Tensor, z: Tensor) -> Tensor:
        """The membrane after spikes."""
        c = self.config
        return reset(h, z, c.reset, c.v_reset, c.v_th, c.detach_reset)


@frozen(kw_only=True)
class SynapticConfig(CUBALIFConfig):
    """Settings of ``synaptic``: those of ``cuba-lif`` with other defaults."""

    compare: Compare = field(default=">", metadata={"help": "fires when v >= v_th (SpikingJelly) or v > v_th (snnTorch)"})
    reset: Reset = field(
        default="soft", metadata={"help": "hard: v becomes v_reset; soft: v_th is subtracted; none: v runs on"}
    )
    reset_timing: Literal["same", "next"] = field(
        default="next", metadata={"help": "the reset acts in the step of the spike (SpikingJelly) or at the next one (snnTorch)"}
    )
    detach_reset: bool = field(default=True, metadata={"help": "whether the reset is cut from the gradient"})
    alpha: float = field(default=0.9, validator=and_(ge(0), le(1)), metadata={"help": "share of the current that a step keeps"})
    beta: float = field(default=0.8, validator=and_(ge(0), le(1)), metadata={"help": "share of the membrane that a step keeps"})


@mark.neuron("synaptic", config=SynapticConfig)
class Synaptic(CUBALIF):
    """Leaky integrate-and-fire with a synaptic current, by snnTorch's conventions (its ``Synaptic``).

    ``cuba-lif`` with ``compare = ">"``, a soft reset at the step after the spike, cut from the gradient, and the shares of
    snnTorch's examples::

        i[t] = alpha i[t-1] + x[t]
        v[t] = beta v[t-1] + i[t] - z[t-1] v_th
        z[t] = v[t] > v_th

    The threshold is 0.5, as everywhere here; snnTorch's is 1.
    """
