"""Convolutions with fewer products give what torch's give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.model import winograd
from nastk.core.model.convolution import Conv2d
from nastk.core.model.winograd import convolve
from nastk.core.native import build

needs_native = pytest.mark.skipif(build.load("winograd") is None, reason="there is no compiler")


def tensors(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


@needs_native
@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([3, 5]), st.integers(1, 2), st.integers(1, 3), st.integers(1, 10), st.integers(1, 17), st.integers(1, 17),
    st.booleans(), st.sets(st.integers(0, 2), min_size=1), st.integers(0, 10**6),
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_torch(
    width: int, dilation: int, ins: int, outs: int, height: int, wide: int, biased: bool, wanted: set[int], seed: int
) -> None:
    samples = -(-winograd.ENOUGH // (height * wide))
    x, kernel, bias = tensors(seed, (samples, 8 * ins, height, wide), (8 * outs, 8 * ins, width, width), (8 * outs,))
    given = (x, kernel, bias if biased else None)
    out = convolve(*given, (1, 1), (dilation * (width // 2),) * 2, (dilation, dilation))
    expected = F.conv2d(*given, 1, dilation * (width // 2), dilation)
    assert "Winograd" in type(out.grad_fn).__name__
    assert torch.allclose(out, expected, rtol=0, atol=1e-11)
    weigh = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    leaves = [leaf for i, leaf in enumerate(given) if leaf is not None and i in wanted] or [x]
    grads, reference = (torch.autograd.grad(y, leaves, weigh) for y in (out, expected))
    for grad, other in zip(grads, reference, strict=True):
        assert grad.shape == other.shape
        assert float((grad - other).abs().max()) < 1e-10 * max(1.0, float(other.abs().max()))


@needs_native
@pytest.mark.parametrize("width", [3, 5])
def test_in_single_precision_it_is_as_near_as_rounding_allows(width: int) -> None:
    x, kernel = tensors(0, (4, 32, 16, 16), (64, 32, width, width), dtype=torch.float32)
    out = convolve(x, kernel, None, (1, 1), (width // 2,) * 2)
    expected = F.conv2d(x.double(), kernel.double(), None, 1, width // 2)
    assert "Winograd" in type(out.grad_fn).__name__
    assert float((out - expected).detach().abs().max()) < 3e-5 * float(expected.detach().abs().max())
    grads = torch.autograd.grad(out, (x, kernel), torch.ones_like(out))
    reference = torch.autograd.grad(expected, (x, kernel), torch.ones_like(expected))
    assert all(float((g - r).abs().max()) < 3e-5 * float(r.abs().max()) for g, r in zip(grads, reference, strict=True))


@needs_native
def test_the_answer_does_not_depend_on_the_threads() -> None:
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            x, kernel = tensors(1, (23, 16, 32, 32), (48, 16, 5, 5), dtype=torch.float32)
            out = convolve(x, kernel, None, (1, 1), (2, 2))
            answers.append((out, *torch.autograd.grad(out, (x, kernel), out.detach())))
    finally:
        torch.set_num_threads(before)
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answers[0], other, strict=True))


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation"),
    [
        ((4, 8, 16, 16), (8, 8, 3, 3), 2, 1, 1),
        ((4, 8, 16, 16), (8, 8, 3, 3), 1, 0, 1),
        ((4, 8, 16, 16), (8, 8, 1, 1), 1, 0, 1),
        ((4, 8, 16, 16), (8, 8, 7, 7), 1, 3, 1),
        ((4, 3, 16, 16), (8, 3, 3, 3), 1, 1, 1),
        ((4, 8, 16, 16), (4, 8, 3, 3), 1, 1, 1),
        ((1, 8, 4, 4), (8, 8, 3, 3), 1, 1, 1),
    ],
)
def test_what_it_is_not_made_for_is_left_to_torch(
    shape: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int, dilation: int
) -> None:
    x, weight = tensors(2, shape, kernel)
    out = convolve(x, weight, None, (stride,) * 2, (padding,) * 2, (dilation,) * 2)
    assert torch.equal(out, F.conv2d(x, weight, None, stride, padding, dilation))
    assert "Winograd" not in type(out.grad_fn).__name__


def test_without_a_compiler_it_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTK_NATIVE", "0")
    x, weight = tensors(2, (4, 8, 16, 16), (8, 8, 3, 3))
    assert torch.equal(convolve(x, weight, None, (1, 1), (1, 1)), F.conv2d(x, weight, None, 1, 1))


@needs_native
def test_the_layer_of_operations_is_torchs_with_its_parameters() -> None:
    ours, plain = Conv2d(16, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, padding=1)
    plain.load_state_dict(ours.state_dict())
    (x,) = tensors(0, (2, 16, 16, 16), dtype=torch.float32)
    assert "Winograd" in type(ours(x).grad_fn).__name__
    assert torch.allclose(ours(x), plain(x), atol=1e-5)
    grouped, reflecting = Conv2d(16, 16, 3, padding=1, groups=16), Conv2d(16, 16, 3, padding=1, padding_mode="reflect")
    for layer in (grouped, reflecting, Conv2d(16, 16, 3, padding="same")):
        assert "Winograd" not in type(layer(x).grad_fn).__name__
        assert torch.equal(layer(x), torch.nn.Conv2d._conv_forward(layer, x, layer.weight, layer.bias))


def test_a_program_that_is_exported_knows_torchs_convolutions_alone() -> None:
    program = torch.export.export(Conv2d(16, 16, 3, padding=1).eval(), (torch.zeros(2, 16, 16, 16),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert any("conv2d" in name or "convolution" in name for name in called)
    assert len(called) == 1


@needs_native
def test_under_autocast_the_precision_is_the_one_that_was_asked_for() -> None:
    """Torch's own convolution rounds to bfloat16; ours would not. Outside the block it is ours again."""
    x, kernel = tensors(3, (4, 16, 16, 16), (16, 16, 3, 3), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = convolve(x, kernel, None, (1, 1), (1, 1))
        expected = F.conv2d(x, kernel, None, 1, 1)
    assert out.dtype == expected.dtype == torch.bfloat16
    assert torch.equal(out, expected)
    assert "Winograd" in type(convolve(x, kernel, None, (1, 1), (1, 1)).grad_fn).__name__
