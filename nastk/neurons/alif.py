"""The leaky integrate-and-fire neuron whose threshold rises with every spike."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from attrs import field, frozen
from attrs.validators import ge, gt
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import FiringConfig
from nastk.neurons.firing import FiringNeuron, charge, reset


@frozen(kw_only=True)
class ALIFConfig(FiringConfig):
    """Settings of ``alif``: firing and reset, the leak of the membrane, and how the threshold adapts."""

    tau: float = field(default=2.0, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})
    leak: Literal["linear", "exponential"] = field(
        default="linear", metadata={"help": "a step keeps 1 - 1/tau of the membrane (linear) or exp(-1/tau) (exponential)"}
    )
    tau_adapt: float = field(default=10.0, validator=gt(0), metadata={"help": "time constant of the threshold, in time steps"})
    beta: float = field(default=1.8, validator=ge(0), metadata={"help": "how far the threshold rises for a rate of 1"})
    relative: bool = field(
        default=True, metadata={"help": "whether the surrogate sees the distance to the threshold in thresholds (Bellec, sinabs)"}
    )
    learn: bool = field(default=False, metadata={"help": "whether both time constants are parameters, one each a layer"})

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.learn and self.leak == "linear" and self.tau == 1:
            raise ValueError(f"tau must be above 1 to be learned, got {self.tau}")


class Adapted(NamedTuple):
    """Membrane potential and adaptation, both ``(B, *F)``.

    With ``reset_timing="next"`` both the reset and the adaptation to the last spike are still due.
    """

    v: Tensor
    b: Tensor


@mark.neuron(
    "alif",
    config=ALIFConfig,
    paper="Bellec et al., Long Short-Term Memory and Learning-to-Learn in Networks of Spiking Neurons, NeurIPS 2018",
)
class ALIF(FiringNeuron[Adapted]):
    """Leaky integrate-and-fire with an adaptive threshold, the neuron of LSNNs (Bellec et al., 2018).

    The membrane charges as that of ``lif``; ``rho = exp(-1 / tau_adapt)``::

        B[t] = v_th + beta b[t-1]
        z[t] = h[t] >= B[t]
        v[t] = reset of h[t] by B[t]
        b[t] = rho b[t-1] + (1 - rho) z[t]

    The surrogate sees ``(h - B) / B`` where ``relative``, else ``h - B``; the gradient flows through ``B``, too. With ``learn``
    the parameters are ``w`` and ``w_adapt``, scalars: the leak is ``sigmoid(w)`` and ``rho = sigmoid(w_adapt)``.

    ==============================  =====================================================================
    same as                         settings
    ==============================  =====================================================================
    LSNN (Bellec et al., 2018)      ``leak="exponential", reset="soft", reset_timing="next"``,
                                    surrogate ``triangle``
    sinabs ``ALIF``                 ``v_th = b0, beta = adapt_scale, tau = tau_mem, tau_adapt``,
                                    ``leak="exponential", reset="soft"``, surrogate ``single-exponential``
    Norse's LSNN threshold          ``beta = its beta / (1 - rho), compare=">", relative=False``; its input
                                    acts one step later, which has no counterpart here
    ==============================  =====================================================================
    """

    def __init__(self, config: ALIFConfig) -> None:
        super().__init__(config)
        self.config = config
        self.tau_fixed = config.tau if config.leak == "linear" else -1 / math.expm1(-1 / config.tau)
        self.rho_fixed = math.exp(-1 / config.tau_adapt)
        if config.learn:  # of no dimension, so that the input's dtype decides the result's
            self.w = nn.Parameter(torch.tensor(-math.log(self.tau_fixed - 1)))
            self.w_adapt = nn.Parameter(torch.tensor(-math.log(math.expm1(1 / config.tau_adapt))))

    @property
    def tau(self) -> float | Tensor:
        """``1 / k`` of the leak ``k``, in time steps."""
        return 1 / torch.sigmoid(self.w) if self.config.learn else self.tau_fixed

    @property
    def rho(self) -> float | Tensor:
        """The share of the adaptation that a step keeps."""
        return torch.sigmoid(self.w_adapt) if self.config.learn else self.rho_fixed

    def initial_state(self, x_BF: Tensor) -> Adapted:
        return Adapted(torch.full_like(x_BF, self.config.v_reset), torch.zeros_like(x_BF))

    def step(self, x_BF: Tensor, state: Adapted) -> tuple[Tensor, Adapted]:
        c, (v, b) = self.config, state
        if c.reset_timing == "same":
            h = self.charge(x_BF, v)
            z, threshold = self.spike(h, b)
            return z, Adapted(self.after(h, z, threshold), self.adapt(b, z))
        due, threshold = self.spike(v, b)
        b = self.adapt(b, due)
        if c.reset == "soft":  # after the leak
            h = self.after(self.charge(x_BF, v), due, threshold)
        else:
            h = self.charge(x_BF, self.after(v, due, threshold))
        return self.spike(h, b)[0], Adapted(h, b)

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """The membrane of ``lif`` before firing."""
        return charge(x, v, self.config.v_reset, self.tau, self.config.decay_input)

    def spike(self, h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of a membrane under this adaptation, and the threshold that it met."""
        threshold = self.v_th + self.config.beta * b
        u = h - threshold
        return self.fire(u / threshold if self.config.relative else u), threshold

    def after(self, h: Tensor, z: Tensor, threshold: Tensor) -> Tensor:
        """The membrane after spikes."""
        return reset(h, z, self.config.reset, self.config.v_reset, threshold, self.config.detach_reset)

    def adapt(self, b: Tensor, z: Tensor) -> Tensor:
        """The adaptation after spikes."""
        return self.rho * b + (1 - self.rho) * z
