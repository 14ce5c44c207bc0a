"""SpikingJelly 2's neurons and surrogates are settings of ours: equal spikes, equal gradients (float64)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from nastk.core.config import NeuronPart, SurrogatePart
from nastk.core.model.neuron import Neuron

sj_neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
sj_surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")

# their class, its arguments, our surrogate
SURROGATES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ATan", {}, {"name": "atan"}),
    ("ATan", {"alpha": 5.0}, {"name": "atan", "alpha": 5.0}),
    ("Sigmoid", {}, {"name": "sigmoid"}),
    ("Sigmoid", {"alpha": 1.5}, {"name": "sigmoid", "alpha": 1.5}),
    ("SuperSpike", {}, {"name": "fast-sigmoid", "slope": 1.0, "scale": 1.0}),
    ("SuperSpike", {"alpha": 3.0}, {"name": "fast-sigmoid", "slope": 1.0, "scale": 3.0}),
    ("PiecewiseQuadratic", {}, {"name": "piecewise-quadratic"}),
    ("PiecewiseQuadratic", {"alpha": 2.0}, {"name": "piecewise-quadratic", "alpha": 2.0}),
    ("PiecewiseQuadratic", {"alpha": 2.0}, {"name": "triangle", "width": 0.5, "height": 2.0}),
    ("PiecewiseExp", {}, {"name": "piecewise-exp"}),
    ("PiecewiseExp", {"alpha": 4.0}, {"name": "single-exponential", "width": 0.25, "scale": 0.5}),
    ("SoftSign", {}, {"name": "soft-sign"}),
    ("Erf", {}, {"name": "erf"}),
    ("NonzeroSignLogAbs", {}, {"name": "nonzero-sign-log-abs"}),
    ("Rect", {}, {"name": "rectangle"}),
    ("Rect", {"alpha": 0.6}, {"name": "rectangle", "alpha": 0.6}),
]
RESETS: list[tuple[float | None, dict[str, Any]]] = [(0.0, {}), (-0.4, {"v_reset": -0.4}), (None, {"reset": "soft"})]
NEURONS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("IFNode", {}, "if", {}),
    ("LIFNode", {"tau": 2.0, "decay_input": True}, "lif", {}),
    ("LIFNode", {"tau": 2.0, "decay_input": False}, "lif", {"decay_input": False}),
    ("LIFNode", {"tau": 3.7, "decay_input": True}, "lif", {"tau": 3.7}),
    ("LIFNode", {"tau": 3.7, "decay_input": False}, "lif", {"tau": 3.7, "decay_input": False}),
    ("ParametricLIFNode", {"init_tau": 2.0, "decay_input": True}, "plif", {}),
    ("ParametricLIFNode", {"init_tau": 3.7, "decay_input": True}, "plif", {"tau": 3.7}),
    ("ParametricLIFNode", {"init_tau": 3.7, "decay_input": False}, "plif", {"tau": 3.7, "decay_input": False}),
]


def currents(T: int, seed: int, gain: float = 2.0) -> Tensor:
    """``(T, 16, 32)``: positive on average, and strong enough to cross the threshold often."""
    generator = torch.Generator().manual_seed(seed)
    return gain * (torch.randn(T, 16, 32, generator=generator, dtype=torch.float64) + 0.4)


def agree(ours: Neuron[Any], theirs: torch.nn.Module, T: int, seed: int = 0, gain: float = 2.0) -> None:
    x = currents(T, seed, gain).requires_grad_()
    y = x.detach().clone().requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    z, _ = ours(x)
    s = theirs(y)
    assert torch.equal(z, s.double())
    assert 0.1 < z.mean() < 0.9, "too few spikes, or too many, to compare anything"
    (z * weights).sum().backward()
    (s * weights).sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=1e-6, atol=1e-6)
    assert y.grad.any()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.detach().item() == pytest.approx(q.detach().item(), abs=1e-12)
        assert p.grad.item() == pytest.approx(q.grad.item(), rel=1e-6, abs=1e-6)
        assert q.grad != 0


def theirs_of(name: str, arguments: dict[str, Any], surrogate: str, surrogate_arguments: dict[str, Any]) -> torch.nn.Module:
    made = getattr(sj_surrogate, surrogate)(**surrogate_arguments)
    node: torch.nn.Module = getattr(sj_neuron, name)(**arguments, surrogate_function=made, step_mode="m")
    return node.double()


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize(("v_reset", "reset"), RESETS)
@pytest.mark.parametrize(("name", "arguments", "our_name", "ours"), NEURONS)
def test_neuron(
    name: str,
    arguments: dict[str, Any],
    our_name: str,
    ours: dict[str, Any],
    v_reset: float | None,
    reset: dict[str, Any],
    detach: bool,
) -> None:
    neuron = NeuronPart.named(our_name, **ours, **reset, v_th=1.0, detach_reset=detach, surrogate="sigmoid").build().double()
    node = theirs_of(name, {**arguments, "v_reset": v_reset, "detach_reset": detach}, "Sigmoid", {})
    # an input that leaks is divided by tau: make up for it, so that it fires as often
    agree(neuron, node, T=8, gain=ours.get("tau", 2.0) if ours.get("decay_input", True) else 1.0)


@pytest.mark.parametrize(("name", "our_name"), [("IFNode", "if"), ("LIFNode", "lif"), ("ParametricLIFNode", "plif")])
@pytest.mark.parametrize(("surrogate", "arguments", "our_surrogate"), SURROGATES)
def test_neuron_with_every_surrogate(
    name: str, our_name: str, surrogate: str, arguments: dict[str, Any], our_surrogate: dict[str, Any]
) -> None:
    for T, v_threshold in itertools.product((1, 4), (1.0, 0.6)):
        neuron = NeuronPart.named(our_name, v_th=v_threshold, surrogate=our_surrogate).build().double()
        agree(neuron, theirs_of(name, {"v_threshold": v_threshold}, surrogate, arguments), T, seed=T)


@pytest.mark.parametrize(("surrogate", "arguments", "our_surrogate"), SURROGATES)
def test_surrogate(surrogate: str, arguments: dict[str, Any], our_surrogate: dict[str, Any]) -> None:
    u = torch.linspace(-3, 3, 301, dtype=torch.float64)
    v = u.clone().requires_grad_()
    spikes = getattr(sj_surrogate, surrogate)(**arguments)(v)
    spikes.sum().backward()
    ours = SurrogatePart.from_flat(our_surrogate["name"], {k: x for k, x in our_surrogate.items() if k != "name"}).build()
    assert torch.equal(ours.spike(u), spikes.detach())
    assert torch.allclose(ours.gradient(u), v.grad, rtol=1e-12, atol=1e-15)


def test_state_carries_over_as_their_memory_does() -> None:
    neuron = NeuronPart.named("lif", v_th=1.0, surrogate="sigmoid").build()
    node = theirs_of("LIFNode", {"tau": 2.0}, "Sigmoid", {})
    x = currents(8, seed=5)
    z, state = neuron(x[:3])
    assert torch.equal(torch.cat([z, neuron(x[3:], state)[0]]), torch.cat([node(x[:3]), node(x[3:])]))
