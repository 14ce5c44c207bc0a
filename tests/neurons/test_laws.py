"""What holds for every bundled neuron, whatever its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import NeuronPart
from nastk.core.errors import ShapeError
from nastk.core.model.neuron import Neuron
from nastk.core.registry import registry
from nastk.core.types import Kind

NAMES = ("if", "lif", "plif", "relu")
SPIKING = ("if", "lif", "plif")
SURROGATES = ("atan", "sigmoid", "fast-sigmoid", "dhs")
every = pytest.mark.parametrize("name", NAMES)
every_spiking = pytest.mark.parametrize("name", SPIKING)
law = settings(deadline=None, max_examples=25)

firing = st.fixed_dictionaries(
    {
        "v_th": st.sampled_from([0.5, 1.0, 1.5]),
        "compare": st.sampled_from([">=", ">"]),
        "reset": st.sampled_from(["hard", "soft", "none"]),
        "v_reset": st.sampled_from([-0.5, 0.0, 0.25]),
        "reset_timing": st.sampled_from(["same", "next"]),
        "detach_reset": st.booleans(),
        "surrogate": st.sampled_from(SURROGATES),
    }
)
leaky = st.fixed_dictionaries({"tau": st.sampled_from([1.25, 2.0, 3.0, 20.0]), "decay_input": st.booleans()})
linear_or_not = st.fixed_dictionaries({"leak": st.sampled_from(["linear", "exponential"])})


@st.composite
def settings_of(draw: st.DrawFn, name: str) -> dict[str, Any]:
    drawn: dict[str, Any] = {} if name == "relu" else draw(firing)
    drawn |= draw(leaky) if name in ("lif", "plif") else {}
    drawn |= draw(linear_or_not) if name == "lif" else {}
    return drawn


@st.composite
def currents(draw: st.DrawFn) -> Tensor:
    """``(T, B, *F)``, large enough for many spikes."""
    shape = draw(st.tuples(st.integers(2, 6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.randn(shape, generator=generator, dtype=torch.float64) * draw(st.sampled_from([1.0, 3.0]))


def neuron_of(name: str, data: st.DataObject) -> Neuron[Any]:
    neuron: Neuron[Any] = NeuronPart.named(name, **data.draw(settings_of(name))).build()
    return neuron


def same_state(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return type(left) is type(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_no_bundled_neuron_is_left_out() -> None:
    ours = {e.name for e in registry().entries(Kind.NEURON) if e.source.distribution == "nastk"}
    assert set(NAMES) <= ours


@every
@law
@given(data=st.data(), x_TBF=currents())
def test_causal(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron, now = neuron_of(name, data), data.draw(st.integers(1, len(x_TBF) - 1))
    other = x_TBF.clone()
    other[now:] = other[now:].flip(0) * -2 + 1
    assert torch.equal(neuron(x_TBF)[0][:now], neuron(other)[0][:now])


@every
@law
@given(data=st.data(), x_TBF=currents())
def test_splittable(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron, cut = neuron_of(name, data), data.draw(st.integers(1, len(x_TBF) - 1))
    whole, end = neuron(x_TBF)
    first, state = neuron(x_TBF[:cut])
    second, last = neuron(x_TBF[cut:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert same_state(last, end)


@every
@law
@given(data=st.data(), x_TBF=currents())
def test_samples_and_features_do_not_mix(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron = neuron_of(name, data)
    whole, _ = neuron(x_TBF)
    for b in range(x_TBF.shape[1]):
        assert torch.equal(neuron(x_TBF[:, b : b + 1])[0], whole[:, b : b + 1])
    assert torch.equal(neuron(x_TBF.flip(-1))[0], whole.flip(-1))


@every
@law
@given(data=st.data(), x_TBF=currents(), between=currents())
def test_repeatable_whatever_ran_between(name: str, data: st.DataObject, x_TBF: Tensor, between: Tensor) -> None:
    neuron = neuron_of(name, data)
    before, end = neuron(x_TBF)
    neuron(between)
    again, last = neuron(x_TBF)
    assert torch.equal(before, again)
    assert same_state(end, last)


@every_spiking
@law
@given(data=st.data(), x_TBF=currents())
def test_output_is_binary(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron = neuron_of(name, data)
    assert neuron.spiking
    z, _ = neuron(x_TBF)
    assert z.shape == x_TBF.shape
    assert ((z == 0) | (z == 1)).all()


@every
@law
@given(data=st.data(), x_TBF=currents())
def test_silent_at_rest(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron = neuron_of(name, data)
    z, state = neuron(torch.zeros_like(x_TBF))
    assert not z.any()
    assert same_state(state, neuron.initial_state(x_TBF[0])), "rest is a fixed point"


@every_spiking
@law
@given(data=st.data())
def test_strong_input_fires_at_every_step(name: str, data: st.DataObject) -> None:
    z, _ = neuron_of(name, data)(torch.full((4, 1, 2), 100.0, dtype=torch.float64))
    assert z.all()


@every
@law
@given(data=st.data(), x_TBF=currents(), dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
def test_dtype_follows_the_input(name: str, data: st.DataObject, x_TBF: Tensor, dtype: torch.dtype) -> None:
    z, state = neuron_of(name, data)(x_TBF.to(dtype))
    assert z.dtype == dtype
    assert all(part.dtype == dtype and part.shape == x_TBF.shape[1:] for part in state)


@every
@law
@given(data=st.data(), x_TBF=currents())
def test_gradient_reaches_the_input_and_every_parameter(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    # atan is positive everywhere. With decay_input=False, a membrane kept at rest would leave no gradient for w.
    drawn = data.draw(settings_of(name)) | ({} if name == "relu" else {"surrogate": "atan"})
    drawn |= {"decay_input": True} if name == "plif" else {}
    neuron = NeuronPart.named(name, **drawn).build()
    x_TBF = x_TBF.abs().requires_grad_()
    z, _ = neuron(x_TBF)
    z.sum().backward()
    assert x_TBF.grad.isfinite().all()
    assert x_TBF.grad[-1].all(), "the last step's input decides the last step's output"
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad != 0 for p in neuron.parameters())
    assert len(list(neuron.parameters())) == (1 if name == "plif" else 0)


@every_spiking
@law
@given(data=st.data(), x_TBF=currents())
def test_state_of_another_shape_is_refused(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron = neuron_of(name, data)
    _, state = neuron(x_TBF)
    larger = torch.cat([x_TBF, x_TBF[:, :1]], dim=1)
    with pytest.raises(ShapeError, match="state of shape"):
        neuron(larger, state)


@every
def test_no_time_step_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=r"at least one time step, got an input of shape \(0, 2, 3\)"):
        NeuronPart.named(name).build()(torch.zeros(0, 2, 3))
