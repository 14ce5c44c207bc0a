"""``synaptic``, and so ``cuba-lif``, is snnTorch 1's Synaptic: equal spikes, equal gradients (float64).

snnTorch's spikes, and with them its upstream gradients, are float32; hence the tolerance.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import NeuronPart

snntorch = pytest.importorskip("snntorch")
surrogate = pytest.importorskip("snntorch.surrogate")
one = st.sampled_from
RESETS = {"subtract": "soft", "zero": "hard", "none": "none"}


@settings(deadline=None, max_examples=60)
@given(
    alpha=one([0.9, 0.5, 0.0]), beta=one([0.8, 0.1, 1.0]), threshold=one([1.0, 0.5]), mechanism=one(sorted(RESETS)),
    learn=st.tuples(st.booleans(), st.booleans()), T=st.integers(1, 6), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_equals_synaptic(
    alpha: float, beta: float, threshold: float, mechanism: str, learn: tuple[bool, bool], T: int, seed: int
) -> None:
    learned = {"learn_alpha": learn[0], "learn_beta": learn[1]}
    part = NeuronPart.named("synaptic", alpha=alpha, beta=beta, v_th=threshold, reset=RESETS[mechanism], **learned)
    ours = part.build().double()
    # A learned share begins in float32 on both sides, a fixed one is exact.
    shares = {
        name: torch.tensor(value, dtype=torch.float32 if learnt else torch.float64)
        for name, value, learnt in (("alpha", alpha, learn[0]), ("beta", beta, learn[1]))
    }
    exact = torch.tensor(threshold, dtype=torch.float64)
    how = {"threshold": exact, "reset_mechanism": mechanism, "spike_grad": surrogate.atan()}
    node = snntorch.Synaptic(**shares, **learned, **how).double()
    x = torch.randn(T, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    z, state = ours(a)
    spikes, (syn, mem) = [], (torch.zeros_like(x[0]), torch.zeros_like(x[0]))
    for current in b:
        spike, syn, mem = node(current, syn, mem)
        spikes.append(spike)
    s = torch.stack(spikes)
    assert torch.equal(z, s.double())
    assert torch.allclose(state.v, mem, rtol=1e-12, atol=1e-12)
    assert torch.allclose(state.i, syn, rtol=1e-12, atol=1e-12)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    (z * weights).sum().backward()
    (s * weights).sum().backward()
    assert torch.allclose(a.grad, b.grad, rtol=1e-6, atol=1e-6)
    for name, p in ours.named_parameters():
        assert getattr(node, name).grad.item() == pytest.approx(p.grad.item(), rel=1e-5, abs=1e-5)
    assert len(list(ours.parameters())) == sum(learn)


def test_synaptic_is_cuba_lif_with_other_defaults() -> None:
    x = torch.randn(6, 4, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    conventions: dict[str, Any] = {"compare": ">", "reset": "soft", "reset_timing": "next", "detach_reset": True}
    other = NeuronPart.named("cuba-lif", alpha=0.9, beta=0.8, **conventions).build()
    z = NeuronPart.named("synaptic").build()(x)[0]
    assert torch.equal(z, other(x)[0])
    assert 0.1 < z.mean() < 0.9
