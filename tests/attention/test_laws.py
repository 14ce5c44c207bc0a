"""What every attention promises, whatever it computes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk import registry
from nastk.core.config import AttentionPart
from nastk.core.errors import ShapeError
from nastk.core.model.attention import Attention
from nastk.core.types import Axis, Kind, Shape

NAMES = registry().names(Kind.ATTENTION)
WITH_NORMS = [name for name in NAMES if "batch_independent" in getattr(registry().load(Kind.ATTENTION, name), "breaks", {})]
BUNDLED = {"none", "se", "eca", "cbam", "bam", "temporal", "ta", "ca", "sa", "tca", "csa", "tcsa", "tcja", "gac", "sma"}
DIMENSIONS = {Axis.T: (0,), Axis.C: (2,), Axis.HW: (3, 4)}

every_attention = pytest.mark.parametrize("name", NAMES)
laws = settings(deadline=None, max_examples=25)


class Case(NamedTuple):
    shape: Shape
    batch: int
    seed: int

    def module(self, name: str, dtype: torch.dtype = torch.float64) -> Attention:
        """In training mode; in evaluation mode where batch norms look at the whole batch while they train."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                module = AttentionPart.named(name).build(self.shape)
            except ShapeError:  # which it may, where its default reduction is above T
                assume(False)
        return module.to(dtype).train(name not in WITH_NORMS)

    def sequence(self, salt: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        T, C, H, W = self.shape
        generator = torch.Generator().manual_seed(self.seed + salt)
        return torch.randn(T, self.batch, C, H, W, generator=generator, dtype=torch.float64).to(dtype)


def cases(least_batch: int = 1) -> st.SearchStrategy[Case]:
    """Shapes down to one step, one channel, one pixel; odd sizes; more channels than the default reduction."""
    shapes = st.builds(
        Shape, T=st.integers(1, 4), C=st.sampled_from([1, 2, 3, 5, 16, 19]), H=st.integers(1, 6), W=st.integers(1, 5)
    )
    return st.builds(Case, shape=shapes, batch=st.integers(least_batch, 4), seed=st.integers(0, 2**31))


def test_the_bundled_ones_are_listed() -> None:
    assert set(NAMES) >= BUNDLED
    assert set(WITH_NORMS) & BUNDLED == {"bam", "sma"}


@every_attention
@laws
@given(case=cases(), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_shape_and_dtype_are_kept_and_values_stay_finite(name: str, case: Case, dtype: torch.dtype) -> None:
    x = case.sequence(dtype=dtype)
    y = case.module(name, dtype)(x)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert torch.isfinite(y).all()


@every_attention
@laws
@given(case=cases())
def test_zero_in_gives_zero_out(name: str, case: Case) -> None:
    assert not case.module(name)(torch.zeros_like(case.sequence())).any()


@every_attention
@laws
@given(case=cases())
def test_it_is_a_function_of_its_input_alone(name: str, case: Case) -> None:
    """No memory between calls, no writing into the input, no reliance on the memory layout."""
    module, x = case.module(name), case.sequence()
    kept = x.clone()
    first = module(x)
    module(case.sequence(salt=1))
    assert torch.equal(x, kept)
    assert torch.equal(module(x), first)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(module(strided), first, rtol=1e-10, atol=1e-12)


@every_attention
@laws
@given(case=cases(least_batch=2), data=st.data())
def test_the_batch_is_never_mixed(name: str, case: Case, data: st.DataObject) -> None:
    module, x = case.module(name), case.sequence()
    y = module(x)
    order = torch.tensor(data.draw(st.permutations(range(case.batch))))
    torch.testing.assert_close(module(x[:, order]), y[:, order], rtol=1e-10, atol=1e-12)

    changed = data.draw(st.integers(0, case.batch - 1))
    others = [b for b in range(case.batch) if b != changed]
    x[:, changed] = 9 * case.sequence(salt=1)[:, changed]
    torch.testing.assert_close(module(x)[:, others], y[:, others], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(module(x[:, others]), y[:, others], rtol=1e-10, atol=1e-12)


@every_attention
@laws
@given(case=cases(), data=st.data())
def test_an_axis_that_is_not_declared_is_not_mixed(name: str, case: Case, data: st.DataObject) -> None:
    """Changing one index of the axis leaves the output at all other indices as it was; for T, each step is its own."""
    module, x = case.module(name), case.sequence()
    y = module(x)
    for axis in set(Axis) - module.axes:
        for dim in DIMENSIONS[axis]:
            changed = data.draw(st.integers(0, x.shape[dim] - 1))
            others = torch.tensor([i for i in range(x.shape[dim]) if i != changed], dtype=torch.long)
            louder = x.clone()
            louder.select(dim, changed).copy_(9 * case.sequence(salt=1).select(dim, changed))
            again = module(louder).index_select(dim, others)
            torch.testing.assert_close(again, y.index_select(dim, others), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_NORMS])
@laws
@given(case=cases())
def test_the_gradient_reaches_the_input_and_every_parameter(name: str, case: Case) -> None:
    module = case.module(name)
    # Both signs, and several samples, so that no hidden ReLU is off for the whole batch.
    x = torch.cat([sign * case.sequence(salt) for salt in range(6) for sign in (1, -1)], dim=1).requires_grad_()
    (module(x) * torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()
    for parameter, weight in module.named_parameters():
        assert weight.grad is not None, parameter
        assert torch.isfinite(weight.grad).all(), parameter
        assert (weight.grad != 0).any(), parameter
