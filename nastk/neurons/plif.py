"""The leaky integrate-and-fire neuron with a learned time constant."""

from __future__ import annotations

import math

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.fused import Leak
from nastk.core.model.neuron import FiringConfig, ThresholdNeuron


@frozen(kw_only=True)
class PLIFConfig(FiringConfig):
    """Settings of ``plif``: firing and reset, and where the time constant starts."""

    tau: float = field(default=2.0, validator=gt(1), metadata={"help": "time constant before training, in time steps"})
    decay_input: bool = field(default=True, metadata={"help": "whether the input, too, is scaled by the leak"})


@mark.neuron(
    "plif",
    config=PLIFConfig,
    paper="Fang et al., Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks, ICCV 2021",
)
class PLIF(ThresholdNeuron):
    """Leaky integrate-and-fire with one learned time constant a layer (Fang et al., 2021).

    The parameter ``w`` is a scalar, ``k = sigmoid(w) = 1/tau``, and ``w = -ln(tau - 1)`` before training. With
    ``r = v_reset`` (the resting potential)::

        h[t] = v[t-1] + k (x[t] - (v[t-1] - r))        decay_input = True
        h[t] = v[t-1] - k (v[t-1] - r) + x[t]          decay_input = False

    then firing and reset by :class:`~nastk.core.model.neuron.FiringConfig`.

    ==============================================  ======================================================
    same as                                         settings
    ==============================================  ======================================================
    SpikingJelly ``ParametricLIFNode(init_tau)``    ``v_th=1.0, tau = init_tau``; ``decay_input``,
                                                    ``detach_reset`` and ``v_reset`` as there; its own
                                                    surrogate is ``sigmoid``
    ... ``v_reset=None``                            the same with ``reset="soft"``
    AutoSNN (Na et al., 2022)                       ``v_th=1.0, detach_reset=True``
    ==============================================  ======================================================

    snnTorch's ``Leaky(learn_beta=True)`` learns beta itself, clamped to [0, 1]: the same membrane, other training.
    """

    def __init__(self, config: PLIFConfig) -> None:
        super().__init__(config)
        self.rest = config.v_reset
        self.decay_input = config.decay_input
        # Of no dimension, so that the input's dtype decides the result's.
        self.w = nn.Parameter(torch.tensor(-math.log(config.tau - 1)))

    @property
    def tau(self) -> Tensor:
        """The time constant now, in time steps: ``1 / sigmoid(w)``, a scalar."""
        return 1 / torch.sigmoid(self.w)

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        k = torch.sigmoid(self.w)
        above_rest = v_BF - self.rest if self.rest else v_BF
        if self.decay_input:
            return v_BF + (x_BF - above_rest) * k
        return v_BF - above_rest * k + x_BF

    def leak(self) -> Leak:
        return Leak("multiply", torch.sigmoid(self.w), self.decay_input, self.rest)
