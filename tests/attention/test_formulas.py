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
    return np.exp(-np.logaddexp(0, -x))  # type: ignore[no-any-return]


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


def gated_in_turn(letters: str) -> Callable[[Array, Weights], Array]:
    """The gates of MA-SNN that the letters stand for, each on the output of the one before."""

    def apply(x_TCHW: Array, w: Weights) -> Array:
        u = x_TCHW
        for letter in letters:
            if letter == "t":
                u = u * pooled_gate(u.mean((1, 2, 3)), u.max((1, 2, 3)), w, "temporal.")[:, None, None, None]
            if letter == "c":
                u = u * pooled_gate(u.mean((0, 2, 3)), u.max((0, 2, 3)), w, "channel.")[:, None, None]
            if letter == "s":
                u = u * spatial_gate(u.mean((0, 1)), u.max((0, 1)), w["spatial.conv.weight"][0])
        return u

    return apply


def convolved(x_CHW: Array, weight_OCkk: Array, dilation: int = 1) -> Array:
    """Zero padding that keeps the size; of an even kernel the odd zero is at the end."""
    H, W = x_CHW.shape[1:]
    k = weight_OCkk.shape[-1]
    before, behind = dilation * (k - 1) // 2, dilation * (k - 1) - dilation * (k - 1) // 2
    x = np.pad(x_CHW, ((0, 0), (before, behind), (before, behind)))
    y = np.zeros((len(weight_OCkk), H, W))
    for i in range(k):
        for j in range(k):
            a, b = i * dilation, j * dilation
            y += np.einsum("oc,chw->ohw", weight_OCkk[:, :, i, j], x[:, a : a + H, b : b + W])
    return y


def normed(x_CHW: Array, w: Weights, prefix: str) -> Array:
    mean, var, scale, shift = (w[f"{prefix}.{n}"][:, None, None] for n in ("running_mean", "running_var", "weight", "bias"))
    return (x_CHW - mean) / np.sqrt(var + 1e-5) * scale + shift


def bam(x_TCHW: Array, w: Weights) -> Array:
    gated = []
    for x in x_TCHW:
        hidden = np.maximum(normed(convolved(x.mean((1, 2), keepdims=True), w["channel.0.weight"]), w, "channel.1"), 0)
        channel = convolved(hidden, w["channel.3.weight"]) + w["channel.3.bias"][:, None, None]
        maps = np.maximum(normed(convolved(x, w["spatial.0.weight"]), w, "spatial.1"), 0)
        for layer in (3, 6):
            maps = np.maximum(normed(convolved(maps, w[f"spatial.{layer}.weight"], 4), w, f"spatial.{layer + 1}"), 0)
        spatial = convolved(maps, w["spatial.9.weight"]) + w["spatial.9.bias"]
        gated.append(x + x * sigmoid(channel + spatial))
    return np.stack(gated)


def tcja(x_TCHW: Array, w: Weights) -> Array:
    z_TC = x_TCHW.mean((2, 3))
    T, C = z_TC.shape
    over_channels, over_steps = w["along_channels.weight"], w["along_steps.weight"]
    k, m = over_channels.shape[-1], over_steps.shape[-1]
    scores = np.zeros((T, C))
    for t in range(T):
        for c in range(C):
            a = b = 0.0
            for u in range(T):
                for i in range(k):
                    at = c + i - (k - 1) // 2
                    a += over_channels[t, u, i] * z_TC[u, at] if 0 <= at < C else 0.0
            for d in range(C):
                for i in range(m):
                    at = t + i - (m - 1) // 2
                    b += over_steps[c, d, i] * z_TC[at, d] if 0 <= at < T else 0.0
            scores[t, c] = a * b
    return x_TCHW * sigmoid(scores)[:, :, None, None]


def gac(x_TCHW: Array, w: Weights) -> Array:
    steps_T = mlp(x_TCHW.mean((1, 2, 3)), w, "temporal.") + mlp(x_TCHW.max((1, 2, 3)), w, "temporal.")
    gated = []
    for x, step in zip(x_TCHW, steps_T, strict=True):
        scores = convolved(np.maximum(convolved(x, w["narrow.weight"]), 0), w["widen.weight"])
        gated.append(x * sigmoid(step * scores))
    return np.stack(gated)


FORMULAS: dict[str, Callable[[Array, Weights], Array]] = {
    "none": lambda x, _: x,
    "se": se,
    "eca": eca,
    "cbam": cbam,
    "temporal": temporal,
    **{letters + "a": gated_in_turn(letters) for letters in ("t", "c", "s", "tc", "cs", "tcs")},
    "bam": bam,
    "tcja": tcja,
    "gac": gac,
}
SETTINGS: dict[str, list[dict[str, Scalar]]] = {
    "se": [{}, {"reduction": 2}],
    "eca": [{}, {"kernel": 5}],
    "cbam": [{}, {"reduction": 1, "kernel": 3}],
    "temporal": [{}],
    "ta": [{}],
    "ca": [{}, {"c_reduction": 1}],
    "sa": [{}, {"kernel": 5}],
    "tca": [{}, {"c_reduction": 3}],
    "csa": [{}, {"c_reduction": 1, "kernel": 1}],
    "tcsa": [{}, {"c_reduction": 2, "kernel": 7}],
    "bam": [{}, {"reduction": 1}],
    "tcja": [{}, {"t_kernel": 3, "c_kernel": 4}],
    "gac": [{"t_reduction": 1}, {"t_reduction": 1, "c_reduction": 2, "kernel": 3}],
    "none": [{}],
}
ATTENTIONS = [(name, chosen) for name, several in SETTINGS.items() for chosen in several]
POOLED = ["se", "eca", "cbam", "temporal", "ta", "ca", "sa", "tca", "csa", "tcsa"]
"""Those whose gates are sigmoids of sums over pools, so that large weights open or shut them."""


@pytest.mark.parametrize(("name", "chosen"), ATTENTIONS)
@settings(deadline=None, max_examples=10)
@given(
    shape=st.builds(Shape, T=st.integers(1, 5), C=st.sampled_from([1, 3, 4, 17]), H=st.integers(1, 5), W=st.integers(1, 4)),
    seed=st.integers(0, 2**31),
)
def test_formula(name: str, chosen: dict[str, Scalar], shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    module = AttentionPart.named(name, **chosen).build(shape).double().eval()
    for key, weight in module.state_dict().items():
        if weight.is_floating_point():
            drawn = rng.normal(size=tuple(weight.shape))
            weight.copy_(torch.from_numpy(np.abs(drawn) if "var" in key else drawn))
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
    module = AttentionPart.named(name, **chosen).build(shape).double().eval()
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


@pytest.mark.parametrize("name", POOLED)
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


@pytest.mark.parametrize("name", [name for name in FORMULAS if name != "none"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_gates_only_shrink_but_for_bam(name: str, seed: int) -> None:
    x = torch.randn(3, 2, 6, 4, 5, generator=torch.Generator().manual_seed(seed))
    gate = AttentionPart.named(name).build(Shape(3, 6, 4, 5))(x) / x
    least = 1 if name == "bam" else 0
    assert ((gate > least) & (gate < least + 1)).all()


def test_the_temporal_gate_of_ma_snn_is_that_of_ta_snn() -> None:
    shape = Shape(4, 3, 2, 2)
    one, other = (AttentionPart.named(name).build(shape) for name in ("temporal", "ta"))
    other.temporal.load_state_dict(one.gate.state_dict())
    x = torch.randn(4, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one(x), other(x))


def test_bam_takes_the_statistics_of_all_samples_and_steps_in_training() -> None:
    """Against the formula at running statistics, where those are set to the batch's."""
    shape, generator = Shape(2, 5, 6, 7), torch.Generator().manual_seed(3)
    module = AttentionPart.named("bam", reduction=1).build(shape).double()
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0  # the running statistics become those of the batch
    x = torch.randn(2, 3, 5, 6, 7, generator=generator, dtype=torch.float64)
    y = module(x)
    weights = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    counts = {"channel.1": 2 * 3, **{f"spatial.{layer}": 2 * 3 * 6 * 7 for layer in (1, 4, 7)}}
    for prefix, count in counts.items():
        weights[f"{prefix}.running_var"] *= (count - 1) / count  # which are unbiased, and those of training are not
    expected = np.stack([bam(x_TCHW, weights) for x_TCHW in x.transpose(0, 1).numpy()], axis=1)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-9, atol=1e-10)


def test_direct_coding_gets_temporal_dynamics_by_gac() -> None:
    """A picture that is the same at every step leaves with another strength at each."""
    module = AttentionPart.named("gac").build(Shape(4, 3, 5, 5))
    x = torch.randn(1, 2, 3, 5, 5, generator=torch.Generator().manual_seed(1)).expand(4, -1, -1, -1, -1)
    y = module(x)
    assert all(not torch.allclose(y[0], y[t]) for t in range(1, 4))


@pytest.mark.parametrize(("channels", "kernel"), [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_kernel_follows_the_channels(channels: int, kernel: int) -> None:
    assert adaptive_kernel(channels) == kernel
    module = AttentionPart.named("eca").build(Shape(2, channels, 4, 4))
    assert sum(p.numel() for p in module.parameters()) == kernel


@pytest.mark.parametrize(
    ("name", "setting"), [("temporal", "reduction"), *((name, "t_reduction") for name in ("ta", "tca", "tcsa", "gac"))]
)
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


@pytest.mark.parametrize("name", ["temporal", "ta", "tca", "tcsa", "tcja", "gac", "sma"])
def test_another_number_of_time_steps_is_refused(name: str) -> None:
    module = AttentionPart.named(name).build(Shape(2, 4, 3, 3))
    with pytest.raises(ShapeError, match="T = 2 time steps got 4"):
        module(torch.ones(4, 1, 4, 3, 3))


@pytest.mark.parametrize("name", ["ca", "sa", "csa"])
def test_pools_over_time_alone_do_not_tie_the_weights_to_it(name: str) -> None:
    module = AttentionPart.named(name).build(Shape(2, 4, 3, 3))
    assert module(torch.ones(5, 1, 4, 3, 3)).shape == (5, 1, 4, 3, 3)


@pytest.mark.parametrize("name", ["eca", "cbam", "sa", "csa", "tcsa"])
@pytest.mark.parametrize("kernel", [-1, 0, 2, 8])
def test_an_even_kernel_is_refused(name: str, kernel: int) -> None:
    with pytest.raises(ConfigError, match=f"kernel: expected a positive odd kernel size.*got {kernel}"):
        AttentionPart.named(name, kernel=kernel)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *((name, "reduction") for name in ("se", "cbam", "bam", "temporal")),
        *((name, "t_reduction") for name in ("ta", "tca", "tcsa", "gac", "sma")),
        *((name, "c_reduction") for name in ("ca", "csa", "tca", "tcsa", "gac", "sma")),
        *(("sma", setting) for setting in ("zoned_steps", "zoned_channels")),
    ],
)
def test_a_reduction_below_one_is_refused(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        AttentionPart.named(name, **{setting: 0})
