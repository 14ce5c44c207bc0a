"""Neurons: one time step is a pure function of (input, state); core owns the scan over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Literal, NamedTuple, TypeVar, final

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor, nn

from nastk.core.config import Part, SurrogatePart, default_part
from nastk.core.errors import NastkError, ShapeError
from nastk.core.model.fused import Leak, describes, fused
from nastk.core.model.surrogate import Compare, Surrogate
from nastk.core.registry import registry
from nastk.core.types import Kind

State = TypeVar("State", bound=tuple[Any, ...])


class Neuron(nn.Module, ABC, Generic[State]):
    """Turns input current into spikes, one time step at a time.

    Keeps no memory between calls: its state goes in and comes out, so there is no reset, and two calls with equal
    arguments give equal answers. A plug-in class is built as ``cls(config)``, once for each layer of a network.
    """

    spiking: bool = True
    """Whether the output is spikes; a non-spiking activation (ReLU) says False and is not counted in NoS."""
    signed: bool = False
    """Whether a spike may be -1 and not only 1."""

    @abstractmethod
    def initial_state(self, x_BF: Tensor) -> State:
        """The state before the first step: a named tuple of tensors ``(B, *F)`` on the input's device and dtype."""

    @abstractmethod
    def step(self, x_BF: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: input current ``(B, *F)`` and state to output ``(B, *F)`` and new state."""

    @final  # type: ignore[misc]  # torch declares forward as a writable attribute
    def forward(self, x_TBF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The scan of :meth:`step` over ``T``: ``(T, B, *F)`` to ``(T, B, *F)`` and the last state.

        A :class:`FusedNeuron` may give the same by a kernel.
        Raises :class:`ShapeError` when there is no time step, or a given state is of another shape than the input.
        """
        if not len(x_TBF):
            raise ShapeError(f"A neuron needs at least one time step, got an input of shape {tuple(x_TBF.shape)} (T, B, ...).")
        if state is not None and any(part.shape != x_TBF.shape[1:] for part in state if isinstance(part, Tensor)):
            shapes = [tuple(part.shape) for part in state if isinstance(part, Tensor)]
            raise ShapeError(f"Neuron state of shape {shapes} met an input of shape {tuple(x_TBF.shape)} (T, B, ...).")
        whole = self.fuse(x_TBF, state) if isinstance(self, FusedNeuron) else None
        return self.scan(x_TBF, state) if whole is None else whole

    def scan(self, x_TBF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """:meth:`step` from the first time step to the last, in operations of torch."""
        if state is None:
            state = self.initial_state(x_TBF[0])
        outputs = []
        for x_BF in x_TBF:
            z_BF, state = self.step(x_BF, state)
            outputs.append(z_BF)
        return torch.stack(outputs), state

    def spikes(self, z_TBF: Tensor) -> Tensor:
        """Which of its outputs are spikes: 1 there, else 0, differentiable as they are. Their sum is counted."""
        return z_TBF


class FusedNeuron(Neuron[State]):
    """A neuron with a kernel for all time steps at once. It must obey the law ``fused_equals_scan``."""

    @abstractmethod
    def fuse(self, x_TBF: Tensor, state: State | None) -> tuple[Tensor, State] | None:
        """What the scan would give, to the bit; ``None`` where the kernel has no answer to this call: the scan is run."""


class TimedNeuron(Neuron[State]):
    """A neuron with numbers of its own for each time step: built as ``cls(T, config)``, it answers at most ``T`` steps."""

    def __init__(self, T: int) -> None:
        super().__init__()
        self.T = T

    def ensure_steps(self, steps: int) -> None:
        """Raise :class:`ShapeError` when there are more time steps than it was built for."""
        if steps > self.T:
            raise ShapeError(f"A {type(self).__name__} built for T = {self.T} time steps was given {steps}.")


class TimeParallelNeuron(TimedNeuron[tuple[()]]):
    """A neuron that needs all its time steps to answer any of them: it has no step and no state, and is not causal.

    Such a class declares that it breaks ``causal``, ``splittable`` and ``fused_equals_scan``.
    """

    @abstractmethod
    def parallel(self, x_TBF: Tensor) -> Tensor:
        """``(T, B, *F)`` to ``(T, B, *F)``. Of fewer steps than ``T``, those that are missing count as zero input."""

    def initial_state(self, x_BF: Tensor) -> tuple[()]:  # noqa: ARG002  the interface's argument
        return ()

    def step(self, x_BF: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:  # noqa: ARG002  the interface's arguments
        """Raises :class:`NastkError`: there is no answer to one step."""
        raise NastkError(f"A {type(self).__name__} answers all its time steps at once and has no single step: call it.")

    def scan(self, x_TBF: Tensor, state: tuple[()] | None = None) -> tuple[Tensor, tuple[()]]:  # noqa: ARG002
        self.ensure_steps(len(x_TBF))
        return self.parallel(x_TBF), ()


def build_neuron(part: Part, T: int) -> Neuron[Any]:
    """A new layer of a neuron, for ``T`` time steps."""
    timed = issubclass(registry().load(Kind.NEURON, part.name), TimedNeuron)
    built: Neuron[Any] = part.build(T) if timed else part.build()
    return built


@frozen(kw_only=True)
class FiringConfig:
    """When a neuron fires and what that does to its membrane: the fields that libraries silently disagree on."""

    v_th: float = field(default=0.5, validator=gt(0), metadata={"help": "firing threshold"})
    compare: Compare = field(default=">=", metadata={"help": "fires when v >= v_th (SpikingJelly) or v > v_th (snnTorch)"})
    reset: Literal["hard", "soft", "none"] = field(
        default="hard", metadata={"help": "hard: v becomes v_reset; soft: v_th is subtracted; none: v runs on"}
    )
    v_reset: float = field(default=0.0, metadata={"help": "resting potential, and the value after a hard reset"})
    reset_timing: Literal["same", "next"] = field(
        default="same", metadata={"help": "the reset acts in the step of the spike (SpikingJelly) or at the next one (snnTorch)"}
    )
    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "atan"), metadata={"help": "surrogate gradient"})

    def __attrs_post_init__(self) -> None:
        if not self.v_reset < self.v_th:
            raise ValueError(
                f"v_reset must be below v_th (a neuron at rest would fire), got v_reset {self.v_reset} and v_th {self.v_th}"
            )


class MembraneState(NamedTuple):
    """Membrane potential ``(B, *F)``; with ``reset_timing="next"`` the reset of the last spike is still due."""

    v: Tensor


MEANING = ("charge", "step", "scan", "initial_state", "_fire", "_reset", "_charge_after_due_reset")
"""Methods of :class:`ThresholdNeuron` that say what it computes: one that a sub-class replaces makes its leak no full account."""


class ThresholdNeuron(FusedNeuron[MembraneState]):
    """A neuron with one membrane potential: charge, fire, reset. A sub-class gives :meth:`charge`.

    One that gives :meth:`leak`, too, is run by a compiled kernel where there is one.
    """

    def __init__(self, config: FiringConfig) -> None:
        super().__init__()
        self.firing = config
        self.surrogate: Surrogate = config.surrogate.build()

    @abstractmethod
    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        """The membrane before firing, from the input current and the membrane after the last step."""

    def leak(self) -> Leak | None:
        """What :meth:`charge` does, in numbers; ``None`` when it is no linear leak. Called at each forward pass."""
        return None

    def fuse(self, x_TBF: Tensor, state: MembraneState | None) -> tuple[Tensor, MembraneState] | None:
        leak = self.leak() if describes(type(self), "leak", MEANING) else None
        whole = None if leak is None else fused(self, leak, x_TBF, None if state is None else state.v)
        return None if whole is None else (whole[0], MembraneState(whole[1]))

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(torch.full_like(x_BF, self.firing.v_reset))

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        if self.firing.reset_timing == "next":
            h = self._charge_after_due_reset(x_BF, state.v)
            return self._fire(h), MembraneState(h)
        h = self.charge(x_BF, state.v)
        z = self._fire(h)
        return z, MembraneState(self._reset(h, z))

    def _fire(self, v: Tensor) -> Tensor:
        return self.surrogate.spike(v - self.firing.v_th, self.firing.compare)

    def _reset(self, h: Tensor, z: Tensor) -> Tensor:
        if self.firing.reset == "none":
            return h
        z = z.detach() if self.firing.detach_reset else z
        if self.firing.reset == "soft":
            return h - z * self.firing.v_th
        return (1.0 - z) * h + z * self.firing.v_reset

    def _charge_after_due_reset(self, x_BF: Tensor, v: Tensor) -> Tensor:
        if self.firing.reset == "none":
            return self.charge(x_BF, v)
        due = self._fire(v)
        due = due.detach() if self.firing.detach_reset else due
        if self.firing.reset == "soft":
            return self.charge(x_BF, v) - due * self.firing.v_th
        return self.charge(x_BF, (1.0 - due) * v + due * self.firing.v_reset)
