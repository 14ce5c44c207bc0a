"""Strategies on a space whose edges choose their attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nastk.core.cell.attended import attention_of
from nastk.core.run.run import Run
from nastk.core.run.search import search
from nastk.core.types import Split
from nastk.strategies.mixing import check_cap, mixing_weights
from nastk.strategies.weighting import WEIGHTINGS, cells_of

Prepare = Callable[..., Run]
NAMES = ("none", "se", "cbam")
MODEL = {"attention": {"choices": list(NAMES)}, "attention_location": "searched", "channels": 4}
DIFFERENTIABLE: dict[str, dict[str, Any]] = {
    "darts": {},
    "ma-darts": {"penalty": "parameters", "penalty_weight": 0.1},
    "pc-darts": {"relaxation": {"partial": 2}},
    "gdas": {},
    "snas": {},
    "fair-darts": {},
    "d-darts": {"contribution": {"batches": 1}},
}
SAMPLED: dict[str, dict[str, Any]] = {
    "random-search": {"trials": 3},
    "regularized-evolution": {"trials": 4, "population": 2},
}


def chosen(run: Run) -> set[str]:
    """The attentions of the found cells; the found network runs."""
    genotype = search(run.strategy, run.context, run.store).genotype
    assert genotype in run.space
    x, _ = next(iter(run.task.data.unaugmented(Split.VALID)))
    assert run.context.network(genotype)(x).isfinite().all()
    return {edge.attention for _, cell in genotype.cells for edge in cell.edges}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_differentiable_search_decides_the_attention_of_each_edge(prepare: Prepare, name: str) -> None:
    run = prepare(name, tables={"model": MODEL}, epochs=2, warmup=0, batch=32, alpha_lr=0.3, **DIFFERENTIABLE[name])
    before = run.strategy.begin(run.context)
    after = run.strategy.step(run.context, before)
    key = attention_of("shared")
    assert after.alpha[key].shape == (3, 3)
    assert (after.alpha[key] - before.alpha[key]).abs().max() > 0.05
    weights = after.alpha[key].softmax(-1)
    found = run.strategy.recommend(run.context, after)[0].cell("shared")
    assert [edge.attention for edge in found.edges] == [NAMES[int(i)] for i in weights.argmax(-1)]
    assert chosen(prepare(name, tables={"model": MODEL}, epochs=2, batch=32, **DIFFERENTIABLE[name])) <= set(NAMES)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sampling_search_decides_it_too(prepare: Prepare, name: str) -> None:
    assert chosen(prepare(name, tables={"model": MODEL}, epochs=1, **SAMPLED[name])) <= set(NAMES)


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_attention_weights_are_a_softmax_whatever_the_weighting(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = {"normal": torch.randn(5, 4, generator=generator), attention_of("normal"): torch.randn(5, 3, generator=generator)}
    rule = WEIGHTINGS[kind]()
    weights = mixing_weights(alpha, None, None, rule)
    torch.testing.assert_close(weights[attention_of("normal")], alpha[attention_of("normal")].softmax(-1))
    assert cells_of(weights) == ["normal"]
    drawn = rule.draw(weights, 1.0, generator)
    assert torch.equal(drawn[attention_of("normal")], weights[attention_of("normal")])


def test_skips_are_capped_on_such_a_space(prepare: Prepare) -> None:
    run = prepare("darts", tables={"model": MODEL}, epochs=1, guard={"max_skips": 1})
    check_cap(run.space, 1)
    assert chosen(run) <= set(NAMES)


def test_a_resumed_search_goes_on_with_its_attention_weights(prepare: Prepare) -> None:
    run = prepare("darts", tables={"model": MODEL}, epochs=2, batch=32)
    state = run.strategy.begin(run.context)
    other = prepare("darts", tables={"model": MODEL}, epochs=2, batch=32)
    assert torch.equal(state.alpha[attention_of("shared")], other.strategy.begin(other.context).alpha[attention_of("shared")])
    assert state.alpha[attention_of("shared")].abs().max() < 0.01
