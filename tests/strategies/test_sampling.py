"""What all strategies that sample have in common: they resume anywhere, keep budgets, and end where the space does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from nastk.core.cell.graph import Genotype
from nastk.core.events import StepDone
from nastk.core.laws.searching import difference, snapshot
from nastk.core.run.search import search
from nastk.core.run.store import RunDirectory
from nastk.core.seeds import rng

STRATEGIES: dict[str, dict[str, Any]] = {
    "random-search": {"trials": 24},
    "regularized-evolution": {"trials": 24, "population": 5},
    "local-search": {"trials": 24},
    "successive-halving": {"trials": 12, "epochs": 9},
    "hyperband": {"epochs": 9},
    "nsga2": {"trials": 24, "population": 5, "objectives": ["accuracy", "cost"]},
    "predictor": {"trials": 24, "batch": 2, "initial": 4, "trees": 5},
    "reinforce": {"trials": 24},
}
every = pytest.mark.parametrize("name", STRATEGIES)
Make = Callable[..., Any]


class _Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if "predictor" in request.node.name:
        pytest.importorskip("sklearn")


def figures(genotype: Genotype, epochs: int) -> dict[str, float] | None:
    """Random, a little better with longer training; one in ten fails."""
    accuracy, cost, fails = (rng(1, purpose, genotype.to_json()).random() for purpose in ("accuracy", "cost", "fails"))
    return None if fails < 0.1 else {"accuracy": 0.9 * accuracy + epochs / 100, "cost": cost}


@every
@pytest.mark.parametrize("batch", [1, 4])
def test_it_resumes_at_any_step(landscape: Make, tmp_path: Path, name: str, batch: int) -> None:
    """Killed again and again, each time a few steps on, it ends as the uninterrupted search: state, step and genotype."""

    def made() -> Any:
        return landscape({"name": name, **STRATEGIES[name], "batch": batch}, figures, space="nas-bench-201", seed=3)

    whole = made()
    last = whole.end()
    context = made()
    for stop in range(3, whole.step, 3):
        context = made()

        def emit(event: Any, stop: int = stop) -> None:
            if isinstance(event, StepDone) and event.step == stop:
                raise _Killed

        context.emit = emit
        with suppress(_Killed):
            search(context.strategy, context, RunDirectory(tmp_path))
    context = made()
    found = search(context.strategy, context, RunDirectory(tmp_path))
    assert (found.steps, found.genotype) == (whole.step, whole.strategy.recommend(whole, last)[0])
    assert list(context.trials) == list(whole.trials)
    saved = RunDirectory(tmp_path).load("search")
    tree = {a.name: snapshot(getattr(last, a.name)) for a in attrs.fields(type(last))}
    assert saved is not None
    assert not difference(saved["state"], tree)


@every
@pytest.mark.parametrize("limit", [1, 7])
def test_the_budget_is_used_to_the_last_trial_and_no_further(landscape: Make, name: str, limit: int) -> None:
    spec = {"name": name, **STRATEGIES[name], "batch": 4}
    context = landscape(spec, figures, space="nas-bench-201", budget={"evaluations": limit})
    state = context.end()
    assert len(context.trials) == limit
    assert state.trials == limit
    assert context.strategy.recommend(context, state)[0] in context.space


@every
def test_it_ends_in_a_space_with_fewer_members_than_trials(landscape: Make, name: str) -> None:
    small = {"name": "toy", "operations": ["conv_3x3", "skip_connect"]}
    context = landscape({"name": name, **STRATEGIES[name]}, figures, space=small)
    assert context.space.size == 8
    state = context.end()
    assert len({report.proposal.genotype for report in context.trials.values()}) <= 8
    assert context.strategy.recommend(context, state)[0] in context.space


@every
def test_the_best_is_recommended_and_reported(landscape: Make, name: str) -> None:
    context = landscape({"name": name, **STRATEGIES[name]}, figures, space="nas-bench-201")
    state = context.end()
    reports = [report for report in context.trials.values() if report.failure is None]
    longest = max(report.proposal.epochs for report in reports)
    best = max((report for report in reports if report.proposal.epochs == longest), key=lambda report: report.accuracy)
    assert context.strategy.recommend(context, state)[0] == best.proposal.genotype
    found = context.strategy.figures(state)
    assert found["best_accuracy"] == best.accuracy
    assert found["trials"] == sum(map(len, context.asked))
    assert found["failed"] == sum(
        context.trials[p.genotype, p.epochs].failure is not None for asked in context.asked for p in asked
    )
