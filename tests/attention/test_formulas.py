"""Each attention against its formula, written a second time in numpy with the module's own weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nastk.attention.eca import adaptive_kernel
from nastk.core.config import AttentionPart
from nastk.core.errors import ConfigError, ShapeError
from nastk.core.types import Scalar, Shape

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def mlp(v_N: Array, w: Weights, prefix: str) -> Array:
    return w[f"{prefix}expand.weight"] @ np.maximum(w[f"{prefix}reduce.weight"] @ v_N, 0)


def pooled_gate(mean_N: Array, max_N: Array, w: Weights, prefix: str) -> Array:
    return sigmoid(mlp(mean_N, w, prefix) + mlp(max_N, w, prefix))


def spatial_gate(mean_HW: Array, max_HW: Array, kernel_2kk: Array) -> Array:
    H, W = mean_HW.shape
    k = kernel_2kk.shape[-1]
    maps = np.pad(np.stack([mean_HW, max_HW]), ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    return sigmoid(np.array([[np.sum(maps[:, i : i + k, j : j + k] * kernel_2kk) for j in range(W)] for i in range(H)]))


def se(x_TCHW: Array, w: Weights) -> Array:
    return np.stack([x * sigmoid(mlp(x.mean((1, 2)), w, ""))[:, None, None] for x in x_TCHW])


def eca(x_TCHW: Array, w: Weights) -> Array:
    kernel = w["conv.weight"].reshape(-1)
    k = len(kernel)
    gated = []
    for x in x_TCHW:
        padded = np.pad(x.mean((1, 2)), k // 2)
        gate = sigmoid(np.array([padded[c : c + k] @ kernel for c in range(len(x))]))
        gated.append(x * gate[:, None, None])
    return np.stack(gated)


def cbam(x_TCHW: Array, w: Weights) -> Array:
    gated = []
    for x in x_TCHW:
        x1 = x * pooled_gate(x.mean((1, 2)), x.max((1, 2)), w, "channel.")[:, None, None]
        gated.append(x1 * spatial_gate(x1.mean(0), x1.max(0), w["spatial.conv.weight"][0]))
    return np.stack(gated)


def temporal(x_TCHW: Array, w: Weights) -> Array:
    return x_TCHW * pooled_gate(x_TCHW.mean((1, 2, 3)), x_TCHW.max((1, 2, 3)), w, "gate.")[:, None, None, None]


def tcsa(x_TCHW: Array, w: Weights) -> Array:
    u = x_TCHW * pooled_gate(x_TCHW.mean((1, 2, 3)), x_TCHW.max((1, 2, 3)), w, "temporal.")[:, None, None, None]
    u = u * pooled_gate(u.mean((0, 2, 3)), u.max((0, 2, 3)), w, "channel.")[:, None, None]
    return u * spatial_gate(u.mean((0, 1)), u.max((0, 1)), w["spatial.conv.weight"][0])


FORMULAS: dict[str, Callable[[Array, Weights], Array]] = {
    "none": lambda x, _: x,
    "se": se,
    "eca": eca,
    "cbam": cbam,
    "temporal": temporal,
    "tcsa": tcsa,
}
SETTINGS: dict[str, list[dict[str, Scalar]]] = {
    "se": [{}, {"reduction": 2}],
    "eca": [{}, {"kernel": 5}],
    "cbam": [{}, {"reduction": 1, "kernel": 3}],
    "temporal": [{}],
    "tcsa": [{}, {"c_reduction": 2, "kernel": 7}],
    "none": [{}],
}
ATTENTIONS = [(name, chosen) for name, several in SETTINGS.items() for chosen in several]
NAMES = [name for name in FORMULAS if name != "none"]


@pytest.mark.parametrize(("name", "chosen"), ATTENTIONS)
@settings(deadline=None, max_examples=10)
@given(
    shape=st.builds(Shape, T=st.integers(1, 5), C=st.sampled_from([1, 3, 4, 16, 65]), H=st.integers(1, 5), W=st.integers(1, 4)),
    seed=st.integers(0, 2**31),
)
def test_formula(name: str, chosen: dict[str, Scalar], shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    module = AttentionPart.named(name, **chosen).build(shape).double()
    for weight in module.parameters():
        weight.data = torch.from_numpy(rng.normal(size=tuple(weight.shape)))
    x_BTCHW = rng.normal(size=(2, *shape))
    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    expected = np.stack([FORMULAS[name](x_TCHW, weights) for x_TCHW in x_BTCHW], axis=1)
    y = module(torch.from_numpy(x_BTCHW).transpose(0, 1)).detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "chosen"), ATTENTIONS)
@pytest.mark.parametrize("shape", [Shape(1, 1, 1, 1), Shape(2, 3, 2, 3)])
def test_gradients_are_those_of_the_formula(name: str, chosen: dict[str, Scalar], shape: Shape) -> None:
    """Of the input, through the gates too, and of every weight: against finite differences."""
    generator = torch.Generator().manual_seed(5)
    module = AttentionPart.named(name, **chosen).build(shape).double()
    keys = [key for key, _ in module.named_parameters()]
    weights = [torch.randn(w.shape, generator=generator, dtype=w.dtype, requires_grad=True) for w in module.parameters()]
    x = torch.randn(shape.T, 2, *shape[1:], generator=generator, dtype=torch.float64, requires_grad=True)

    def apply(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(keys, weights, strict=True)), x)

    assert torch.autograd.gradcheck(apply, (x, *weights))


def test_tcsa_closes_with_a_relu_when_asked_to() -> None:
    shape = Shape(3, 4, 5, 5)
    plain = AttentionPart.named("tcsa").build(shape)
    closed = AttentionPart.named("tcsa", relu=True).build(shape)
    closed.load_state_dict(plain.state_dict())
    x = torch.randn(3, 2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    assert (plain(x) < 0).any()
    assert torch.equal(closed(x), plain(x).clamp(min=0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [Shape(1, 1, 1, 1), Shape(3, 17, 5, 2)])
def test_wide_open_gates_are_the_identity_and_shut_ones_are_zero(name: str, shape: Shape) -> None:
    module = AttentionPart.named(name).build(shape).double()
    x = torch.rand(shape.T, 2, *shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    for weight in module.parameters():
        torch.nn.init.constant_(weight, 1e3)
    assert torch.equal(module(x), x)
    for key, weight in module.named_parameters():
        torch.nn.init.constant_(weight, 1e3 if "reduce" in key else -1e3)
    assert not module(x).any()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_gates_only_shrink(name: str, seed: int) -> None:
    x = torch.randn(3, 2, 6, 4, 5, generator=torch.Generator().manual_seed(seed))
    gate = AttentionPart.named(name).build(Shape(3, 6, 4, 5))(x) / x
    assert ((gate > 0) & (gate < 1)).all()


@pytest.mark.parametrize(("channels", "kernel"), [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_kernel_follows_the_channels(channels: int, kernel: int) -> None:
    assert adaptive_kernel(channels) == kernel
    module = AttentionPart.named("eca").build(Shape(2, channels, 4, 4))
    assert sum(p.numel() for p in module.parameters()) == kernel


@pytest.mark.parametrize(("name", "setting"), [("temporal", "reduction"), ("tcsa", "t_reduction")])
@settings(deadline=None, max_examples=20)
@given(T=st.integers(1, 6), reduction=st.integers(1, 9))
def test_a_temporal_reduction_above_T_is_refused(name: str, setting: str, T: int, reduction: int) -> None:
    part = AttentionPart.named(name, **{setting: reduction})
    shape = Shape(T, 4, 3, 3)
    if reduction > T:
        with pytest.raises(ShapeError, match=rf"^{setting} = {reduction} .* T = {T}.*at most {T}.*at least {reduction}"):
            part.build(shape)
    else:
        assert part.build(shape)(torch.ones(T, 1, 4, 3, 3)).shape == (T, 1, 4, 3, 3)


@pytest.mark.parametrize("name", ["temporal", "tcsa"])
def test_another_number_of_time_steps_is_refused(name: str) -> None:
    module = AttentionPart.named(name).build(Shape(2, 4, 3, 3))
    with pytest.raises(ShapeError, match="T = 2 time steps got 4"):
        module(torch.ones(4, 1, 4, 3, 3))


@pytest.mark.parametrize("name", ["eca", "cbam", "tcsa"])
@pytest.mark.parametrize("kernel", [-1, 0, 2, 8])
def test_an_even_kernel_is_refused(name: str, kernel: int) -> None:
    with pytest.raises(ConfigError, match=f"kernel: expected a positive odd kernel size.*got {kernel}"):
        AttentionPart.named(name, kernel=kernel)


@pytest.mark.parametrize(
    ("name", "setting"),
    [("se", "reduction"), ("cbam", "reduction"), ("temporal", "reduction"), ("tcsa", "t_reduction"), ("tcsa", "c_reduction")],
)
def test_a_reduction_below_one_is_refused(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        AttentionPart.named(name, **{setting: 0})
