"""The compiled neuron: equal to the scan of ``step``, keeps its input alone, and steps aside where it has no answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core import native
from nastk.core.config import NeuronPart, SurrogatePart
from nastk.core.model import fused
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.neuron import MembraneState, ThresholdNeuron
from nastk.core.model.surrogate import Surrogate
from nastk.core.registry import registry
from nastk.core.types import Kind
from nastk.neurons.lif import LIF, LIFConfig
from nastk.neurons.surrogates import ATan, ATanConfig

pytestmark = pytest.mark.skipif(native.load("neuron") is None, reason="there is no compiler")
law = settings(deadline=None, max_examples=60)

one = st.sampled_from
SURROGATES = {
    "atan": {"alpha": one([2.0, 5.0])},
    "sigmoid": {"alpha": one([4.0, 25.0])},
    "fast-sigmoid": {"slope": one([25.0, 1.0]), "scale": one([1.0, 3.0])},
    "triangle": {"width": one([1.0, 0.3]), "height": one([0.3, 2.0])},
    "piecewise-quadratic": {"alpha": one([1.0, 2.5])},
    "dhs": {"b": one([3.0, 5.0])},
    "soft-sign": {"alpha": one([2.0, 5.0])},
}
SCANNED = ("piecewise-exp", "single-exponential", "erf", "nonzero-sign-log-abs", "rectangle")
"""Surrogates that the kernel does not know."""
FIRING = {
    "v_th": one([0.5, 1.0, 1.3]),
    "compare": one([">=", ">"]),
    "reset": one(["hard", "soft", "none"]),
    "v_reset": one([-0.5, 0.0, 0.25]),
    "reset_timing": one(["same", "next"]),
    "detach_reset": st.booleans(),
}
LEAK = {"tau": one([1.25, 2.0, 3.0, 20.0]), "decay_input": st.booleans()}
NEURONS = {"if": {}, "lif": LEAK | {"leak": one(["linear", "exponential"])}, "plif": LEAK}
SHAPES = [(1,), (7,), (2, 5), (3, 4, 5, 2), (1, 16, 8, 8), (2, 33, 7, 5)]


@st.composite
def neurons(draw: st.DrawFn, dtype: torch.dtype) -> ThresholdNeuron:
    name, surrogate = draw(one(sorted(NEURONS))), draw(one(sorted(SURROGATES)))
    drawn = draw(st.fixed_dictionaries(FIRING | NEURONS[name]))
    drawn["surrogate"] = {"name": surrogate, **draw(st.fixed_dictionaries(SURROGATES[surrogate]))}
    built = NeuronPart.named(name, **drawn).build().to(dtype)
    assert isinstance(built, ThresholdNeuron)
    return built


@st.composite
def inputs(draw: st.DrawFn, dtype: torch.dtype) -> Tensor:
    """``(T, B, *F)``: many spikes, some membranes exactly at the threshold, layouts dense and not."""
    shape = (draw(st.integers(1, 7)), *draw(one(SHAPES)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(shape, generator=generator, dtype=dtype) + 0.3
    x = draw(one([x, x * 3, (x * 4).round() / 4]))
    layout = draw(one(["dense", "channels_last", "expanded", "sliced", "time inside"]))
    if layout == "channels_last" and x.dim() == 5:
        return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, shape[:2])
    if layout == "expanded":
        return x[:1].expand(shape)
    if layout == "sliced":
        return torch.cat([x, x], -1)[..., ::2]
    return x.movedim(0, -1).contiguous().movedim(-1, 0) if layout == "time inside" else x


def scan(neuron: ThresholdNeuron, x_TBF: Tensor, state: MembraneState | None) -> tuple[Tensor, MembraneState]:
    state = neuron.initial_state(x_TBF[0]) if state is None else state
    spikes = []
    for x_BF in x_TBF:
        z_BF, state = neuron.step(x_BF, state)
        spikes.append(z_BF)
    return torch.stack(spikes), state


def ran_fused(neuron: ThresholdNeuron, x_TBF: Tensor, state: MembraneState | None = None) -> bool:
    return neuron.fuse(x_TBF, state) is not None


def gradients(run: Any, neuron: ThresholdNeuron, x_TBF: Tensor, v_BF: Tensor | None, seed: int, ends: str) -> list[Tensor]:
    x = x_TBF.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    v = None if v_BF is None else v_BF.detach().clone().requires_grad_()
    z, (end,) = run(neuron, x, None if v is None else MembraneState(v))
    generator = torch.Generator().manual_seed(seed)
    weights = (
        torch.randn(x.shape, generator=generator, dtype=x.dtype),
        torch.randn(x.shape[1:], generator=generator, dtype=x.dtype),
    )
    parts = {"spikes": (z * weights[0]).sum(), "state": (end * weights[1]).sum(), "sum": z.sum()}
    loss = parts["spikes"] + parts["state"] if ends == "both" else parts[ends]
    found = torch.autograd.grad(loss, [x, *([] if v is None else [v]), *neuron.parameters()], allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@law
@given(data=st.data())
def test_equals_the_scan(dtype: torch.dtype, data: st.DataObject) -> None:
    neuron, x_TBF = data.draw(neurons(dtype)), data.draw(inputs(dtype))
    v_BF = data.draw(one([None, x_TBF[0].flip(-1) * 0.7]))
    state = None if v_BF is None else MembraneState(v_BF)
    assert ran_fused(neuron, x_TBF, state)
    kept = x_TBF.clone()
    z, end = neuron(x_TBF, state)
    expected_z, expected_end = scan(neuron, x_TBF, state)
    assert torch.equal(z, expected_z)
    assert torch.equal(end.v, expected_end.v)
    assert torch.equal(x_TBF, kept)
    seed, ends = data.draw(st.integers(0, 99)), data.draw(one(["spikes", "state", "both", "sum"]))
    found, expected = (gradients(run, neuron, x_TBF, v_BF, seed, ends) for run in (ThresholdNeuron.forward, scan))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    leaf_count = 1 if v_BF is None else 2
    # what reaches w is a sum in which terms cancel: its error is measured by the number of terms
    for n, (one_, other) in enumerate(zip(found, expected, strict=True)):
        largest = max(1.0, float(other.abs().max())) * (1 if n < leaf_count else x_TBF.numel() ** 0.5)
        assert torch.allclose(one_, other.to(one_.dtype), rtol=0, atol=4 * tolerance * largest), (n, one_, other)


@law
@given(data=st.data(), width=st.integers(1, 3000), T=st.integers(1, 40))
def test_any_size_and_any_number_of_steps(data: st.DataObject, width: int, T: int) -> None:
    neuron = data.draw(neurons(torch.float32))
    x = torch.randn(T, width, generator=torch.Generator().manual_seed(width)) + 0.3
    z, end = neuron(x)
    expected_z, expected_end = scan(neuron, x, None)
    assert torch.equal(z, expected_z)
    assert torch.equal(end.v, expected_end.v)


def test_large_input_and_threads_give_equal_bits() -> None:
    before = torch.get_num_threads()
    neuron = NeuronPart.named("plif").build()
    x = torch.randn(3, 4, 16, 33, 31, generator=torch.Generator().manual_seed(0))
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        try:
            results.append((*neuron(x)[0:1], *gradients(ThresholdNeuron.forward, neuron, x, None, 0, "both")))
        finally:
            torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 0.0, -0.0, 1e-40])
@pytest.mark.parametrize("reset", ["hard", "soft", "none"])
@pytest.mark.parametrize("timing", ["same", "next"])
def test_odd_numbers_give_what_the_scan_gives(value: float, reset: str, timing: str) -> None:
    neuron = NeuronPart.named("lif", reset=reset, reset_timing=timing).build()
    x = torch.tensor([0.1, value, 3.0, value])[:, None]
    z, end = neuron(x)
    expected_z, expected_end = scan(neuron, x, None)
    assert torch.equal(z, expected_z)
    assert torch.equal(end.v.nan_to_num(nan=7.0), expected_end.v.nan_to_num(nan=7.0))


@pytest.mark.parametrize("T", [1, 2, 6])
@pytest.mark.parametrize(("name", "extra"), [("if", 0), ("lif", 0), ("plif", 4)])
def test_only_the_input_is_kept(T: int, name: str, extra: int) -> None:
    x = torch.randn(T, 2, 3, 8, 8).requires_grad_()
    neuron = NeuronPart.named(name).build()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        z, _ = neuron(x)
    large = [t for t in kept if t.numel() > 1]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]
    small = sum(t.numel() * t.element_size() for t in kept if t.numel() == 1)
    assert small <= 3 * extra, "k, and what sigmoid keeps to give w its gradient"
    z.sum().backward()


def test_the_layout_of_the_input_is_kept() -> None:
    x = torch.randn(6, 4, 5, 7).contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2)).requires_grad_()
    z, end = NeuronPart.named("lif").build()(x)
    assert z.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert end.v.is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.grad(z.sum(), x)[0].stride() == x.stride()


def falls_back(neuron: ThresholdNeuron, x_TBF: Tensor, state: MembraneState | None = None) -> None:
    assert not ran_fused(neuron, x_TBF, state)
    if x_TBF.device.type == "cpu":
        assert torch.equal(neuron(x_TBF, state)[0], scan(neuron, x_TBF, state)[0])


def test_other_dtypes_devices_and_mixtures_are_scanned() -> None:
    lif, x = NeuronPart.named("lif").build(), torch.randn(3, 2, 4)
    assert ran_fused(lif, x)
    falls_back(lif, x.bfloat16())
    falls_back(lif, x.half())
    falls_back(lif, x.to("meta"))
    falls_back(lif, torch.view_as_complex(torch.randn(3, 2, 4, 2)).conj().imag)
    falls_back(lif, x[:, :0])
    falls_back(lif, x, MembraneState(torch.zeros(2, 4, dtype=torch.float64)))


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTK_NATIVE", "0")
    falls_back(NeuronPart.named("lif").build(), torch.randn(3, 2, 4))


class Other(Surrogate):
    def gradient(self, u: Tensor) -> Tensor:
        return torch.exp(-u * u)


class Halved(ATan):
    def gradient(self, u: Tensor) -> Tensor:
        return super().gradient(u) / 2


class Squared(LIF):
    def charge(self, x_BF: Tensor, v_BF: Tensor) -> Tensor:
        return super().charge(x_BF, v_BF).square()


def test_what_describes_itself_no_more_is_scanned() -> None:
    x, part = torch.randn(3, 2, 4), NeuronPart.named("lif")
    own, changed = part.build(), part.build()
    own.surrogate, changed.surrogate = Other(), Halved(ATanConfig())
    falls_back(own, x)
    falls_back(changed, x)
    falls_back(Squared(LIFConfig()), x)


def test_every_bundled_surrogate_has_a_kernel_or_is_scanned() -> None:
    names = [e.name for e in registry().entries(Kind.SURROGATE) if e.source.distribution == "nastk"]
    assert sorted((*SURROGATES, *SCANNED)) == sorted(names)
    for name in SCANNED:
        falls_back(NeuronPart.named("lif", surrogate=name).build(), torch.randn(3, 2, 4))
    for name in SURROGATES:
        bump = SurrogatePart.named(name).build().bump()
        assert bump is not None
        assert bump.kind in fused.BUMPS


@pytest.mark.parametrize("name", ["if", "lif", "plif"])
@pytest.mark.parametrize("timing", ["same", "next"])
def test_second_derivatives_are_the_scans(name: str, timing: str) -> None:
    neuron = NeuronPart.named(name, reset_timing=timing, v_reset=-0.2).build().double()
    leaves = [torch.randn(3, 2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)]
    found = []
    for run in (ThresholdNeuron.forward, scan):
        x, v = (t.clone().requires_grad_() for t in leaves)
        z, (end,) = run(neuron, x.tanh(), MembraneState(v))
        wanted = [x, v, *neuron.parameters()]
        first = torch.autograd.grad((z * z).sum() + end.square().sum(), wanted, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum((g * g).sum() for g in first), wanted)])
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(*found, strict=True))


def test_function_transforms_are_scanned() -> None:
    lif, x_STBF = NeuronPart.named("lif").build(), torch.randn(5, 3, 2, 4)

    def checked(x_TBF: Tensor) -> Tensor:
        assert not ran_fused(lif, x_TBF)
        return x_TBF.sum()

    torch.func.vmap(checked)(x_STBF)
    torch.func.grad(checked)(x_STBF[0])


def test_many_gradients_at_once() -> None:
    lif, x_TBF = NeuronPart.named("lif").build(), torch.randn(3, 2, 4)
    jacobians = [
        torch.autograd.functional.jacobian(lambda x, run=run: run(lif, x, None)[0].sum((0, 1)), x_TBF, vectorize=True)
        for run in (ThresholdNeuron.forward, scan)
    ]
    assert torch.allclose(*jacobians, atol=1e-6)


def test_traced_calls_are_made_of_operations_of_torch() -> None:
    lif, x = NeuronPart.named("lif").build(), torch.randn(3, 2, 4)
    exported = torch.export.export(lif, (x,))
    assert torch.equal(exported.module()(x * 2)[0], lif(x * 2)[0])
    whole = torch.compile(lif, backend="eager", fullgraph=True)
    assert torch.equal(whole(x)[0], lif(x)[0])
    traced = torch.jit.trace(lambda x: lif(x)[0], x.clone().requires_grad_(), check_trace=False)
    assert "PythonOp" not in str(traced.graph)
    assert torch.equal(traced(x * 2), lif(x * 2)[0])


def test_a_change_of_the_input_in_between_is_noticed() -> None:
    x = torch.randn(3, 2, 4).requires_grad_()
    y = x * 2
    z, _ = NeuronPart.named("lif").build()(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_spikes_are_counted() -> None:
    network = torch.nn.Sequential(NeuronPart.named("lif").build())
    x = torch.randn(3, 2, 4) * 2
    with SpikeCounter(network) as counter:
        z, _ = network(x)
    counter.saw(2)
    assert float(counter.nos()) == float(z.sum()) / 2 > 0
