"""Surrogates with one fault each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nastk import mark
from nastk.core.laws.surrogate import BOOK
from nastk.core.model.surrogate import Compare, Surrogate


class Right(Surrogate):
    """``exp(-|u|)``; what every faulty one below is but for its fault."""

    def gradient(self, u: Tensor) -> Tensor:
        return torch.exp(-u.abs())


@mark.surrogate("exponential")
class Exponential(Right):
    """No fault."""


@mark.surrogate("lobed")
class Lobed(Right):
    """Has lobes below zero, as it may: a mixture of Gaussians (Yin et al., 2021)."""

    def gradient(self, u: Tensor) -> Tensor:
        return 1.15 * torch.exp(-2 * u.square()) - 0.3 * torch.exp(-u.square() / 18)


@mark.surrogate("deaf")
class Deaf(Right):
    """Compares in one way only."""

    def spike(self, u: Tensor, compare: Compare = ">=") -> Tensor:
        del compare
        return super().spike(u, ">=")


@mark.surrogate("stretched")
class Stretched(Right):
    """Goes back through a spike with another gradient than its own."""

    def spike(self, u: Tensor, compare: Compare = ">=") -> Tensor:
        return super().spike(u + u - u.detach(), compare)


@mark.surrogate("skewed")
class Skewed(Right):
    """Falls off faster on one side."""

    def gradient(self, u: Tensor) -> Tensor:
        return torch.where(u > 0, torch.exp(-2 * u.abs()), torch.exp(-u.abs()))


@mark.surrogate("hollow")
class Hollow(Right):
    """Is largest beside the threshold."""

    def gradient(self, u: Tensor) -> Tensor:
        return torch.exp(-(u.abs() - 0.5).square())


@mark.surrogate("upside-down")
class UpsideDown(Right):
    """Has the wrong sign."""

    def gradient(self, u: Tensor) -> Tensor:
        return -super().gradient(u)


@mark.surrogate("overflowing")
class Overflowing(Right):
    """The logistic function's derivative by its formula, which is inf / inf far below the threshold."""

    def gradient(self, u: Tensor) -> Tensor:
        e = torch.exp(u.abs())
        return e / (1 + e).square()


@mark.surrogate("relative")
class Relative(Right):
    """Divides by the mean over all that it is given."""

    def gradient(self, u: Tensor) -> Tensor:
        return super().gradient(u) / (1 + u.abs().clamp(max=10).mean())


@mark.surrogate("double")
class Double(Right):
    """Answers in float64 whatever it is given."""

    def gradient(self, u: Tensor) -> Tensor:
        return super().gradient(u).double()


@mark.surrogate("annealed")
class Annealed(Right):
    """Becomes narrower with every call."""

    calls = 0

    def gradient(self, u: Tensor) -> Tensor:
        self.calls += 1
        return torch.exp(-u.abs() * self.calls)


@mark.surrogate("scribbling")
class Scribbling(Right):
    """Writes into what it is given."""

    def gradient(self, u: Tensor) -> Tensor:
        return torch.exp(-u.abs_())


@mark.surrogate("branching")
class Branching(Right):
    """Takes a way that hangs on a value."""

    def gradient(self, u: Tensor) -> Tensor:
        return super().gradient(u) if (u.abs() > 1).any() else torch.exp(-u.abs())


FAULTS: list[tuple[type[Surrogate], set[str]]] = [
    (Exponential, set()),
    (Lobed, set()),
    (Deaf, {"step_forward"}),
    (Stretched, {"backward_is_gradient"}),
    (Skewed, {"even"}),
    (Hollow, {"largest_at_the_threshold"}),
    (UpsideDown, {"largest_at_the_threshold"}),
    (Overflowing, {"finite"}),
    (Relative, {"element_wise"}),
    (Double, {"shape_and_dtype"}),
    (Annealed, {"stateless"}),
    (Scribbling, {"stateless"}),
    (Branching, {"runs_on_meta"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Surrogate], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_every_law_is_broken_by_some_fault() -> None:
    assert {law.name for law in BOOK.laws} == set().union(*(laws for _, laws in FAULTS))
