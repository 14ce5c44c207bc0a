"""Neurons with one fault each."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from nastk import Neuron, mark
from nastk.core.model.neuron import FiringConfig, MembraneState, ThresholdNeuron


class Membrane(NamedTuple):
    v: Tensor


class Right(ThresholdNeuron):
    """Integrates; what every faulty neuron below would be without its fault."""

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return v_BF + x_BF


@mark.neuron("prophet", config=FiringConfig)
class Prophet(Right):
    """Looks at the whole sequence before it begins."""

    def forward(self, x_TBF: Tensor, state: Any = None) -> Any:
        return super().forward(x_TBF + x_TBF[-1:], state)


@mark.neuron("hoarder", config=FiringConfig)
class Hoarder(Right):
    """Goes on from the last call's membrane where it is given no state."""

    def __init__(self, config: FiringConfig) -> None:
        super().__init__(config)
        self.kept = torch.zeros(())

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(self.kept.to(x_BF).expand_as(x_BF).clone())

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        z, after = super().step(x_BF, state)
        self.kept = after.v.detach().mean()
        return z, after


@mark.neuron("mixer", config=FiringConfig)
class Mixer(Right):
    """Is more excitable the more the whole batch is driven."""

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return v_BF + x_BF * (1 + x_BF.mean(dim=0, keepdim=True).abs())


@mark.neuron("forgetful", config=FiringConfig)
class Forgetful(Right):
    """Hands over a membrane at rest, whatever it was."""

    def forward(self, x_TBF: Tensor, state: Any = None) -> Any:
        z_TBF, last = super().forward(x_TBF, state)
        return z_TBF, MembraneState(torch.zeros_like(last.v))


@mark.neuron("graded", config=FiringConfig)
class Graded(Right):
    """Fires 2 instead of 1."""

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        z, after = super().step(x_BF, state)
        return 2 * z, after


@mark.neuron("restless", config=FiringConfig)
class Restless(Right):
    """Is driven by a constant current of its own."""

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return v_BF + x_BF + 0.2


@mark.neuron("severed", config=FiringConfig)
class Severed(Right):
    """Has a weight that no gradient reaches."""

    def __init__(self, config: FiringConfig) -> None:
        super().__init__(config)
        self.gain = nn.Parameter(torch.ones(()))

    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return v_BF + x_BF * self.gain.detach().to(x_BF.dtype)


@mark.neuron("double", config=FiringConfig)
class Doubling(Right):
    """Answers in float64 whatever it is given."""

    def initial_state(self, x_BF: Tensor) -> MembraneState:
        return MembraneState(super().initial_state(x_BF).v.double())


@mark.neuron("scribbler", config=FiringConfig)
class Scribbler(Right):
    """Writes into the state that it is given."""

    def step(self, x_BF: Tensor, state: MembraneState) -> tuple[Tensor, MembraneState]:
        z, after = super().step(x_BF, state)
        if not torch.is_grad_enabled() or not state.v.requires_grad:
            state.v.data.copy_(after.v.data)
        return z, after


@mark.neuron("kernel", config=FiringConfig)
class WrongKernel(Right):
    """Has a fast forward that cuts the gradient between steps."""

    def forward(self, x_TBF: Tensor, state: Any = None) -> Any:
        state = self.initial_state(x_TBF[0]) if state is None else state
        out = []
        for x_BF in x_TBF:
            z, state = self.step(x_BF, MembraneState(state.v.detach()))
            out.append(z)
        return torch.stack(out), state


@mark.neuron("integrator", config=FiringConfig)
class Integrator(Right):
    """No fault."""


FAULTS: list[tuple[type[Neuron[Any]], set[str]]] = [
    (Integrator, set()),
    (Mixer, {"batch_independent"}),
    (Graded, {"binary"}),
    (Restless, {"silent_at_rest"}),
    (Severed, {"differentiable"}),
    (Doubling, {"device_and_dtype_follow_the_input"}),
    (Scribbler, {"repeatable"}),
    (WrongKernel, {"fused_equals_scan"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Neuron[Any]], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


@pytest.mark.parametrize(("cls", "law"), [(Prophet, "causal"), (Forgetful, "splittable"), (Hoarder, "repeatable")])
def test_a_fault_that_cannot_come_alone_breaks_its_own_law_too(cls: type[Neuron[Any]], law: str, failed: Any) -> None:
    """A forward that is no scan differs from the scan as well; what is kept between calls shows wherever one calls twice."""
    assert law in failed(cls)
