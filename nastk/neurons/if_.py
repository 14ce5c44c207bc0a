"""The integrate-and-fire neuron."""

from __future__ import annotations

from torch import Tensor

from nastk.core import mark
from nastk.core.model.fused import Leak
from nastk.core.model.neuron import FiringConfig, ThresholdNeuron


@mark.neuron("if", config=FiringConfig)
class IF(ThresholdNeuron):
    """Integrate-and-fire: the membrane sums its input and never leaks.

    ``h[t] = v[t-1] + x[t]``, then firing and reset by :class:`~nastk.core.model.neuron.FiringConfig`.

    =============================  =======================================================
    same as                        settings
    =============================  =======================================================
    SpikingJelly ``IFNode``        ``v_th=1.0``; surrogate ``sigmoid`` (its own default)
    ... ``v_reset=None``           the same with ``reset="soft"``
    snnTorch ``Leaky(beta=1)``     ``v_th=1.0, compare=">", reset="soft",
                                   reset_timing="next", detach_reset=True``
    =============================  =======================================================
    """

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return v_BF + x_BF

    def leak(self) -> Leak:
        return Leak("none")
