"""The neuron's Triton kernels, equal to the scan: run by Triton's interpreter, and on a GPU where there is one."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import NeuronPart
from nastk.core.model import fused
from nastk.core.model.neuron import MembraneState, ThresholdNeuron

GPU = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.skipif(not (GPU or INTERPRETED), reason="no GPU, and TRITON_INTERPRET=1 is not set"),
]

one = st.sampled_from
SETTINGS = {
    "v_th": one([0.5, 1.0, 1.3]),
    "compare": one([">=", ">"]),
    "reset": one(["hard", "soft", "none"]),
    "v_reset": one([-0.5, 0.0, 0.25]),
    "reset_timing": one(["same", "next"]),
    "detach_reset": st.booleans(),
    "surrogate": one(["atan", "sigmoid", "fast-sigmoid", "triangle", "piecewise-quadratic", "dhs"]),
}
LEAKS = {
    "if": {},
    "lif": {"tau": one([2.0, 4.0]), "decay_input": st.booleans()},
    "plif": {"tau": one([1.25, 2.0, 3.0]), "decay_input": st.booleans()},
}


@st.composite
def neurons(draw: st.DrawFn) -> ThresholdNeuron:
    name = draw(one(sorted(LEAKS)))
    built = NeuronPart.named(name, **draw(st.fixed_dictionaries(SETTINGS | LEAKS[name]))).build()
    assert isinstance(built, ThresholdNeuron)
    return built


def by_scan(neuron: ThresholdNeuron, x: Tensor, v: Tensor | None, gz: Tensor, gend: Tensor) -> list[Tensor]:
    z, (end,) = neuron.scan(x, None if v is None else MembraneState(v))
    wanted = [x, *([] if v is None else [v]), *neuron.parameters()]
    grads = torch.autograd.grad((z * gz).sum() + (end * gend).sum(), wanted, allow_unused=True)
    return [z, end, *(torch.zeros_like(w) if g is None else g for g, w in zip(grads, wanted, strict=True))]


def by_kernel(neuron: ThresholdNeuron, x: Tensor, v: Tensor | None, gz: Tensor, gend: Tensor) -> list[Tensor]:
    from nastk.core.model import fused_triton

    leak, bump, firing = neuron.leak(), neuron.surrogate.bump(), neuron.firing
    assert leak is not None
    assert bump is not None
    k = leak.k.detach() if isinstance(leak.k, Tensor) else None
    how = fused._How(
        *(fused.LEAKS[leak.kind, leak.decay_input], fused.RESETS[firing.reset], firing.reset_timing == "next"),
        *(firing.detach_reset, firing.compare == ">=", fused.BUMPS[bump.kind], 0.0 if k is not None else leak.k, leak.rest),
        *(firing.v_th, firing.v_reset, bump.a, bump.b),
    )
    z, end, gx = torch.empty_like(x), torch.empty_like(x[0]), torch.empty_like(x)
    gv = None if v is None else torch.empty_like(v)
    gk = None if k is None else torch.empty((), dtype=torch.float64, device=x.device)
    fused_triton.forward(how, x, v, k, z, end)
    fused_triton.backward(how, x, v, k, gz, gend, gx, gv, gk)
    return [z, end, gx, *([] if gv is None else [gv]), *([] if gk is None or k is None else [gk.float() * k * (1 - k)])]


@settings(deadline=None, max_examples=40)
@given(neuron=neurons(), T=st.integers(1, 6), width=one([1, 100, 1024, 1500]), seed=st.integers(0, 999), given_v=st.booleans())
def test_equals_the_scan(neuron: ThresholdNeuron, T: int, width: int, seed: int, given_v: bool) -> None:
    device = "cuda" if GPU else "cpu"
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator) for shape in ((T, width), (width,), (T, width), (width,))]
    x, v, gz, gend = (t.to(device) for t in drawn)
    x, first = (x + 0.3).requires_grad_(), v.requires_grad_() if given_v else None
    neuron = neuron.to(device)
    expected = by_scan(neuron, x, first, gz, gend)
    with torch.no_grad():
        found = by_kernel(neuron, x, first, gz, gend)
    assert len(found) == len(expected)
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        if n < 2:
            assert torch.equal(a, b)
        else:
            terms = x.numel() ** 0.5 if b.dim() == 0 else 1.0
            assert torch.allclose(a, b, rtol=0, atol=4e-6 * terms * max(1.0, float(b.abs().max())))


@pytest.mark.skipif(not GPU, reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["if", "lif", "plif"])
def test_forward_uses_it_on_a_gpu(dtype: torch.dtype, name: str) -> None:
    x = torch.randn(4, 3, 5, 6, device="cuda", dtype=dtype)
    neuron = NeuronPart.named(name).build().cuda()
    assert neuron.fuse(x, None) is not None
    assert torch.equal(neuron(x)[0], neuron.scan(x)[0])
