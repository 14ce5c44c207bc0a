"""REINFORCE: its gradient against autograd, its optimiser against PyTorch's, its draws against its probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical

from nastk.core.cell.graph import Genotype
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.reinforce import adam, policy_gradient

NAME = "reinforce"
Make = Callable[..., Any]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 4))
def test_the_gradient_is_autograds(seed: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    logits[1, 3] = logits[3, 2:] = -math.inf  # fewer options
    choices = [[int(torch.multinomial(row.softmax(-1), 1, generator=generator)) for row in logits] for _ in range(batch)]
    advantages = torch.randn(batch, generator=generator, dtype=torch.float64).tolist()
    leaf = logits.clone().requires_grad_()
    policy = Categorical(logits=leaf, validate_args=False)
    losses = [-(policy.log_prob(torch.tensor(c)).sum() * a) for c, a in zip(choices, advantages, strict=True)]
    torch.stack(losses).mean().backward()
    found = policy_gradient(logits, choices, advantages)
    assert leaf.grad is not None
    torch.testing.assert_close(found, leaf.grad.nan_to_num(0.0), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), lr=st.floats(1e-4, 1.0))
def test_adam_is_pytorchs(seed: int, lr: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=lr)
    first = second = torch.zeros_like(x)
    for step in range(1, 8):
        gradient = torch.randn(3, 2, generator=generator, dtype=torch.float64)
        leaf.grad = gradient.clone()
        optimiser.step()
        x, first, second = adam(x, gradient, first, second, step, lr)
        torch.testing.assert_close(x, leaf.detach(), rtol=1e-12, atol=1e-12)


def test_a_search_is_the_loop_of_the_original(landscape: Make) -> None:
    """The script of NATS-Bench in a few lines: average first, then the advantage, then Adam; driven by the same draws."""
    rewards = iter([0.3, 0.9, 0.1, 0.5, 0.7, 0.2])
    context = landscape({"name": NAME, "trials": 6}, lambda *_: next(rewards), space="nas-bench-201")
    state = context.strategy.begin(context)
    leaf = state.logits.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.01)
    numerator = denominator = 0.0
    for _ in range(6):
        state = context.strategy.step(context, state)
        context.step += 1
        report = list(context.trials.values())[-1]
        numerator = 0.9 * numerator + 0.1 * report.accuracy
        denominator = 0.9 * denominator + 0.1
        choice = torch.tensor(context.space.encode(report.proposal.genotype))
        p = Categorical(logits=leaf, validate_args=False).log_prob(choice)
        optimiser.zero_grad()
        (-p.sum() * (report.accuracy - numerator / denominator)).backward()
        leaf.grad = leaf.grad.nan_to_num(0.0)  # type: ignore[union-attr]  # of options that are not there
        optimiser.step()
        torch.testing.assert_close(state.logits, leaf.detach(), rtol=1e-9, atol=1e-12)
    assert context.strategy.figures(state)["reward"] == pytest.approx(numerator / denominator)


def test_it_begins_almost_uniform_and_draws_by_its_probabilities(landscape: Make) -> None:
    context = landscape({"name": NAME, "trials": 4000, "batch": 4000}, lambda *_: 0.5)
    state = context.strategy.begin(context)
    sizes = [len(decision.options) for decision in context.space.decisions]
    entropy = sum(math.log(n) for n in sizes) / len(sizes)
    assert context.strategy.figures(state)["entropy"] == pytest.approx(entropy, abs=1e-4)
    i = next(i for i, n in enumerate(sizes) if n == 4)
    state.logits[i] = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()
    drawn = [context.space.encode(p.genotype)[i] for p in context.strategy.ask(context, state)]
    for option, share in enumerate((0.5, 0.25, 0.125, 0.125)):
        assert drawn.count(option) / 4000 == pytest.approx(share, abs=0.03)


def test_it_learns_which_options_pay(landscape: Make) -> None:
    def worth(genotype: Genotype, epochs: int) -> float:
        del epochs
        return sum(edge.op == "conv_3x3" for edge in genotype.cell("shared").edges) / 6

    context = landscape({"name": NAME, "trials": 300, "lr": 0.1}, worth, space="nas-bench-201")
    state = context.end()
    assert context.strategy.figures(state)["entropy"] < 0.2
    last = [report.accuracy for report in list(context.trials.values())[-5:]]
    assert state.accuracy == 1.0, last
    assert state.logits[:6].argmax(-1).tolist() == [context.space.encode(state.genotype)[i] for i in range(6)]


def test_a_failed_trial_earns_nothing(landscape: Make) -> None:
    context = landscape({"name": NAME}, lambda *_: 0.5)
    state = context.strategy.begin(context)
    genotype = context.space.sample(context.rng("any"))
    failed = context.strategy.tell(context, state, [Report(Proposal(genotype, 4), failure="planted")])
    zero = context.strategy.tell(context, state, [Report(Proposal(genotype, 4), {"accuracy": 0.0})])
    assert torch.equal(failed.logits, zero.logits)
    assert failed.failed == 1
    assert failed.baseline == zero.baseline == 0.0
