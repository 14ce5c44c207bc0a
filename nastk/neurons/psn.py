"""Parallel spiking neurons: no reset, so the membranes of all time steps are one product with the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.neuron import FusedNeuron, TimedNeuron, TimeParallelNeuron
from nastk.core.model.surrogate import Surrogate
from nastk.neurons.firing import SpikeConfig

Init = Literal["uniform", "exponential"]
UNIFORM = "its drawn weights may add up to less than zero: then no positive input makes it fire"


@frozen(kw_only=True)
class PSNConfig(SpikeConfig):
    """Settings of ``psn``; the threshold is the one before training."""

    init: Init = field(
        default="uniform", metadata={"help": "first weights: drawn (He, as in the paper), or 2^(i - t) for the input of step i"}
    )


@frozen(kw_only=True)
class MaskedPSNConfig(PSNConfig):
    """Settings of ``masked-psn``."""

    order: int = field(default=2, validator=ge(1), metadata={"help": "how many steps an output hears, its own included"})


@frozen(kw_only=True)
class SlidingPSNConfig(MaskedPSNConfig):
    """Settings of ``sliding-psn``."""

    init: Init = field(default="exponential", metadata={"help": "first weights: drawn (He), or ..., 1/4, 1/2, 1"})


def drawn(rows: int, columns: int) -> Tensor:
    """Weights ``(rows, columns)``, uniform within ``1 / sqrt(columns)``."""
    return nn.init.kaiming_uniform_(torch.empty(rows, columns), a=math.sqrt(5))


def first_weights(T: int, init: Init) -> Tensor:
    """``(T, T)``: the weight that step ``t`` (row) gives to the input of step ``i`` (column)."""
    if init == "uniform":
        return drawn(T, T)
    steps = torch.arange(T, dtype=torch.get_default_dtype())
    return torch.exp2(steps[None, :] - steps[:, None]).tril()


@mark.neuron(
    "psn",
    config=PSNConfig,
    paper="Fang et al., Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term Dependencies, NeurIPS 2023",
)
class PSN(TimeParallelNeuron):
    """Parallel spiking neuron: every step hears every step, earlier and later ones (Fang et al., 2023).

    ::

        H = W X + b            X (T, B * F), W (T, T), b (T, 1)
        Z = H >= 0

    ``W`` and ``b`` are parameters, one a layer and built for ``T`` time steps; ``b = -v_th`` before training. It is not causal:
    on a device that gets its input step by step it cannot run. The same as SpikingJelly's ``PSN(T)`` (there ``v_th=1.0``).
    """

    breaks: ClassVar = {
        "causal": "a step hears the later ones, too",
        "splittable": "half of the steps are not the whole",
        "fused_equals_scan": "it has no single step",
        "binary": UNIFORM,
    }

    def __init__(self, T: int, config: PSNConfig) -> None:
        super().__init__(T)
        self.compare = config.compare
        self.surrogate: Surrogate = config.surrogate.build()
        self.weight = nn.Parameter(first_weights(T, config.init))
        self.bias = nn.Parameter(torch.full((T, 1), -config.v_th))

    def parallel(self, x_TBF: Tensor) -> Tensor:
        T = len(x_TBF)
        weight, bias = self.weight[:T, :T].to(x_TBF.dtype), self.bias[:T].to(x_TBF.dtype)
        h_TN = torch.addmm(bias, weight, x_TBF.flatten(1)).to(x_TBF.dtype)
        return self.surrogate.spike(h_TN, self.compare).view(x_TBF.shape)


Window = tuple[Any, ...]
"""The inputs ``(B, *F)`` of the last steps, the oldest first: zeros before the first step."""


class WindowNeuron(FusedNeuron[Window]):
    """A neuron without reset whose membrane is a weighted sum of its last inputs."""

    order: int
    surrogate: Surrogate
    compare: Any

    def answer(self, weights: Sequence[Tensor], bias: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """Spikes of the sum; in one order of additions, so that one step and many give the same bits."""
        h = weights[0] * inputs[0]
        for weight, x in zip(weights[1:], inputs[1:], strict=True):
            h = h + weight * x
        return self.surrogate.spike(h + bias, self.compare)

    def silence(self, x_BF: Tensor) -> Window:
        """What was heard before the first step."""
        return tuple(torch.zeros_like(x_BF) for _ in range(self.order - 1))

    def all_at_once(self, weights_K: Sequence[Tensor], bias: Tensor, x_TBF: Tensor, heard: Window) -> tuple[Tensor, Window]:
        """Spikes of all steps, and what the next one will have heard."""
        T = len(x_TBF)
        longer = torch.cat([torch.stack(heard), x_TBF]) if heard else x_TBF
        z_TBF = self.answer(weights_K, bias, [longer[i : i + T] for i in range(self.order)])
        return z_TBF, longer[T:].unbind()


@mark.neuron(
    "masked-psn",
    config=MaskedPSNConfig,
    paper="Fang et al., Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term Dependencies, NeurIPS 2023",
)
class MaskedPSN(WindowNeuron, TimedNeuron[Window]):
    """Masked parallel spiking neuron: every step hears itself and a few before it, each with weights of its own.

    ::

        h[t] = sum of W[t, i] x[i] over t - order < i <= t, + b[t]
        z[t] = h[t] >= 0

    The weights ``W`` ``(T, T)``, of which those in that band are used, and ``b`` ``(T, 1)`` are parameters, one a layer
    (Fang et al., 2023); ``b = -v_th`` before training. The mask is whole from the start: the paper closes it step by step
    while it trains. The same as SpikingJelly's ``MaskedPSN(k, T, lambda_init=1.0)`` (there ``v_th=1.0``). The state is the
    number of steps so far, and the inputs that the next step hears.
    """

    def __init__(self, T: int, config: MaskedPSNConfig) -> None:
        super().__init__(T)
        self.order = min(config.order, T)
        self.compare = config.compare
        self.surrogate = config.surrogate.build()
        self.weight = nn.Parameter(first_weights(T, config.init))
        self.bias = nn.Parameter(torch.full((T, 1), -config.v_th))

    def initial_state(self, x_BF: Tensor) -> Window:
        return (0, *self.silence(x_BF))

    def band(self, dtype: torch.dtype) -> list[Tensor]:
        """The weights ``(T,)`` that every step gives to the input ``order - 1`` steps ago, ..., to its own."""
        padded = F.pad(self.weight.to(dtype), (self.order - 1, 0))
        return [padded.diagonal(i) for i in range(self.order)]

    def step(self, x_BF: Tensor, state: Window) -> tuple[Tensor, Window]:
        t, *heard = state
        self.ensure_steps(t + 1)
        inputs = (*heard, x_BF)
        weights = [weights_T[t] for weights_T in self.band(x_BF.dtype)]
        return self.answer(weights, self.bias[t, 0].to(x_BF.dtype), inputs), (t + 1, *inputs[1:])

    def fuse(self, x_TBF: Tensor, state: Window | None) -> tuple[Tensor, Window]:
        first, *heard = self.initial_state(x_TBF[0]) if state is None else state
        end = first + len(x_TBF)
        self.ensure_steps(end)
        over = (-1, *(1,) * (x_TBF.dim() - 1))
        weights = [weights_T[first:end].view(over) for weights_T in self.band(x_TBF.dtype)]
        z_TBF, heard_next = self.all_at_once(weights, self.bias[first:end].to(x_TBF.dtype).view(over), x_TBF, tuple(heard))
        return z_TBF, (end, *heard_next)


@mark.neuron(
    "sliding-psn",
    config=SlidingPSNConfig,
    paper="Fang et al., Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term Dependencies, NeurIPS 2023",
)
class SlidingPSN(WindowNeuron):
    """Sliding parallel spiking neuron: every step hears itself and a few before it, with the same weights at every step.

    ::

        h[t] = sum of w[i] x[t - order + 1 + i] over 0 <= i < order, + b
        z[t] = h[t] >= 0

    The weights ``w`` ``(order,)`` and ``b`` are parameters, one set a layer, whatever ``T`` is (Fang et al., 2023); ``b = -v_th``
    before training. The same as SpikingJelly's ``SlidingPSN(k)`` (there ``v_th=1.0``). The state is the inputs that the
    next step hears.
    """

    breaks: ClassVar = {"binary": UNIFORM}

    def __init__(self, config: SlidingPSNConfig) -> None:
        super().__init__()
        self.order = config.order
        self.compare = config.compare
        self.surrogate = config.surrogate.build()
        exponential = torch.exp2(torch.arange(1 - config.order, 1, dtype=torch.get_default_dtype()))
        self.weight = nn.Parameter(exponential if config.init == "exponential" else drawn(1, config.order)[0])
        self.bias = nn.Parameter(torch.tensor(-config.v_th))

    def initial_state(self, x_BF: Tensor) -> Window:
        return self.silence(x_BF)

    def step(self, x_BF: Tensor, state: Window) -> tuple[Tensor, Window]:
        inputs = (*state, x_BF)
        return self.answer(self.weight.to(x_BF.dtype).unbind(), self.bias.to(x_BF.dtype), inputs), inputs[1:]

    def fuse(self, x_TBF: Tensor, state: Window | None) -> tuple[Tensor, Window]:
        heard = self.initial_state(x_TBF[0]) if state is None else state
        return self.all_at_once(self.weight.to(x_TBF.dtype).unbind(), self.bias.to(x_TBF.dtype), x_TBF, heard)
