"""REINFORCE: a policy over the decisions of the space, which learns which options pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from attrs import field, frozen
from attrs.validators import ge, gt, lt
from torch import Tensor

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.core.seeds import generator
from nastk.strategies.best import Best, best_of, heard, progress

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's, the defaults of PyTorch."""
START = 1e-3
"""Standard deviation of the first logits, as in the code of NATS-Bench."""


@frozen(kw_only=True)
class ReinforceConfig:
    """Settings of ``reinforce``; step size and momentum are those of the code of NATS-Bench."""

    trials: int = field(default=30, validator=ge(1), metadata={"help": "candidates that are proposed"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step, which takes their mean gradient"})
    lr: float = field(default=0.01, validator=gt(0), metadata={"help": "step size of the policy (Adam)"})
    momentum: float = field(
        default=0.9, validator=[ge(0), lt(1)], metadata={"help": "of the moving average of rewards, the baseline"}
    )


@frozen
class Policy(Best):
    """The logits ``(D, O)`` of D decisions with at most O options, minus infinity where there is none; Adam's moments."""

    logits: Tensor = field(factory=lambda: torch.zeros(0, 1))
    first: Tensor = field(factory=lambda: torch.zeros(0, 1))
    second: Tensor = field(factory=lambda: torch.zeros(0, 1))
    updates: int = 0
    baseline: float = 0.0
    """The moving average of rewards, not yet divided by ``weight``."""
    weight: float = 0.0


@mark.strategy(
    "reinforce",
    config=ReinforceConfig,
    paper="Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, ICLR 2020",
)
class Reinforce(AskTell[Policy]):
    """A softmax policy on every decision by itself, trained by REINFORCE (the baseline of NAS-Bench-201; Williams, 1992).

    One step: draw an option of each decision, try the candidate, take its validation accuracy as the reward (0 where it
    failed), update the moving average of rewards, then one Adam step on ``-log p(candidate) (reward - average)``. What
    is recommended is the best candidate that was tried.
    """

    state = Policy

    def __init__(self, config: ReinforceConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return -(-self.config.trials // self.config.batch)

    def begin(self, context: SearchContext) -> Policy:
        counts = [len(decision.options) for decision in context.space.decisions]
        logits = START * torch.randn(len(counts), max(counts, default=1), generator=generator(context.seed, "policy")).double()
        for row, count in zip(logits, counts, strict=True):
            row[count:] = -math.inf
        return Policy(logits=logits, first=torch.zeros_like(logits), second=torch.zeros_like(logits))

    def ask(self, context: SearchContext, state: Policy) -> Sequence[Proposal]:
        rng, rows = context.rng("policy"), state.logits.softmax(-1).tolist()
        count = min(self.config.batch, self.config.trials - state.trials)
        choices = [[rng.choices(range(len(row)), row)[0] for row in rows] for _ in range(count)]
        return [Proposal(context.space.decode(choice), self.config.epochs) for choice in choices]

    def tell(self, context: SearchContext, state: Policy, reports: Sequence[Report]) -> Policy:
        if not reports:
            return state
        momentum, baseline, weight = self.config.momentum, state.baseline, state.weight
        rewards = [max(report.accuracy, 0.0) for report in reports]
        advantages = []
        for reward in rewards:
            baseline = momentum * baseline + (1 - momentum) * reward
            weight = momentum * weight + (1 - momentum)
            advantages.append(reward - baseline / weight)
        choices = [context.space.encode(report.proposal.genotype) for report in reports]
        gradient = policy_gradient(state.logits, choices, advantages)
        logits, first, second = adam(state.logits, gradient, state.first, state.second, state.updates + 1, self.config.lr)
        learned = {"logits": logits, "first": first, "second": second, "updates": state.updates + 1}
        return heard(state, reports, baseline=baseline, weight=weight, **learned)

    def recommend(self, context: SearchContext, state: Policy) -> Sequence[Genotype]:
        return best_of(context, state)

    def figures(self, state: Policy) -> dict[str, Any]:
        """``entropy`` is the mean over the decisions, in nats; it starts near the logarithm of the number of options."""
        p = state.logits.softmax(-1)
        entropy = torch.special.entr(p).sum(-1).mean().item() if len(p) else 0.0
        reward = state.baseline / state.weight if state.weight else None
        return {**progress(state), "reward": reward, "entropy": entropy}


def policy_gradient(logits: Tensor, choices: Sequence[Sequence[int]], advantages: Sequence[float]) -> Tensor:
    """The gradient ``(D, O)`` of the mean over candidates of ``-log p(choice) advantage``: ``(p - one_hot) advantage``."""
    p = logits.softmax(-1)
    gradient = p * (sum(advantages) / len(advantages))
    rows = torch.arange(len(p))
    for choice, advantage in zip(choices, advantages, strict=True):
        gradient[rows, torch.tensor(choice, dtype=torch.long)] -= advantage / len(advantages)
    return gradient


def adam(x: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: int, lr: float) -> tuple[Tensor, Tensor, Tensor]:
    """One step of Adam (Kingma and Ba, ICLR 2015) as a function: the new ``x`` and its two moments; steps count from 1."""
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * gradient.square()
    scale = (second / (1 - BETA2**step)).sqrt() + EPSILON
    return x - lr / (1 - BETA1**step) * first / scale, first, second
