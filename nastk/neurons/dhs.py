"""The neuron of SpikeDHS: a preset of ``lif``."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.config import SurrogatePart, default_part
from nastk.core.model.surrogate import Compare
from nastk.neurons.lif import LIF, LIFConfig


@frozen(kw_only=True)
class DHSConfig(LIFConfig):
    """Settings of ``dhs``: those of ``lif`` with other defaults."""

    tau: float = field(default=1.25, validator=ge(1), metadata={"help": "membrane time constant, in time steps"})
    decay_input: bool = field(default=False, metadata={"help": "whether the input, too, is scaled by the leak"})
    compare: Compare = field(default=">", metadata={"help": "fires when v >= v_th (SpikingJelly) or v > v_th (snnTorch)"})
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "dhs"), metadata={"help": "surrogate gradient"})


@mark.neuron(
    "dhs",
    config=DHSConfig,
    paper="Che et al., Differentiable Hierarchical and Surrogate Gradient Search for Spiking Neural Networks, NeurIPS 2022",
)
class DHS(LIF):
    """Leaky integrate-and-fire with the constants of SpikeDHS (Che et al., 2022).

    ``lif`` with ``tau = 1.25``, ``decay_input = False``, ``compare = ">"`` and surrogate ``dhs``: a step keeps a fifth of the
    membrane::

        h[t] = 0.2 v[t-1] + x[t]
        z[t] = h[t] > 0.5
        v[t] = h[t] (1 - z[t])

    SpikeDHS multiplies by 0.2 after the spike and not before the next one; the spikes are the same.
    """
