"""D-DARTS: every cell by itself, what a cell contributes, and its three derivations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.cell.graph import Genotype
from nastk.core.config import EstimatorPart
from nastk.core.run.run import Run
from nastk.core.run.search import search
from nastk.core.types import Split
from nastk.strategies.contribution import contributions, scales
from nastk.strategies.d_darts import CellByCell
from nastk.strategies.decision import DecisionConfig
from nastk.strategies.weighting import WEIGHTINGS
from nastk.testing import build_space

Prepare = Callable[..., Run]
SPACE: dict[str, Any] = {"name": "spiking-cells", "nodes": 1, "operations": ["skip_connect", "conv_3x3", "conv_1x1"]}
TABLES: dict[str, Any] = {"space": SPACE, "model": {"cells": 3, "channels": 4}}
PLAIN: dict[str, Any] = {"regulariser": {"zero_one": 0.0}, "contribution": {"weight": 0.0}}
SIGMOID = WEIGHTINGS["sigmoid"]()


def prepared(prepare: Prepare, *, space: dict[str, Any] | None = None, **given_: Any) -> Run:
    tables = {**TABLES, "space": {**SPACE, "sharing": "per_cell", **(space or {})}}
    return prepare(given_.pop("strategy", "d-darts"), tables=tables, **{"epochs": 3, "warmup": 1, "batch": 16, **given_})


def last(run: Run) -> Any:
    state = run.strategy.begin(run.context)
    while run.context.step < run.strategy.steps:
        state = run.strategy.step(run.context, state)
        run.context.step += 1
    return state


# Every cell by itself


def test_every_layer_has_an_alpha_of_its_own_and_they_come_apart(prepare: Prepare) -> None:
    run = prepared(prepare, alpha_lr=0.2)
    before, after = run.strategy.begin(run.context), last(run)
    assert set(after.alpha) == {"0", "1", "2"}
    moved = {name: after.alpha[name] - before.alpha[name] for name in after.alpha}
    assert all(m.abs().max() > 0.1 for m in moved.values())
    assert not torch.allclose(moved["0"], moved["1"], atol=0.05)
    assert not torch.allclose(moved["1"], moved["2"], atol=0.05)
    genotype = run.strategy.recommend(run.context, after)[0]
    assert genotype in run.space
    weights = after.figures["weights"]
    assert weights["0"] != weights["1"] != weights["2"]
    assert after.figures["contribution"].keys() == {"0", "1", "2"}


def test_without_its_own_parts_it_is_fair_darts(prepare: Prepare) -> None:
    """One Adam with a group a cell is one Adam; looking at contributions leaves the supernet as it was."""
    rates = {"alpha_lr": 0.1, "alpha_beta1": 0.9}
    mine = last(prepared(prepare, **PLAIN, **rates, alpha_lr_min=0.1))
    theirs = last(prepared(prepare, strategy="fair-darts", regulariser=PLAIN["regulariser"], **rates))
    for name in ("0", "1", "2"):
        torch.testing.assert_close(mine.alpha[name], theirs.alpha[name], rtol=0, atol=0)
    for name, weights in mine.weights.items():
        torch.testing.assert_close(weights, theirs.weights[name], rtol=0, atol=0)


def test_the_regulariser_of_a_cell_is_a_mean_over_that_cell(prepare: Prepare) -> None:
    run = prepared(prepare, regulariser={"zero_one": 7.0})
    epoch = CellByCell(run.strategy.config, run.context, run.strategy.begin(run.context))
    alpha = {name: torch.randn(4, 3, generator=torch.Generator().manual_seed(i)).requires_grad_() for i, name in enumerate("012")}
    epoch.regulariser(alpha, {name: torch.sigmoid(a) for name, a in alpha.items()}).backward()  # type: ignore[union-attr]
    for a in alpha.values():
        w = torch.sigmoid(a.detach())
        torch.testing.assert_close(a.grad, -7.0 * 2 * (w - 0.5) * w * (1 - w) / 12)


def test_the_rate_falls_by_a_cosine_and_is_scaled_by_the_contribution(prepare: Prepare) -> None:
    run = prepared(prepare, epochs=4, alpha_lr=0.4, alpha_lr_min=0.2, contribution={"weight": 0.5, "every": 2})
    state = run.strategy.begin(run.context)
    found = []
    for number in range(1, 4):
        state = evolve(state, epoch=number, figures={"contribution": {"0": 0.3, "1": 0.1, "2": 0.2}} if number == 2 else {})
        epoch = CellByCell(run.strategy.config, run.context, state)
        found.append(([g["lr"] for g in epoch.alpha_optimizer.param_groups], epoch.contribution))
    (first, measured), (second, kept), (third, again) = found
    middle = 0.2 + 0.1  # half way
    assert second == pytest.approx([middle * 1.25, middle * 0.75, middle])
    assert kept == {"0": 0.3, "1": 0.1, "2": 0.2}, "measured every second epoch"
    assert measured.keys() == again.keys() == kept.keys()
    assert measured != again
    assert max(first) > max(third)


# What a cell contributes


@given(st.permutations([0.0, 0.5, 3.0]), st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_the_cell_that_matters_most_contributes_most(worth: list[float], seed: int) -> None:
    """A loss that is least at the weights as they are, and grows with a cell's change times its worth."""
    draws = torch.Generator().manual_seed(seed)
    weights = {name: torch.rand(6, 4, generator=draws) for name in "012"}

    def loss(changed: Any) -> float:
        return sum(w * float((changed[n] - weights[n]).square().mean()) for n, w in zip("012", worth, strict=True))

    found = contributions(weights, SIGMOID, loss, draws)
    assert found[str(worth.index(0.0))] == 0
    assert max(found, key=lambda name: found[name]) == str(worth.index(3.0))
    factors = scales(found, 0.5)
    assert max(factors, key=lambda name: factors[name]) == str(worth.index(3.0))
    assert all(0.5 <= f <= 1.5 for f in factors.values())
    assert scales(found, 0.0) == dict.fromkeys("012", 1.0)


def test_scales_by_hand() -> None:
    assert scales({"0": 0.3, "1": 0.1, "2": 0.2}, 0.5) == pytest.approx({"0": 1.25, "1": 0.75, "2": 1.0})
    assert scales({"0": 9.0, "1": 0.0, "2": 0.0}, 1.0) == {"0": 2.0, "1": 0.0, "2": 0.0}
    assert scales({"0": -0.1, "1": -0.3}, 0.5) == pytest.approx({"0": 1.25, "1": 0.75})
    assert scales({"0": 0.1, "1": -0.1}, 0.5) == {"0": 1.0, "1": 1.0}
    assert scales({}, 0.5) == {}


def test_a_cell_whose_operations_matter_contributes_most(prepare: Prepare) -> None:
    """Planted: the last cell has decided for its convolutions and trained with them; elsewhere all operations count alike."""
    found = {}
    for planted in (5.0, 0.0):
        run = prepared(prepare, space={"operations": ["conv_3x3", "conv_5x5"]}, epochs=8, warmup=8, lr=0.2)
        state = run.strategy.begin(run.context)
        alpha = {name: torch.zeros_like(a) for name, a in state.alpha.items()}
        alpha["2"] = alpha["2"] + torch.tensor([planted, -planted])
        state = evolve(state, alpha=alpha)
        while run.context.step < 7:
            state = run.strategy.step(run.context, state)
            run.context.step += 1
        assert state.figures["accuracy"] > 0.5, "it has learned something"
        config = evolve(run.strategy.config, warmup=0)
        found[planted] = CellByCell(config, run.context, state).contribution
    assert max(found[5.0], key=lambda name: found[5.0][name]) == "2", found
    assert found[5.0]["2"] > 2 * max(found[0.0].values()), found


def test_contributions_cost_a_pass_a_cell_and_one_a_batch(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepared(prepare, contribution={"batches": 2})
    state = evolve(run.strategy.begin(run.context), epoch=1)
    passes: list[int] = []
    supernet = run.context.supernet

    def counted(*args: Any) -> Any:
        found = supernet(*args)
        found.register_forward_hook(lambda *_: passes.append(1))
        return found

    monkeypatch.setattr(run.context, "supernet", counted)
    epoch = CellByCell(run.strategy.config, run.context, state)
    assert len(passes) == 2 * (3 + 1)
    for name, value in epoch.supernet.state_dict().items():
        assert torch.equal(value, state.weights[name]), name
    assert not epoch.task.data.steps(16, Split.ALPHA) < 2


# Derivations

WEIGHTS = np.array([[0.9, 0.2, 0.95], [0.1, 0.6, 0.3], [0.86, 0.87, 0.88]])
"""Of edges 0->2, 1->2 and of 2->3; the operations are a skip and two convolutions."""
DERIVED = {
    "edge": ["skip_connect|conv_1x1", "none", "conv_3x3|conv_1x1"],
    "complete": ["skip_connect|conv_1x1", "none", "skip_connect|conv_3x3|conv_1x1"],
}


def space_of(wiring: str) -> Any:
    settings_ = {"nodes": 2, "operations": ("skip_connect", "conv_3x3", "conv_1x1"), "sharing": "shared"}
    return build_space("spiking-cells", {"cells": 1}, wiring=wiring, **settings_)


def weights_of(space: Any, rows: dict[tuple[int, int], list[float]]) -> dict[str, Tensor]:
    edges = space.full().cell("shared").edges
    return {"shared": torch.tensor([rows.get((e.src, e.dst), [0.1, 0.1, 0.1]) for e in edges])}


def derived(wiring: str) -> dict[tuple[int, int], str]:
    space = space_of(wiring)
    rows = {(0, 2): WEIGHTS[0].tolist(), (1, 2): WEIGHTS[1].tolist(), (2, 3): WEIGHTS[2].tolist()}
    config = DecisionConfig(kind="threshold", threshold=0.85)
    genotype: Genotype = config.decide(space, weights_of(space, rows), None)
    assert genotype in space
    return {(e.src, e.dst): e.op for e in genotype.cell("shared").edges}


@pytest.mark.parametrize("wiring", ["edge", "complete"])
def test_edges_keep_what_is_above_the_threshold(wiring: str) -> None:
    found = derived(wiring)
    assert [found[0, 2], found[1, 2], found[2, 3]] == DERIVED[wiring]
    assert found[0, 3] == found[1, 3] == "none"


def test_sparse_keeps_two_edges_with_their_best_operation() -> None:
    assert derived("sparse") == {(0, 2): "conv_1x1", (1, 2): "conv_3x3", (2, 3): "conv_1x1", (0, 3): "skip_connect"}


def test_a_node_that_would_get_nothing_takes_its_best_operation() -> None:
    space = space_of("complete")
    rows = {(0, 2): [0.1, 0.3, 0.2], (1, 2): [0.2, 0.1, 0.1], (2, 3): [0.1, 0.1, 0.7]}
    found = DecisionConfig(kind="threshold").decide(space, weights_of(space, rows), None)
    assert {(e.src, e.dst): e.op for e in found.cell("shared").edges if e.op != "none"} == {
        (0, 2): "conv_3x3",
        (2, 3): "conv_1x1",
    }


@pytest.mark.parametrize("wiring", ["edge", "complete"])
def test_a_search_of_summed_edges_ends_and_its_network_is_trained(prepare: Prepare, wiring: str) -> None:
    run = prepared(prepare, space={"wiring": wiring}, alpha_lr=1.0)
    genotype = search(run.strategy, run.context, run.store).genotype
    most = max(len(edge.candidates) for _, cell in genotype.cells for edge in cell.edges)
    assert 1 < most <= {"edge": 2, "complete": 3}[wiring], genotype
    network = run.context.network(genotype)
    x, _ = next(iter(run.task.data.unaugmented(Split.VALID)))
    assert network(x).isfinite().all()


def test_a_summed_edge_is_the_sum_of_its_operations_and_costs_them_all(prepare: Prepare) -> None:
    run = prepared(prepare, space={"wiring": "complete"})
    genotype = run.space.decode([len(d.options) - 1 if d.name[0] in "012" else 0 for d in run.space.decisions])
    assert {e.op for _, cell in genotype.cells for e in cell.edges} == {"skip_connect|conv_3x3|conv_1x1"}
    supernet, network = run.context.supernet(), run.context.network(genotype, affine=False)
    network.inherit(supernet)
    ones = {name: torch.from_numpy(hot).float() for name, hot in run.space.one_hot(genotype).items()}
    x, _ = next(iter(run.task.data.unaugmented(Split.VALID)))
    torch.testing.assert_close(network.eval()(x), supernet.eval()(x, ones))
    wanted = sum(p.numel() for p in run.context.network(genotype).parameters())
    assert run.context.measure(EstimatorPart.named("parameters"), genotype) == wanted
