"""Surrogate gradients: formula, evenness, area, and the link to the spike."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import SurrogatePart
from nastk.core.model.surrogate import Surrogate
from nastk.core.registry import registry
from nastk.core.types import Kind

CASES: list[tuple[str, dict[str, Any]]] = [
    ("atan", {}),
    ("atan", {"alpha": 5.0}),
    ("sigmoid", {}),
    ("sigmoid", {"alpha": 25.0}),
    ("fast-sigmoid", {}),
    ("fast-sigmoid", {"slope": 1.0, "scale": 3.0}),
    ("triangle", {}),
    ("triangle", {"width": 0.5, "height": 2.0}),
    ("piecewise-quadratic", {}),
    ("piecewise-quadratic", {"alpha": 2.0}),
    ("dhs", {}),
    ("dhs", {"b": 5.0}),
    ("piecewise-exp", {}),
    ("piecewise-exp", {"alpha": 4.0}),
    ("single-exponential", {}),
    ("single-exponential", {"width": 0.5, "scale": 2.0}),
    ("erf", {}),
    ("erf", {"alpha": 0.7}),
    ("soft-sign", {}),
    ("soft-sign", {"alpha": 5.0}),
    ("nonzero-sign-log-abs", {}),
    ("nonzero-sign-log-abs", {"alpha": 3.0}),
    ("rectangle", {}),
    ("rectangle", {"alpha": 2.5}),
]
every = pytest.mark.parametrize(("name", "config"), CASES)

# name, settings, u, g(u) worked out by hand
POINTS = [
    ("atan", {}, 0.0, 1.0),
    ("atan", {}, 1 / math.pi, 0.5),
    ("atan", {"alpha": 4.0}, 1 / (2 * math.pi), 1.0),
    ("sigmoid", {}, 0.0, 1.0),
    ("sigmoid", {}, math.log(3) / 4, 4 * 0.75 * 0.25),
    ("sigmoid", {"alpha": 1.0}, math.log(4), 0.8 * 0.2),
    ("fast-sigmoid", {}, 0.0, 1.0),
    ("fast-sigmoid", {}, 0.04, 0.25),
    ("fast-sigmoid", {"slope": 1.0, "scale": 3.0}, 2.0, 3 / 9),
    ("triangle", {}, 0.0, 0.3),
    ("triangle", {}, 0.5, 0.15),
    ("triangle", {"width": 2.0, "height": 1.0}, 1.5, 0.25),
    ("triangle", {}, 1.5, 0.0),
    ("piecewise-quadratic", {}, 0.25, 0.75),
    ("piecewise-quadratic", {"alpha": 2.0}, 0.25, 1.0),
    ("piecewise-quadratic", {"alpha": 2.0}, 0.75, 0.0),
    ("dhs", {}, 0.0, 3 / (2 * math.tanh(1.5))),
    ("dhs", {"b": 5.0}, 0.2, 5 * (1 - math.tanh(1.0) ** 2) / (2 * math.tanh(2.5))),
    ("dhs", {}, 0.5, 0.0),
    ("dhs", {}, 0.6, 0.0),
    ("piecewise-exp", {}, 0.0, 0.5),
    ("piecewise-exp", {"alpha": 2.0}, math.log(4) / 2, 0.25),
    ("single-exponential", {}, 0.0, 4.0),
    ("single-exponential", {"width": 0.5, "scale": 3.0}, 0.5, 6 / math.e),
    ("erf", {}, 0.0, 2 / math.sqrt(math.pi)),
    ("erf", {"alpha": 1.0}, math.sqrt(math.log(2)), 0.5 / math.sqrt(math.pi)),
    ("soft-sign", {}, 0.0, 1.0),
    ("soft-sign", {"alpha": 4.0}, 0.25, 0.5),
    ("nonzero-sign-log-abs", {}, 0.0, 1.0),
    ("nonzero-sign-log-abs", {"alpha": 2.0}, 1.5, 0.5),
    ("rectangle", {}, 0.0, 1.0),
    ("rectangle", {"alpha": 2.0}, 0.24, 2.0),
    ("rectangle", {"alpha": 2.0}, 0.25, 0.0),
]


def build(name: str, config: dict[str, Any]) -> Surrogate:
    surrogate: Surrogate = SurrogatePart.named(name, **config).build()
    return surrogate


def test_no_bundled_surrogate_is_left_out() -> None:
    ours = [e.name for e in registry().entries(Kind.SURROGATE) if e.source.distribution == "nastk"]
    assert sorted({name for name, _ in CASES}) == ours


@pytest.mark.parametrize(("name", "config", "u", "expected"), POINTS)
def test_formula(name: str, config: dict[str, Any], u: float, expected: float) -> None:
    assert build(name, config).gradient(torch.tensor(u, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-12)


@every
@settings(deadline=None, max_examples=40)
@given(magnitudes=st.lists(st.floats(0, 20), min_size=1, max_size=8).map(sorted))
def test_even_bounded_and_falling(name: str, config: dict[str, Any], magnitudes: list[float]) -> None:
    surrogate, u = build(name, config), torch.tensor(magnitudes, dtype=torch.float64)
    at_u = surrogate.gradient(u)
    assert torch.allclose(at_u, surrogate.gradient(-u), rtol=1e-9, atol=1e-12)
    assert (at_u >= 0).all()
    assert (at_u.diff() <= 1e-12).all(), "largest at the threshold, falling away from it"


@every
def test_area(name: str, config: dict[str, Any]) -> None:
    """Those that are the derivative of a step from 0 to 1 have area 1; the others have the area they document."""
    surrogate = build(name, config)
    # u = tan(angle) covers the whole line, tails included
    angle = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000 * math.pi - math.pi / 2
    area = (surrogate.gradient(torch.tan(angle)) / torch.cos(angle) ** 2).mean().item() * math.pi
    documented = {
        "fast-sigmoid": 2 * config.get("scale", 1.0) / config.get("slope", 25.0),
        "triangle": config.get("width", 1.0) * config.get("height", 0.3),
        "single-exponential": 2 * config.get("scale", 1.0),
    }
    if name == "nonzero-sign-log-abs":  # the area within a million, of a tail without end
        far = torch.linspace(0, math.log(1e6), 100_000, dtype=torch.float64)
        inside = 2 * torch.trapezoid(surrogate.gradient(torch.exp(far)) * torch.exp(far), far).item()
        assert inside > 2 * math.log(1e6 / 2)
        return
    assert area == pytest.approx(documented.get(name, 1.0), rel=1e-4)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compare", [">=", ">"])
def test_step_forward_gradient_backward(name: str, config: dict[str, Any], dtype: torch.dtype, compare: Any) -> None:
    surrogate = build(name, config)
    u = torch.tensor([-1.5, -0.3, -0.0, 0.0, 0.3, 1.5], dtype=dtype, requires_grad=True)
    upstream = torch.tensor([1.0, -2.0, 3.0, 1.0, 0.5, 2.0], dtype=dtype)
    z = surrogate.spike(u, compare)
    tie = 1.0 if compare == ">=" else 0.0
    assert z.dtype == dtype
    assert z.tolist() == [0.0, 0.0, tie, tie, 1.0, 1.0]
    z.backward(upstream)
    with torch.no_grad():
        expected = surrogate.gradient(u)
    assert expected.dtype == dtype
    assert torch.equal(u.grad, upstream * expected)
