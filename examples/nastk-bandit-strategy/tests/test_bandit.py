"""The laws of strategies, and that the bandit learns which option pays."""

from __future__ import annotations

from nastk_bandit_strategy import Bandit, BanditConfig

from nastk import Report
from nastk.testing import conformance, small_context

test_bandit_obeys_the_laws = conformance("strategy", "bandit")


def test_it_comes_to_prefer_the_option_that_pays() -> None:
    context = small_context()
    bandit = Bandit(BanditConfig(exploration=0.05))
    state = bandit.begin(context)
    decision = next(i for i, d in enumerate(context.space.decisions) if len(d.options) > 2)
    for step in range(60):
        context.step = step
        (proposal,) = bandit.ask(context, state)
        pays = context.space.encode(proposal.genotype)[decision] == 1
        state = bandit.tell(context, state, [Report(proposal, {"accuracy": 0.9 if pays else 0.1})])
    pulls = state.pulls[decision]
    assert pulls[1] > 3 * max(n for option, n in enumerate(pulls) if option != 1)
