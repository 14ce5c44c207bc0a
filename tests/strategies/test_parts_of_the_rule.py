"""The parts of the differentiable rule, each by itself: weighting, regulariser, perturbation, decision, guards."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.cell.cells import LAYERS
from nastk.core.errors import NastkError
from nastk.core.events import Notice
from nastk.core.model.relaxation import edges_of
from nastk.core.run.runfile import configure
from nastk.strategies.decision import DecisionConfig
from nastk.strategies.guard import GuardConfig, Look, remembered
from nastk.strategies.health import Health, skip_lead
from nastk.strategies.mixing import derive, entropy, skips
from nastk.strategies.perturbation import PerturbationConfig
from nastk.strategies.regulariser import Regulariser, RegulariserConfig
from nastk.strategies.weighting import WEIGHTINGS, between
from nastk.testing import build_space

TOY = build_space("toy")
OPS = TOY.full().cell("shared").edges[0].candidates


def rows(seed: int, edges: int = 5, options: int = 4) -> Tensor:
    return torch.randn(edges, options, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def look(weights: Tensor, **found: Any) -> Look:
    """What a search on ``toy`` shows at these weights."""
    given_ = {"epoch": 5, "entropy": 0.9, "accuracy": 0.5, "valid_accuracy": 0.5, **found}
    genotype = derive(TOY, {"shared": weights}, None)
    return Look(genotype=genotype, candidates={"shared": OPS}, weights={"shared": weights}, **given_)


def hot(*ops: str, height: float = 1.0) -> Tensor:
    """Weights at which the three edges of ``toy`` are these operations."""
    low = (1 - height) / (len(OPS) - 1)
    return torch.tensor([[height if op == name else low for name in OPS] for op in ops], dtype=torch.float64)


# Weighting


@given(st.integers(0, 10**6), st.floats(0.1, 20.0))
@settings(deadline=None, max_examples=40)
def test_a_sigmoid_weighs_every_candidate_by_itself(seed: int, up: float) -> None:
    alpha = rows(seed)
    raised = alpha.clone()
    raised[0, 1] += up
    before, after = (WEIGHTINGS["sigmoid"]().weigh(a) for a in (alpha, raised))
    changed = before != after
    assert changed.sum() <= 1
    assert not changed[:, [0, 2, 3]].any()
    assert ((before > 0) & (before < 1)).all()
    competing = [WEIGHTINGS["softmax"]().weigh(a) for a in (alpha, raised)]
    assert (competing[1][0, [0, 2, 3]] < competing[0][0, [0, 2, 3]]).all()


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_undecided_is_one_where_alpha_says_nothing_and_nought_where_it_is_sure(kind: str) -> None:
    rule = WEIGHTINGS[kind]()
    assert rule.undecided(rule.weigh(torch.zeros(3, 4).double())).tolist() == pytest.approx([1.0] * 3)
    sure = torch.full((3, 4), -60.0).double()
    sure[:, 2] = 60.0
    assert rule.undecided(rule.weigh(sure)).abs().max() < 1e-6


@given(st.integers(0, 10**6), st.floats(0.05, 5.0))
@settings(deadline=None, max_examples=40)
def test_a_relaxed_draw_is_a_point_of_the_simplex_and_lets_the_gradient_through(seed: int, temperature: float) -> None:
    alpha = rows(seed).requires_grad_()
    rule = WEIGHTINGS["gumbel-softmax"]()
    weights = {"a": rule.weigh(alpha), edges_of("a"): torch.ones(5), LAYERS: torch.ones(2, 4, 2)}
    drawn, again = (rule.draw(weights, temperature, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(drawn["a"], again["a"])
    torch.testing.assert_close(drawn["a"].sum(-1), torch.ones(5).double())
    assert drawn[LAYERS] is weights[LAYERS]
    assert drawn[edges_of("a")] is weights[edges_of("a")]
    (grad,) = torch.autograd.grad((drawn["a"] * torch.arange(4.0)).sum(), alpha)
    assert grad.isfinite().all()


def test_relaxed_draws_are_in_proportion_to_the_weights_and_decided_when_cold() -> None:
    weights = {"a": torch.tensor([[0.6, 0.3, 0.1]]).double()}
    rule, generator = WEIGHTINGS["gumbel-softmax"](), torch.Generator().manual_seed(0)
    cold = torch.cat([rule.draw(weights, 0.01, generator)["a"] for _ in range(4000)])
    torch.testing.assert_close(cold.mean(0), weights["a"][0], rtol=0, atol=0.03)
    warm = torch.cat([rule.draw(weights, 5.0, generator)["a"] for _ in range(500)])
    assert rule.undecided(cold).mean() < 0.1 < 0.9 < rule.undecided(warm).mean()


def test_a_temperature_goes_straight_from_first_to_last() -> None:
    assert [between(1.0, 0.2, epoch, 5) for epoch in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert between(1.0, 0.2, 0, 1) == 1.0


# Regulariser


def of(alpha: Tensor, kind: str = "sigmoid", done: float = 1.0, **weights: Any) -> Tensor:
    rule = WEIGHTINGS[kind]()
    found = Regulariser(RegulariserConfig(**weights), rule, done)({"a": alpha}, {"a": rule.weigh(alpha)})
    assert isinstance(found, Tensor)
    return found


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_the_terms_are_what_their_papers_write(seed: int) -> None:
    alpha = rows(seed)
    s = 1 / (1 + torch.exp(-alpha))
    assert float(of(alpha, zero_one=10.0)) == pytest.approx(-10 * float(((s - 0.5) ** 2).mean()))
    assert float(of(alpha, "softmax", beta_decay=3.0)) == pytest.approx(3 * float(alpha.exp().sum(-1).log().mean()))
    p = alpha.exp() / alpha.exp().sum(-1, keepdim=True)
    assert float(of(alpha, "softmax", entropy=2.0)) == pytest.approx(2 * float(-(p * p.log()).sum(-1).mean()) / math.log(4))


@pytest.mark.parametrize(("term", "wanted"), [("zero_one", "decided"), ("entropy", "decided"), ("beta_decay", "flat")])
def test_descending_a_term_does_what_it_is_for(term: str, wanted: str) -> None:
    alpha = rows(3).requires_grad_()
    kind = "sigmoid" if term == "zero_one" else "softmax"
    rule = WEIGHTINGS[kind]()
    before = entropy({"a": rule.weigh(alpha.detach())}, rule)
    for _ in range(300):
        (grad,) = torch.autograd.grad(of(alpha, kind, **{term: 1.0}), alpha)
        alpha = (alpha - 2.0 * grad).detach().requires_grad_()
    after = entropy({"a": rule.weigh(alpha.detach())}, rule)
    assert after < before if wanted == "decided" else after > before


def test_without_weights_nothing_is_added_and_growth_is_linear() -> None:
    alpha, rule = rows(0), WEIGHTINGS["softmax"]()
    assert Regulariser(RegulariserConfig(), rule, 1.0)({"a": alpha}, {"a": rule.weigh(alpha)}) == 0.0
    grown = [float(of(alpha, done=done, beta_decay=2.0, growth="linear")) for done in (0.25, 0.5, 1.0)]
    assert grown == pytest.approx([0.25 * grown[2], 0.5 * grown[2], grown[2]])
    assert float(of(alpha, done=0.25, beta_decay=2.0)) == pytest.approx(grown[2])


# Perturbation


@given(st.integers(0, 10**6), st.sampled_from(["random", "adversarial"]), st.floats(0.01, 0.5))
@settings(deadline=None, max_examples=40)
def test_a_perturbation_stays_within_its_radius_and_off_the_edges_and_layers(seed: int, kind: str, radius: float) -> None:
    weights = {"a": rows(seed).softmax(-1), edges_of("a"): torch.full((5,), 0.2), LAYERS: torch.ones(2, 4, 2)}
    direction = rows(seed + 1)
    disturb = PerturbationConfig(kind=kind, radius_first=radius, radius=radius).build(0, 5)
    found = disturb(weights, lambda w: (direction * w["a"]).sum(), torch.Generator().manual_seed(seed))
    moved = found["a"] - weights["a"]
    assert moved.abs().max() <= radius + 1e-6
    assert moved.any()
    assert (found["a"] >= 0).all()
    assert found[LAYERS] is weights[LAYERS]
    assert found[edges_of("a")] is weights[edges_of("a")]
    if kind == "adversarial":  # a linear loss is worst at a corner
        corner = (weights["a"] + radius * direction.sign()).clamp(min=0)
        torch.testing.assert_close(found["a"], corner, rtol=0, atol=1e-5)


def test_no_perturbation_is_the_weights_and_the_radius_grows() -> None:
    weights = {"a": rows(0).softmax(-1)}
    assert PerturbationConfig().build(0, 5)(weights, lambda _: torch.zeros(()), torch.Generator())["a"] is weights["a"]
    radii = [PerturbationConfig(kind="random", radius_first=0.1, radius=0.5).build(epoch, 5).radius for epoch in range(5)]
    assert radii == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


# Decision


@given(st.integers(0, 10**6), st.floats(0.3, 0.9))
@settings(deadline=None, max_examples=60)
def test_only_what_is_above_the_threshold_is_kept_where_an_edge_may_be_empty(seed: int, threshold: float) -> None:
    w = torch.sigmoid(3 * rows(seed, edges=3))
    found = DecisionConfig(kind="threshold", threshold=threshold).decide(TOY, {"shared": w}, None)
    nothing = OPS.index("none")
    for row, edge in zip(w, found.cell("shared").edges, strict=True):
        real = [(float(value), op) for i, (value, op) in enumerate(zip(row, OPS, strict=True)) if i != nothing]
        best, op = max(real)
        assert edge.op == (op if best > threshold else "none")


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_where_every_node_needs_edges_the_threshold_leaves_a_member(seed: int) -> None:
    space = build_space("spiking-cells", nodes=3)
    full = space.full()
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: (len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    weights = {name: torch.rand(size, generator=generator).double() for name, size in sizes.items()}
    best = DecisionConfig().decide(space, weights, None)
    for threshold in (1e-9, 0.999999):  # all are above, or all below: the order is the same
        assert DecisionConfig(kind="threshold", threshold=threshold).decide(space, weights, None) == best
    assert skips(DecisionConfig(kind="threshold").decide(space, weights, 1)) <= 1


# Guards and health


def test_an_early_stop_names_its_reason() -> None:
    skipping = look(hot("skip_connect", "skip_connect", "conv_3x3"), entropy=0.2)
    history = remembered({}, skipping)
    assert GuardConfig().reason(skipping, history) is None
    assert "2 skips" in str(GuardConfig(stop_skips=1).reason(skipping, history))
    assert GuardConfig(stop_skips=2).reason(skipping, history) is None
    assert "entropy 0.200" in str(GuardConfig(stop_entropy=0.21).reason(skipping, history))
    assert GuardConfig(stop_entropy=0.19).reason(skipping, history) is None


def test_a_plateau_is_epochs_without_a_better_validation_accuracy() -> None:
    history: dict[str, Any] = {}
    reasons = []
    for epoch, accuracy in enumerate([0.2, 0.5, 0.4, 0.5, 0.3], start=1):
        seen = look(hot("conv_3x3", "none", "none"), epoch=epoch, valid_accuracy=accuracy)
        history = remembered(history, seen)
        reasons.append(GuardConfig(stop_plateau=3).reason(seen, history))
    assert reasons[:4] == [None] * 4
    assert "not risen for 3 epochs" in str(reasons[4])


def test_a_ranking_is_stable_until_candidates_change_places_whatever_skips_do() -> None:
    plain = torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 3).double()  # none, skip, convolution, pooling
    skipped, swapped = plain.clone(), plain.clone()
    skipped[0, OPS.index("skip_connect")] = 0.9
    swapped[1, OPS.index("conv_3x3")] = 0.9
    history: dict[str, Any] = {}
    reasons = []
    for epoch, weights in enumerate([plain, skipped, plain, swapped, swapped, swapped], start=4):
        seen = look(weights, epoch=epoch)
        history = remembered(history, seen)
        reasons.append(GuardConfig(stop_ranking=2).reason(seen, history))
    assert [bool(reason) for reason in reasons] == [False, False, True, False, False, True]


def test_a_collapse_is_named_once_with_its_figures() -> None:
    heard: list[Any] = []
    health, history = Health(10), remembered({}, look(hot("conv_3x3", "conv_3x3", "conv_3x3")))
    history = health.watch(look(hot("skip_connect", "conv_3x3", "conv_3x3")), history, heard.append)
    assert heard == []
    for epoch in (6, 7):
        history = health.watch(look(hot("skip_connect", "conv_3x3", "skip_connect"), epoch=epoch), history, heard.append)
    assert [type(event) for event in heard] == [Notice]
    assert "turning into skips: 2 of 3 edges, epoch 6; guards: strategy.guard" in heard[0].text


def test_skips_that_hardly_lead_are_no_collapse() -> None:
    heard: list[Any] = []
    slight = hot("skip_connect", "skip_connect", "skip_connect", height=0.26)
    assert skips(look(slight).genotype) == 3
    assert 0 < skip_lead(look(slight)) < 0.02
    Health(10).watch(look(slight), remembered({}, look(slight)), heard.append)
    assert heard == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"weights": hot("none", "none", "conv_3x3")}, "coming apart: 2 of 3 edges carry nothing"),
        ({"weights": hot("conv_3x3", "conv_3x3", "conv_3x3"), "accuracy": 0.9, "epoch": 8}, "by heart: accuracy 0.90"),
        ({"weights": hot("conv_3x3", "conv_3x3", "conv_3x3"), "entropy": 0.01}, "decided early: entropy 0.010, epoch 5 of 10"),
        ({"weights": hot("conv_3x3", "conv_3x3", "conv_3x3"), "accuracy": 0.9, "epoch": 2}, ""),
        ({"weights": hot("conv_3x3", "conv_3x3", "conv_3x3"), "entropy": 0.01, "epoch": 9}, ""),
    ],
)
def test_other_signs(found: dict[str, Any], said: str) -> None:
    heard: list[Any] = []
    seen = look(**found)
    Health(10).watch(seen, remembered({}, seen), heard.append)
    assert [said in event.text for event in heard] == ([True] if said else [])


# Settings


def test_a_named_strategy_keeps_its_parts_when_a_neighbour_is_set() -> None:
    config = configure({"strategy": "gdas"}, ["strategy.relaxation.temperature=3"]).strategy.config
    assert (config.relaxation.paths, config.relaxation.temperature) == (1, 3.0)
    config = configure({"strategy": "fair-darts"}, ["strategy.decision.threshold=0.7"]).strategy.config
    assert (config.decision.kind, config.decision.threshold, config.weighting.kind) == ("threshold", 0.7, "sigmoid")


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"name": "snas", "order": 2}, "levels = 1 has no second order"),
        ({"name": "snas", "relaxation": {"paths": 1}}, "choose one"),
    ],
)
def test_parts_that_contradict_one_another_are_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(NastkError, match=said):
        configure({"strategy": settings_})
