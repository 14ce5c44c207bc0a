"""What each setting of a neuron means, on traces worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from nastk.core.config import NeuronPart
from nastk.core.errors import ConfigError
from nastk.core.model.neuron import Neuron, ThresholdNeuron

SNNTORCH = {"decay_input": False, "compare": ">", "reset_timing": "next"}

# name, settings (with v_th = 1 unless given), input, spikes, membrane after each step
TRACES: list[tuple[str, dict[str, Any], list[float], list[int], list[float]]] = [
    ("if", {}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 1, 0, 1, 0], [0.5, 0.0, 0.75, 0.0, 0.5]),
    ("if", {"compare": ">"}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 0, 1, 0, 1], [0.5, 1.0, 0.0, 0.75, 0.0]),
    ("if", {"reset": "soft"}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 1, 0, 1, 1], [0.5, 0.0, 0.75, 0.5, 0.0]),
    ("if", {"reset": "none"}, [0.5, 0.5, -0.25, 0.75, 0.5], [0, 1, 0, 1, 1], [0.5, 1.0, 0.75, 1.5, 2.0]),
    ("if", {"v_th": 2.0, "v_reset": 1.0}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 1, 0, 1, 0], [1.5, 1.0, 1.75, 1.0, 1.5]),
    ("if", {"reset_timing": "next"}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 1, 0, 1, 0], [0.5, 1.0, 0.75, 1.5, 0.5]),
    ("if", {"reset": "soft", "reset_timing": "next"}, [0.5, 0.5, 0.75, 0.75, 0.5], [0, 1, 0, 1, 1], [0.5, 1.0, 0.75, 1.5, 1.0]),
    ("lif", {}, [1, 2, 1, 3, 0], [0, 1, 0, 1, 0], [0.5, 0.0, 0.5, 0.0, 0.0]),
    ("lif", {"reset": "soft"}, [1, 2, 1, 3, 0], [0, 1, 0, 1, 0], [0.5, 0.25, 0.625, 0.8125, 0.40625]),
    ("lif", {"v_reset": -0.5}, [1, 2, 2, 0, 3], [0, 0, 1, 0, 1], [0.0, 0.75, -0.5, -0.5, -0.5]),
    ("lif", {"decay_input": False}, [0.5, 0.75, 0.5, 0.5, 1.5], [0, 1, 0, 0, 1], [0.5, 0.0, 0.5, 0.75, 0.0]),
    ("lif", {"decay_input": False, "reset": "soft"}, [1.5, 0.5, 0.5, 1, 0], [1, 0, 0, 1, 0], [0.5, 0.75, 0.875, 0.4375, 0.21875]),
    ("lif", {"decay_input": False, "v_reset": -0.5}, [1, 0.5, 1, 1, 0], [0, 0, 1, 0, 0], [0.5, 0.5, -0.5, 0.5, 0.0]),
    ("lif", {**SNNTORCH, "reset": "soft"}, [1.5, 0.5, 0.5, 1, 0], [1, 0, 0, 1, 0], [1.5, 0.25, 0.625, 1.3125, -0.34375]),
    ("lif", {**SNNTORCH, "reset": "hard"}, [1.5, 0.5, 0.5, 1, 0], [1, 0, 0, 1, 0], [1.5, 0.5, 0.75, 1.375, 0.0]),
    ("lif", {"leak": "exponential", "tau": 1 / math.log(2)}, [1, 2, 1, 3, 0], [0, 1, 0, 1, 0], [0.5, 0.0, 0.5, 0.0, 0.0]),
    ("plif", {}, [1, 2, 1, 3, 0], [0, 1, 0, 1, 0], [0.5, 0.0, 0.5, 0.0, 0.0]),
    ("plif", {"reset": "soft"}, [1, 2, 1, 3, 0], [0, 1, 0, 1, 0], [0.5, 0.25, 0.625, 0.8125, 0.40625]),
    ("plif", {"tau": 4.0}, [2, 2, 2, 0, 5], [0, 0, 1, 0, 1], [0.5, 0.875, 0.0, 0.0, 0.0]),
    ("plif", {"decay_input": False, "v_reset": -0.5}, [1, 0.5, 1, 1, 0], [0, 0, 1, 0, 0], [0.5, 0.5, -0.5, 0.5, 0.0]),
    ("plif", {**SNNTORCH, "reset": "soft"}, [1.5, 0.5, 0.5, 1, 0], [1, 0, 0, 1, 0], [1.5, 0.25, 0.625, 1.3125, -0.34375]),
    ("plif", {**SNNTORCH, "reset": "hard"}, [1.5, 0.5, 0.5, 1, 0], [1, 0, 0, 1, 0], [1.5, 0.5, 0.75, 1.375, 0.0]),
]


def build(name: str, **settings: Any) -> Neuron[Any]:
    neuron: Neuron[Any] = NeuronPart.named(name, **settings).build()
    return neuron.double()


@pytest.mark.parametrize(("name", "settings", "x", "spikes", "membrane"), TRACES)
def test_trace(name: str, settings: dict[str, Any], x: list[float], spikes: list[int], membrane: list[float]) -> None:
    neuron = build(name, **{"v_th": 1.0, **settings})
    x_TB = torch.tensor(x, dtype=torch.float64)[:, None]
    state = neuron.initial_state(x_TB[0])
    seen_z, seen_v = [], []
    for x_B in x_TB:
        z_B, state = neuron.step(x_B, state)
        seen_z.append(z_B.item())
        seen_v.append(state.v.item())
    assert seen_z == spikes
    assert seen_v == pytest.approx(membrane, rel=1e-6, abs=1e-6)
    assert neuron(x_TB)[0][:, 0].tolist() == spikes


@pytest.mark.parametrize(("name", "k"), [("if", 1.0), ("lif", 0.5), ("plif", 0.5)])
def test_default_threshold_is_a_half(name: str, k: float) -> None:
    assert build(name)(torch.tensor([[0.25], [0.5], [0.125]], dtype=torch.float64) / k)[0][:, 0].tolist() == [0, 1, 0]


def test_relu_rectifies_each_step_and_has_nothing_to_learn() -> None:
    relu = build("relu")
    z, state = relu(torch.tensor([[-1.0, 2.0], [0.5, -3.0]]))
    assert z.tolist() == [[0.0, 2.0], [0.5, 0.0]]
    assert tuple(state) == ()
    assert list(relu.parameters()) == []
    assert not relu.spiking


@pytest.mark.parametrize(("tau", "k"), [(2.0, 0.5), (4.0, 0.25), (1.25, 0.8)])
def test_plif_starts_at_its_tau(tau: float, k: float) -> None:
    neuron = build("plif", tau=tau)
    (w,) = neuron.parameters()
    assert w.shape == ()
    assert w.item() == pytest.approx(-math.log(tau - 1), abs=1e-6)
    assert torch.sigmoid(w).item() == pytest.approx(k, abs=1e-6)
    assert neuron.tau.item() == pytest.approx(tau, rel=1e-6)


def test_plif_gradient_of_one_step() -> None:
    neuron = build("plif", tau=4.0, v_th=1.0, surrogate={"name": "triangle", "width": 2.0, "height": 1.0})
    neuron(torch.tensor([[2.0]], dtype=torch.float64))[0].sum().backward()
    # h = k x = 0.5; g(h - 1) = 1 - 0.5 / 2; dh/dw = x k (1 - k)
    assert neuron.w.grad.item() == pytest.approx(0.75 * 2 * 0.25 * 0.75, rel=1e-6)


# Input [1.5, 0] with 1 - 1/tau = 0.5 and v_th = 1 fires once. Rows: settings, h[2], dh[2]/dx[1]; g is the surrogate at h[1].
g = 1 - 0.5 / 4
RESETS = [
    ({"reset": "none"}, 0.75, 0.5),
    ({"reset": "soft"}, 0.25, 0.5 * (1 - g)),
    ({"reset": "soft", "detach_reset": True}, 0.25, 0.5),
    ({"reset": "hard"}, 0.0, 0.5 * -1.5 * g),
    ({"reset": "hard", "detach_reset": True}, 0.0, 0.0),
    ({"reset": "none", "reset_timing": "next"}, 0.75, 0.5),
    ({"reset": "soft", "reset_timing": "next"}, -0.25, 0.5 - g),
    ({"reset": "soft", "reset_timing": "next", "detach_reset": True}, -0.25, 0.5),
    ({"reset": "hard", "reset_timing": "next"}, 0.0, 0.5 * -1.5 * g),
    ({"reset": "hard", "reset_timing": "next", "detach_reset": True}, 0.0, 0.0),
]


@pytest.mark.parametrize(("settings", "h2", "through"), RESETS)
def test_gradient_through_the_reset(settings: dict[str, Any], h2: float, through: float) -> None:
    triangle = {"name": "triangle", "width": 4.0, "height": 1.0}
    neuron = build("lif", decay_input=False, v_th=1.0, surrogate=triangle, **settings)
    x = torch.tensor([[1.5], [0.0]], dtype=torch.float64, requires_grad=True)
    neuron(x)[0][1].sum().backward()
    assert x.grad[:, 0].tolist() == pytest.approx([(1 - abs(h2 - 1) / 4) * through, 1 - abs(h2 - 1) / 4])


def test_spike_dhs_is_a_setting() -> None:
    neuron = build("lif", tau=1.25, decay_input=False, v_th=0.5, compare=">", surrogate="dhs")
    x_TB = torch.rand(8, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.8
    v, expected = torch.zeros(64, dtype=torch.float64), []
    for x_B in x_TB:  # V <- V + X; S = [V > 0.5]; V <- 0.2 V (1 - S)
        v = v + x_B
        s = (v > 0.5).double()
        v = 0.2 * v * (1 - s)
        expected.append(s)
    assert 100 < torch.stack(expected).sum() < 400
    assert torch.equal(neuron(x_TB)[0], torch.stack(expected))


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("lif", {"tau": 0.9}, "tau"),
        ("plif", {"tau": 1.0}, "tau"),
        ("if", {"tau": 2.0}, "unknown setting"),
        ("plif", {"leak": "linear"}, "unknown setting"),
        ("lif", {"leak": "exponetial"}, "exponential"),
        ("if", {"v_th": 0.0}, "v_th"),
        ("if", {"v_reset": 0.5}, "v_reset must be below v_th .* got v_reset 0.5 and v_th 0.5"),
        ("plif", {"v_th": 1.0, "v_reset": 1.5}, "got v_reset 1.5 and v_th 1.0"),
        ("relu", {"v_th": 1.0}, "unknown setting"),
        ("lif", {"surrogate": {"name": "atan", "alpha": -1.0}}, "surrogate.alpha"),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        NeuronPart.named(name, **settings)


def test_rest_just_below_the_threshold_is_allowed() -> None:
    assert not build("if", v_th=1.0, v_reset=0.999)(torch.zeros(3, 2, dtype=torch.float64))[0].any()


def test_threshold_neurons_share_firing_and_reset() -> None:
    assert all(isinstance(build(name), ThresholdNeuron) for name in ("if", "lif", "plif"))
