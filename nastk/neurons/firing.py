"""What neurons beyond one plain membrane have in common: their settings, how they charge, fire and reset."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core.config import SurrogatePart, default_part
from nastk.core.model.neuron import FiringConfig, Neuron, State
from nastk.core.model.surrogate import Compare, Surrogate

Reset = Literal["hard", "soft", "none"]


@frozen(kw_only=True)
class SpikeConfig:
    """When a neuron fires."""

    v_th: float = field(default=0.5, validator=gt(0), metadata={"help": "firing threshold"})
    compare: Compare = field(default=">=", metadata={"help": "fires when v >= v_th (SpikingJelly) or v > v_th (snnTorch)"})
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "atan"), metadata={"help": "surrogate gradient"})


@frozen(kw_only=True)
class HardResetConfig(SpikeConfig):
    """When a neuron fires, and where that puts its membrane."""

    v_reset: float = field(default=0.0, metadata={"help": "membrane at the start and after a spike"})
    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})

    def __attrs_post_init__(self) -> None:
        if not self.v_reset < self.v_th:
            raise ValueError(f"v_reset must be below v_th, got v_reset {self.v_reset} and v_th {self.v_th}")


@frozen(kw_only=True)
class SameStepConfig(HardResetConfig):
    """When a neuron fires, and what that does to its membrane in the same step."""

    reset: Reset = field(
        default="hard", metadata={"help": "hard: v becomes v_reset; soft: the threshold is subtracted; none: v runs on"}
    )
    v_reset: float = field(default=0.0, metadata={"help": "resting potential, and the value after a hard reset"})


class FiringNeuron(Neuron[State]):
    """A neuron that compares something with a threshold."""

    def __init__(self, config: SpikeConfig | FiringConfig) -> None:
        super().__init__()
        self.v_th = config.v_th
        self.compare = config.compare
        self.surrogate: Surrogate = config.surrogate.build()

    def fire(self, u: Tensor) -> Tensor:
        """1 where ``u``, the distance above the threshold, is at least 0 (or above it), else 0."""
        return self.surrogate.spike(u, self.compare)


def charge(x: Tensor, v: Tensor, rest: float, tau: float | Tensor, decay_input: bool) -> Tensor:
    """The membrane of a leaky neuron after one step of input, from that after the last one."""
    above_rest = v - rest if rest else v
    return v + (x - above_rest) / tau if decay_input else v - above_rest / tau + x


def reset(h: Tensor, z: Tensor, how: Reset, v_reset: float, amount: float | Tensor, detach: bool) -> Tensor:
    """The membrane ``h`` after spikes ``z``: at ``v_reset`` (hard), less ``amount`` (soft), or as it is."""
    if how == "none":
        return h
    z = z.detach() if detach else z
    return h - z * amount if how == "soft" else (1.0 - z) * h + z * v_reset
