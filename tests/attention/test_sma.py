"""``sma`` written a second time, sample by sample and scale by scale; and its zone-out in hand cases."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.attention.sma import KERNELS, SMA, zoned_out
from nastk.core.config import AttentionPart
from nastk.core.types import Shape

torch.set_num_threads(1)


def built(shape: Shape, seed: int = 0, **chosen: Any) -> SMA:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: SMA = AttentionPart.named("sma", **chosen).build(shape).double()
    return module


def sequence(shape: Shape, batch: int, seed: int, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape.T, batch, *shape[1:], generator=generator, dtype=torch.float64)


def lif(current_TBCHW: Tensor) -> Tensor:
    """tau 2, threshold 1, reset to 0."""
    v, spikes = torch.zeros_like(current_TBCHW[0]), []
    for current in current_TBCHW:
        v = v + (current - v) / 2
        spikes.append((v >= 1).to(v))
        v = v * (1 - spikes[-1])
    return torch.stack(spikes)


def by_the_formula(module: SMA, x_TBCHW: Tensor, training: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """For each scale its spikes ``(T, B, C, H, W)``, its time weights ``(T, B)`` and its channel weights ``(T, B, C)``."""
    w = module.state_dict()
    T, B, C, H, W = x_TBCHW.shape
    spikes = []
    for i, kernel in enumerate(KERNELS):
        current = F.conv2d(x_TBCHW.reshape(T * B, C, H, W), w[f"scales.{i}.conv.weight"], padding=kernel // 2)
        mean, var = w[f"scales.{i}.norm.running_mean"], w[f"scales.{i}.norm.running_var"]
        if training:
            mean, var = current.mean((0, 2, 3)), current.var((0, 2, 3), unbiased=False)
        current = (current - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        current = current * w[f"scales.{i}.norm.weight"][:, None, None] + w[f"scales.{i}.norm.bias"][:, None, None]
        spikes.append(lif(current.reshape(T, B, C, H, W)))
    s_TBC = sum(spikes).mean((3, 4))  # type: ignore[attr-defined]
    time_logits, channel_logits = torch.zeros(4, T, B).double(), torch.zeros(4, T, B, C).double()
    for b in range(B):
        hidden = torch.relu(w["time.reduce.weight"] @ s_TBC[:, b].mean(1) + w["time.reduce.bias"])
        for i in range(4):
            time_logits[i, :, b] = w[f"time.expand.{i}.weight"] @ hidden + w[f"time.expand.{i}.bias"]
        for t in range(T):
            hidden_c = torch.relu(w["channel.reduce.weight"] @ s_TBC[t, b] + w["channel.reduce.bias"])
            for i in range(4):
                channel_logits[i, t, b] = w[f"channel.expand.{i}.weight"] @ hidden_c + w[f"channel.expand.{i}.bias"]
    wt, wc = time_logits.exp() / time_logits.exp().sum(0), channel_logits.exp() / channel_logits.exp().sum(0)
    return spikes, list(wt), list(wc)


def held_by_loops(y_TBCHW: Tensor, wt_TB: Tensor, wc_TBC: Tensor, steps: int, channels: int) -> Tensor:
    """The zone-out of one scale, cell by cell."""
    T, B, C = wc_TBC.shape
    by_time = sorted(range(T), key=lambda t: float(sum(wt_TB[t, b] for b in range(B))))[: max(1, T // steps)]
    weight = {c: float(sum(wc_TBC[t, b, c] for t in by_time for b in range(B))) for c in range(C)}
    by_channel = sorted(range(C), key=lambda c: weight[c])[: max(1, C // channels)]
    held = y_TBCHW.clone()
    for t in by_time:
        for c in by_channel:
            if t > 0:
                held[t, :, c] = y_TBCHW[t - 1, :, c]
    return held


SHAPES = [Shape(1, 1, 1, 1), Shape(2, 4, 3, 3), Shape(4, 20, 5, 4), Shape(9, 8, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("zoneout", [True, False])
def test_it_is_the_formula(shape: Shape, training: bool, zoneout: bool) -> None:
    module = built(shape, zoneout=zoneout, c_reduction=2)
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator).double()
    x = sequence(shape, 3, 2)
    for _ in range(2):
        module(sequence(shape, 5, 3))  # so that running statistics are about something
    module.train(training)
    spikes, wt, wc = by_the_formula(module, x, training)
    weighted = [t[..., None, None, None] * c[..., None, None] * y for y, t, c in zip(spikes, wt, wc, strict=True)]
    if training and zoneout:
        weighted = [held_by_loops(y, t, c, 4, 4) for y, t, c in zip(weighted, wt, wc, strict=True)]
    torch.testing.assert_close(module(x), sum(weighted), rtol=1e-9, atol=1e-11)
    assert any(y.any() for y in spikes) or shape == SHAPES[0]


@settings(deadline=None, max_examples=10)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**31))
def test_weights_sum_to_one_over_the_scales(shape: Shape, seed: int) -> None:
    module = built(shape, seed)
    spikes = (sequence(shape, 2, seed) > 0).double()
    wt_STB, wc_STBC = module.weights(torch.stack([spikes, 1 - spikes, spikes, spikes * 0]))
    assert wt_STB.shape == (4, shape.T, 2)
    assert wc_STBC.shape == (4, shape.T, 2, shape.C)
    for weights in (wt_STB, wc_STBC):
        assert (weights > 0).all()
        torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))


def hand_case() -> tuple[Tensor, Tensor, Tensor]:
    """Two scales, T = 8, C = 4, one sample, values ``100 scale + 10 t + c``; weights fall towards what is to be held."""
    S, T, C = 2, 8, 4
    y = torch.tensor([[[100.0 * s + 10 * t + c for c in range(C)] for t in range(T)] for s in range(S)])
    wt, wc = torch.full((S, T, 1), 0.5), torch.full((S, T, 1, C), 0.5)
    wt[0, 5], wt[0, 2] = 0.1, 0.2
    wt[1, 0], wt[1, 7] = 0.1, 0.2
    wc[0, 5, 0, 3], wc[0, 1, 0, 0] = 0.1, 0.01  # step 1 is not among the chosen, so channel 0 does not count there
    wc[1, 0, 0, 2], wc[1, 7, 0, 2] = 0.3, 0.3
    return y.view(S, T, 1, C, 1, 1), wt, wc


def test_the_lowest_weights_are_held_and_nothing_else() -> None:
    y, wt, wc = hand_case()
    held = zoned_out(y, wt, wc, steps=4, channels=4)
    changed = {(s, t, c) for s, t, _, c, _, _ in (held != y).nonzero().tolist()}
    assert changed == {(0, 5, 3), (0, 2, 3), (1, 7, 2)}  # step 0 of the second scale is chosen, and has no step before it
    for s, t, c in changed:
        assert held[s, t, 0, c] == y[s, t - 1, 0, c]


def test_neighbouring_steps_take_values_as_they_were() -> None:
    y, wt, wc = hand_case()
    wt[0, 4] = 0.05  # steps 4 and 5 now: step 5 gets what step 4 was, not what it became
    held = zoned_out(y, wt, wc, steps=4, channels=4)
    assert held[0, 5, 0, 3] == y[0, 4, 0, 3]
    assert held[0, 4, 0, 3] == y[0, 3, 0, 3]


def test_weights_of_a_batch_are_summed() -> None:
    y, wt, wc = (torch.cat((part, part), dim=2) for part in hand_case())
    wt[0, 5, 1], wt[0, 3, 1] = 0.9, 0.2  # step 5: 1.0, step 2: 0.4, step 3: 0.7, all others 1.0
    held = zoned_out(y, wt, wc, steps=4, channels=4)
    assert {t for s, t, *_ in (held != y).nonzero().tolist() if s == 0} == {2, 3}


@pytest.mark.parametrize(("T", "C"), [(1, 1), (2, 3), (3, 1), (7, 9)])
def test_one_step_and_one_channel_at_least(T: int, C: int) -> None:
    generator = torch.Generator().manual_seed(T)
    y = torch.randn(3, T, 2, C, 2, 2, generator=generator)
    wt, wc = torch.rand(3, T, 2, generator=generator), torch.rand(3, T, 2, C, generator=generator)
    wt[:, -1] = 0.0
    held = zoned_out(y, wt, wc, steps=4, channels=4)
    changed = {(s, t, c) for s, t, _, c, _, _ in (held != y).nonzero().tolist()}
    assert len(changed) == (0 if T == 1 else 3 * max(T // 4, 1) * max(C // 4, 1))
    expected = torch.stack([held_by_loops(*parts, 4, 4) for parts in zip(y, wt, wc, strict=True)])
    torch.testing.assert_close(held, expected)


def test_zone_out_is_off_in_evaluation() -> None:
    shape = Shape(4, 4, 3, 3)
    module, plain = built(shape, zoneout=True), built(shape, zoneout=False)
    plain.load_state_dict(module.state_dict())
    x = sequence(shape, 3, 0)
    assert torch.equal(module.eval()(x), plain.eval()(x))
    assert not torch.equal(module.train()(x), plain.train()(x))


def test_a_silent_sample_stays_silent_beside_others() -> None:
    """Whatever the norms have become: with a shift above the threshold silence would fire."""
    shape = Shape(3, 4, 3, 3)
    module = built(shape)
    for scale in module.scales:
        scale["norm"].bias.data += 5.0  # type: ignore[index, union-attr]
    x = sequence(shape, 3, 0)
    x[:, 1] = 0.0
    for training in (True, False):
        y = module.train(training)(x)
        assert not y[:, 1].any()
        assert y[:, 0].any()
        assert y[:, 2].any()


def test_its_settings_survive_a_genotype() -> None:
    for chosen in ({}, {"zoneout": False, "t_reduction": 2}, {"neuron": {"name": "plif", "v_th": 0.7}}):
        part = AttentionPart.named("sma", **chosen)
        assert AttentionPart.from_flat("sma", part.flat()) == part
