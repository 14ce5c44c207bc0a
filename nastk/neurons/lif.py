"""The leaky integrate-and-fire neuron with a fixed time constant."""

from __future__ import annotations

import math
from typing import Literal

from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.core import mark
from nastk.core.model.fused import Leak
from nastk.core.model.neuron import FiringConfig, ThresholdNeuron


@frozen(kw_only=True)
class LIFConfig(FiringConfig):
    """Settings of ``lif``: firing and reset, and how the membrane leaks."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})
    leak: Literal["linear", "exponential"] = field(
        default="linear", metadata={"help": "a step keeps 1 - 1/tau of the membrane (linear) or exp(-1/tau) (exponential)"}
    )


@mark.neuron("lif", config=LIFConfig)
class LIF(ThresholdNeuron):
    """Leaky integrate-and-fire with a fixed time constant.

    With ``r = v_reset`` (the resting potential) and ``k = 1/tau`` (linear leak) or ``1 - exp(-1/tau)`` (exponential)::

        h[t] = v[t-1] + k (x[t] - (v[t-1] - r))        decay_input = True
        h[t] = v[t-1] - k (v[t-1] - r) + x[t]          decay_input = False

    then firing and reset by :class:`~nastk.core.model.neuron.FiringConfig`.

    ======================================  ==============================================================
    same as                                 settings
    ======================================  ==============================================================
    SpikingJelly ``LIFNode(tau)``           ``v_th=1.0``, ``tau``; ``decay_input``, ``detach_reset`` and
                                            ``v_reset`` as there; its default surrogate is ``sigmoid``
    ... ``v_reset=None``                    the same with ``reset="soft"``
    snnTorch ``Leaky(beta)``                ``v_th=1.0, tau = 1 / (1 - beta), decay_input=False,
                                            compare=">", reset_timing="next", detach_reset=True,
                                            reset="soft"``
    ... ``reset_mechanism="zero"``          the same with ``reset="hard"``
    ... ``reset_mechanism="none"``          the same with ``reset="none"``
    SpikeDHS neuron (Che et al., 2022)      ``tau=1.25, decay_input=False, v_th=0.5, compare=">"``,
                                            surrogate ``dhs``
    ======================================  ==============================================================

    snnTorch's ``beta = exp(-1/tau)`` is ``leak="exponential"`` with that ``tau``. Its ``reset_delay=False`` has no
    counterpart here.
    """

    def __init__(self, config: LIFConfig) -> None:
        super().__init__(config)
        self.rest = config.v_reset
        self.decay_input = config.decay_input
        # Either leak is one number, 1/k. Dividing by it (not multiplying by k) is to the bit what SpikingJelly computes.
        self.tau = config.tau if config.leak == "linear" else -1 / math.expm1(-1 / config.tau)

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        above_rest = v_BF - self.rest if self.rest else v_BF
        if self.decay_input:
            return v_BF + (x_BF - above_rest) / self.tau
        return v_BF - above_rest / self.tau + x_BF

    def leak(self) -> Leak:
        if math.frexp(self.tau)[0] == 0.5:  # a power of two: its inverse is exact, and the product is the quotient
            return Leak("multiply", 1 / self.tau, self.decay_input, self.rest)
        return Leak("divide", self.tau, self.decay_input, self.rest)
