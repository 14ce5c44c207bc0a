"""``rate-mse``: its formula in plain numbers, and SpikingJelly's usual loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import TaskPart
from nastk.core.laws.check import check

torch.set_num_threads(1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(2, 7), st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.9]))
def test_it_is_its_formula(T: int, B: int, K: int, seed: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    out, y = torch.randn(T, B, K, generator=generator, dtype=torch.float64), torch.randint(K, (B,), generator=generator)
    rows, total = out.tolist(), 0.0
    for b in range(B):
        for k in range(K):
            rate = math.fsum(rows[t][b][k] for t in range(T)) / T
            total += (rate - (1 - smoothing) * (k == int(y[b])) - smoothing / K) ** 2
    assert float(TaskPart.named("rate-mse").build(None).loss(out, y, smoothing)) == pytest.approx(total / (B * K), rel=1e-9)


def test_of_spikes_it_is_the_error_of_firing_rates() -> None:
    z = (torch.rand(8, 4, 10, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    y = torch.arange(4)
    wanted = F.mse_loss(z.sum(0) / 8, F.one_hot(y, 10).float())
    torch.testing.assert_close(TaskPart.named("rate-mse").build(None).loss(z, y), wanted)


def test_it_keeps_the_laws() -> None:
    assert [(v.law, v.detail) for v in check("task", "rate-mse") if v.outcome != "holds"] == []
