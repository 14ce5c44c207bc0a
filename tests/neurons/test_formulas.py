"""Neurons of libraries that are not installed here, from their published equations, written down once more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import NeuronPart
from nastk.core.errors import ConfigError

one = st.sampled_from
law = settings(deadline=None, max_examples=60)


def currents(T: int, seed: int, mean: float = 0.4) -> Tensor:
    """``(T, 4, 6)`` in float64."""
    return torch.randn(T, 4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.5 + mean


def step(u: Tensor, alpha: float = 2.0) -> Tensor:
    """1 where u >= 0, with the gradient of an arc tangent: what ``atan`` says, by another way."""
    soft = torch.atan(math.pi / 2 * alpha * u) / math.pi + 0.5
    return (u >= 0).to(u.dtype) - soft.detach() + soft


def agree(name: str, given: dict[str, Any], reference: Callable[[Tensor], Tensor], x: Tensor, learned: bool = False) -> None:
    neuron = NeuronPart.named(name, **given).build().double()
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    z, r = neuron(a)[0], reference(b)
    assert torch.equal(z, r.detach().round())
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (z * weights).sum().backward()
    (r * weights).sum().backward()
    assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12)
    assert a.grad.any()
    assert bool(list(neuron.parameters())) == learned


ALIF = {
    "v_th": one([0.5, 1.0]),
    "tau": one([1.5, 4.0]),
    "tau_adapt": one([2.0, 20.0]),
    "beta": one([0.0, 1.8]),
    "relative": st.booleans(),
    "reset": one(["hard", "soft", "none"]),
    "detach_reset": st.booleans(),
    "reset_timing": one(["same", "next"]),
    "learn": st.booleans(),
}


@law
@given(c=st.fixed_dictionaries(ALIF), T=st.integers(1, 7), seed=st.integers(0, 2**31))
def test_alif_is_the_adaptive_neuron_of_bellec_and_sinabs(c: dict[str, Any], T: int, seed: int) -> None:
    def reference(x: Tensor) -> Tensor:
        keep, rho = math.exp(-1 / c["tau"]), math.exp(-1 / c["tau_adapt"])
        v = b = z = threshold = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            reset = z.detach() if c["detach_reset"] else z
            hard, soft = c["reset"] == "hard", c["reset"] == "soft"
            if c["reset_timing"] == "next":
                b = rho * b + (1 - rho) * z
                v = keep * (v * (1 - reset) if hard else v) + (1 - keep) * current - (reset * threshold if soft else 0)
            else:
                v = v * (1 - reset) if hard else v - (reset * threshold if soft else 0)
                b = rho * b + (1 - rho) * z
                v = keep * v + (1 - keep) * current
            threshold = c["v_th"] + c["beta"] * b
            z = step((v - threshold) / threshold if c["relative"] else v - threshold)
            spikes.append(z)
        return torch.stack(spikes)

    x = currents(T, seed)
    if c["learn"]:  # the learned constants begin in float32
        neuron = NeuronPart.named("alif", leak="exponential", **c).build().double()
        assert torch.equal(neuron(x)[0], reference(x).detach().round())
        assert 1 / neuron.tau.item() == pytest.approx(1 - math.exp(-1 / c["tau"]), rel=1e-6)
        assert neuron.rho.item() == pytest.approx(math.exp(-1 / c["tau_adapt"]), rel=1e-6)
        assert sorted(dict(neuron.named_parameters())) == ["w", "w_adapt"]
    else:
        agree("alif", {"leak": "exponential", **c}, reference, x)


def test_alif_by_hand() -> None:
    """tau 2, rho a half, beta 1: a spike raises the threshold from 1 to 1.5, then it falls by halves."""
    neuron = NeuronPart.named("alif", v_th=1.0, tau_adapt=1 / math.log(2), beta=1.0, reset="soft", relative=False).build()
    x = torch.tensor([[2.5], [3.0], [3.0], [0.0]], dtype=torch.float64)
    state, seen = neuron.initial_state(x[0]), []
    for current in x:
        z, state = neuron.step(current, state)
        seen.append((z.item(), state.v.item(), state.b.item()))
    # v: 1.25 fires (1) -> 0.25; 1.625 fires (1.5) -> 0.125; 1.5625 is below 1.75; 0.78125
    assert seen == [pytest.approx(s) for s in ((1, 0.25, 0.5), (1, 0.125, 0.75), (0, 1.5625, 0.375), (0, 0.78125, 0.1875))]


def test_without_adaptation_alif_is_lif() -> None:
    x = currents(8, 2)
    for timing in ("same", "next"):
        for reset in ("hard", "soft", "none"):
            same: dict[str, Any] = {"reset": reset, "reset_timing": timing, "v_reset": -0.3}
            adaptive = NeuronPart.named("alif", beta=0.0, relative=False, **same).build()
            assert torch.equal(adaptive(x)[0], NeuronPart.named("lif", **same).build()(x)[0])


IZHIKEVICH = {
    "regular spiking": {},
    "chattering": {"c": -50.0, "d": 2.0},
    "fast spiking": {"a": 0.1, "d": 2.0},
    "resonator": {"a": 0.1, "b": 0.26, "c": -60.0, "d": -1.0},
    "class 1": {"b": -0.1, "c": -55.0, "d": 6.0, "mn": 4.1, "bias": 108.0},
    "coarse": {"dt": 0.5, "gain": 30.0},
}


@pytest.mark.parametrize("cell", IZHIKEVICH)
@pytest.mark.parametrize("detach", [False, True])
def test_izhikevich_is_the_model_of_his_paper(cell: str, detach: bool) -> None:
    given = IZHIKEVICH[cell]
    c = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "mn": 5.0, "bias": 140.0, "dt": 0.25, "gain": 100.0} | given
    rest = float(min(np.roots([0.04, c["mn"] - c["b"], c["bias"]]).real))

    def reference(x: Tensor) -> Tensor:
        v, u, spikes = torch.full_like(x[0], rest), torch.full_like(x[0], c["b"] * rest), []
        for current in x:
            dv = 0.04 * v**2 + c["mn"] * v + c["bias"] - u + c["gain"] * current
            du = c["a"] * (c["b"] * v - u)
            v, u = v + c["dt"] * dv, u + c["dt"] * du
            z = step((v - 30) / (30 - rest))
            spikes.append(z)
            reset = z.detach() if detach else z
            v, u = v * (1 - reset) + c["c"] * reset, u + c["d"] * reset
        return torch.stack(spikes)

    x = currents(40, 5).abs()
    agree("izhikevich", {**given, "detach_reset": detach}, reference, x)
    assert 0.02 < reference(x).mean() < 0.9


def test_izhikevich_fires_tonically_and_adapts() -> None:
    """The regular spiking cell under 10 units of current for 300 ms, as in figure 2 of the paper: intervals grow."""
    neuron = NeuronPart.named("izhikevich", gain=10.0).build()
    fired = neuron(torch.ones(1200, 1, dtype=torch.float64))[0].flatten().nonzero().flatten()
    intervals = fired.diff() * 0.25
    assert 5 <= len(fired) <= 15
    assert intervals[-1] > 1.3 * intervals[0]


def test_dhs_is_lif_with_its_constants() -> None:
    part = NeuronPart.named("lif", tau=1.25, decay_input=False, v_th=0.5, compare=">", surrogate="dhs")
    x = currents(8, 3)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    z, other = NeuronPart.named("dhs").build()(a)[0], part.build()(b)[0]
    assert torch.equal(z, other)
    z.sum().backward()
    other.sum().backward()
    assert torch.equal(a.grad, b.grad)
    assert a.grad.any()


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("klif", {"k": 0.0}, "k"),
        ("klif", {"reset_timing": "next"}, "unknown setting"),
        ("clif", {"reset": "hard"}, "unknown setting"),
        ("ternary", {"v_reset": -0.5}, "v_reset must be above -v_th, got v_reset -0.5 and v_th 0.5"),
        ("ternary", {"v_reset": 0.5}, "v_reset must be below v_th"),
        ("qif", {"v_c": 0.0}, "v_c must be above v_rest"),
        ("qif", {"v_rest": 0.5}, "v_rest must be below v_th"),
        ("qif", {"reset": "soft"}, "unknown setting"),
        ("eif", {"delta_t": 0.001}, "must be at most 50, else the exponential term overflows"),
        ("izhikevich", {"b": 0.3}, "fires by itself"),
        ("izhikevich", {"c": 30.0}, "v_peak must be above c"),
        ("cuba-lif", {"alpha": 1.1}, "alpha"),
        ("alif", {"learn": True, "tau": 1.0}, "tau must be above 1 to be learned, got 1.0"),
        ("gated-lif", {"v_th": 1.0}, "v_th"),
        ("masked-psn", {"order": 0}, "order"),
        ("signed", {"neuron": {"name": "lif", "tau": 0.5}}, "neuron.tau"),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        NeuronPart.named(name, **settings)
