"""snnTorch 1's Leaky and surrogates are settings of ours: equal spikes, equal gradients (float64).

snnTorch's spikes, and with them its upstream gradients, are float32; hence the tolerance.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nastk.core.config import NeuronPart, SurrogatePart

snntorch = pytest.importorskip("snntorch")
surrogates = pytest.importorskip("snntorch.surrogate")

DELAYED: dict[str, Any] = {"v_th": 1.0, "compare": ">", "reset_timing": "next", "detach_reset": True}
RESETS = {"subtract": "soft", "zero": "hard", "none": "none"}
# their function, its arguments, our surrogate
SURROGATES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("atan", {}, {"name": "atan"}),
    ("atan", {"alpha": 5.0}, {"name": "atan", "alpha": 5.0}),
    ("fast_sigmoid", {}, {"name": "fast-sigmoid"}),
    ("fast_sigmoid", {"slope": 4}, {"name": "fast-sigmoid", "slope": 4.0}),
    ("sigmoid", {}, {"name": "sigmoid", "alpha": 25.0}),
    ("sigmoid", {"slope": 4}, {"name": "sigmoid", "alpha": 4.0}),
]


def currents(T: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, 16, 32, generator=generator, dtype=torch.float64) + 0.3


def scan(leaky: torch.nn.Module, x: Tensor) -> Tensor:
    spikes, mem = [], torch.zeros_like(x[0])
    for current in x:
        spike, mem = leaky(current, mem)
        spikes.append(spike)
    return torch.stack(spikes)


def leaky_of(beta: float, mechanism: str, surrogate: Any, threshold: float = 1.0) -> torch.nn.Module:
    exact = {"beta": torch.tensor(beta, dtype=torch.float64), "threshold": torch.tensor(threshold, dtype=torch.float64)}
    leaky: torch.nn.Module = snntorch.Leaky(**exact, reset_mechanism=mechanism, spike_grad=surrogate)
    return leaky


def agree(part: Any, leaky: torch.nn.Module, T: int = 8) -> None:
    x = currents(T, seed=T).requires_grad_()
    y = x.detach().clone().requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(T + 1), dtype=torch.float64)
    z, _ = part.build()(x)
    s = scan(leaky, y)
    assert torch.equal(z, s.double())
    assert 0.1 < z.mean() < 0.9, "too few spikes, or too many, to compare anything"
    (z * weights).sum().backward()
    (s * weights).sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=1e-6, atol=1e-6)
    assert y.grad.any()


@pytest.mark.parametrize("mechanism", RESETS)
@pytest.mark.parametrize(("surrogate", "arguments", "ours"), SURROGATES)
def test_leaky(mechanism: str, surrogate: str, arguments: dict[str, Any], ours: dict[str, Any]) -> None:
    part = NeuronPart.named("lif", tau=2.5, decay_input=False, reset=RESETS[mechanism], surrogate=ours, **DELAYED)
    agree(part, leaky_of(1 - 1 / 2.5, mechanism, getattr(surrogates, surrogate)(**arguments)))


@pytest.mark.parametrize("mechanism", RESETS)
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_leaky_of_any_beta_and_threshold(mechanism: str, beta: float, threshold: float) -> None:
    delayed = {**DELAYED, "v_th": threshold}
    part = NeuronPart.named("lif", tau=1 / (1 - beta), decay_input=False, reset=RESETS[mechanism], **delayed)
    agree(part, leaky_of(beta, mechanism, surrogates.atan(), threshold))


def test_leaky_with_exponential_leak() -> None:
    part = NeuronPart.named("lif", tau=3.0, leak="exponential", decay_input=False, reset="soft", **DELAYED)
    agree(part, leaky_of(math.exp(-1 / 3.0), "subtract", surrogates.atan()))


@pytest.mark.parametrize("mechanism", RESETS)
def test_leaky_without_leak_is_if(mechanism: str) -> None:
    agree(NeuronPart.named("if", reset=RESETS[mechanism], **DELAYED), leaky_of(1.0, mechanism, surrogates.atan()), T=4)


def test_plif_at_its_start_is_leaky() -> None:
    part = NeuronPart.named("plif", tau=2.0, decay_input=False, reset="soft", **DELAYED)
    agree(part, leaky_of(0.5, "subtract", surrogates.atan()))


@pytest.mark.parametrize(("surrogate", "arguments", "ours"), SURROGATES)
def test_surrogate(surrogate: str, arguments: dict[str, Any], ours: dict[str, Any]) -> None:
    u = torch.linspace(-3, 3, 301, dtype=torch.float64)
    v = u.clone().requires_grad_()
    spikes = getattr(surrogates, surrogate)(**arguments)(v)
    spikes.sum().backward()
    mine = SurrogatePart.from_flat(ours["name"], {k: x for k, x in ours.items() if k != "name"}).build()
    assert torch.equal(mine.spike(u, ">"), spikes.detach().double())
    assert torch.allclose(mine.gradient(u), v.grad, rtol=1e-6, atol=1e-9)
