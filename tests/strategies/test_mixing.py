"""From alpha to mixing weights, and from those to a member: softmax, cap on skips, entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.cells import LAYERS, CellSpace
from nastk.strategies.mixing import derive, entropy, mixing_weights, skips
from nastk.testing import build_space, weights

CAPPED: dict[str, CellSpace] = {
    "toy": build_space("toy"),
    "spiking": build_space("spiking-cells", nodes=3),
    "dhs": build_space("spiking-cells", preset="dhs", nodes=3, decode="dhs"),
    "per-cell": build_space("spiking-cells", sharing="per_cell", nodes=2),
    "darts": build_space("darts-cells"),
}


def test_mixing_weights_are_a_softmax_over_the_candidates() -> None:
    alpha = {"shared": torch.randn(5, 4)}
    torch.testing.assert_close(
        mixing_weights(alpha, None)["shared"], alpha["shared"].exp() / alpha["shared"].exp().sum(-1, keepdim=True)
    )


def test_transitions_that_do_not_exist_weigh_nothing() -> None:
    alpha = {LAYERS: torch.randn(3, 4, 2)}
    allowed = torch.rand(3, 4, 2) > 0.5
    found = mixing_weights(alpha, allowed)[LAYERS]
    masked = alpha[LAYERS].exp() * allowed
    assert torch.equal(found == 0, ~allowed)
    torch.testing.assert_close(found, masked / masked.sum(-1, keepdim=True).clamp(min=1e-12))


@pytest.mark.parametrize("name", CAPPED)
def test_cap_on_skips_holds_and_stays_in_the_space(name: str) -> None:
    space = CAPPED[name]

    @settings(deadline=None, max_examples=60)
    @given(weights(space, 0.0, 1.0), st.integers(0, 4), st.booleans())
    def holds(found: dict[str, np.ndarray], limit: int, saturated: bool) -> None:
        """``saturated`` puts all of the weight on the skips, as an alpha that has run away does."""
        tensors = {n: torch.from_numpy(w.copy()) for n, w in found.items()}
        if saturated:
            for cell, wired in space.full().cells:
                skip = wired.edges[0].candidates.index("skip_connect")
                tensors[cell] = torch.zeros_like(tensors[cell])
                tensors[cell][:, skip] = 1.0
        kept = {n: w.clone() for n, w in tensors.items()}
        free, capped = derive(space, tensors, None), derive(space, tensors, limit)
        assert capped in space
        assert skips(capped) <= limit
        assert all(torch.equal(w, kept[n]) for n, w in tensors.items()), "the weights are the caller's"
        if skips(free) <= limit:
            assert capped == free
        for cell, wired in capped.cells:
            if cell == "reduce":
                assert wired == free.cell(cell), "the cap is for normal cells"

    holds()


def test_cap_removes_the_weakest_skips() -> None:
    space = CAPPED["toy"]
    table = torch.tensor([[0.0, 0.5, 0.3, 0.2], [0.0, 0.9, 0.1, 0.0], [0.0, 0.7, 0.1, 0.2]])
    assert [e.op for e in derive(space, {"shared": table}, None).cell("shared").edges] == ["skip_connect"] * 3
    kept = derive(space, {"shared": table}, 1).cell("shared").edges
    assert [e.op for e in kept] == ["conv_3x3", "skip_connect", "avg_pool_3x3"]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_entropy_is_a_share_and_one_at_uniform(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 6))
    columns = data.draw(st.integers(2, 8))
    scale = data.draw(st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]))
    alpha = {"a": scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))}
    value = entropy(mixing_weights(alpha, None))
    assert 0.0 <= value <= 1.0 + 1e-6
    if scale == 0.0:
        assert value == pytest.approx(1.0)
    if scale == 1.0:
        assert value < 1.0


def test_entropy_of_one_hot_and_of_one_candidate_is_nought() -> None:
    assert entropy({"a": torch.eye(4)}) == pytest.approx(0.0, abs=1e-9)
    assert entropy({"a": torch.ones(3, 1)}) == 0.0
    assert entropy({"a": torch.ones(3, 1), LAYERS: torch.full((2, 4, 2), 0.5)}) == 0.0
