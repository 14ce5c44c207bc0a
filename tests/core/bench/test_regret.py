"""Trajectories against the plain reading of what a user would have picked, evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk import Benchmark, Proposal, Report
from nastk.core.bench.regret import Change, Trajectory, curves, optimum, trajectory, value_of
from nastk.core.config import BenchmarkPart
from nastk.core.errors import DataError
from nastk.testing import build_space

TENTHS = st.integers(0, 10).map(lambda n: n / 10)


@st.composite
def reports(draw: st.DrawFn, lengths: Sequence[int] = (1, 4, 12)) -> list[Report]:
    """Reports of made-up members, which are numbers; ties and failures are frequent."""
    found = []
    for number in range(draw(st.integers(0, 25))):
        epochs = draw(st.sampled_from(list(lengths)))
        figures: dict[str, Any] = {"epochs": epochs, "seconds": draw(st.integers(0, 9))}
        proposal = Proposal(number, 99)  # type: ignore[arg-type]  # nothing looks inside a genotype here
        if draw(st.integers(0, 4)) == 0:
            found.append(Report(proposal, {"seconds": figures["seconds"]}, "it diverged"))
        else:
            found.append(Report(proposal, {**figures, "accuracy": draw(TENTHS)}))
    return found


def picked(seen: Sequence[Report]) -> int | None:
    """What a user would pick: of the longest trainings the most accurate, of those the first."""
    good = [report for report in seen if report.failure is None]
    if not good:
        return None
    longest = max(report.figures["epochs"] for report in good)
    best = max(report.accuracy for report in good if report.figures["epochs"] == longest)
    first = next(r for r in good if r.figures["epochs"] == longest and r.accuracy == best)
    return first.proposal.genotype  # type: ignore[return-value]


@settings(deadline=None, max_examples=150)
@given(reports(), st.lists(TENTHS, min_size=25, max_size=25))
def test_the_incumbent_is_what_a_user_would_pick(seen: list[Report], worth: list[float]) -> None:
    found = trajectory(3, seen, worth.__getitem__)  # type: ignore[arg-type]
    moments = np.arange(len(seen) + 3)
    values = found.at(moments)
    for count in moments:
        choice = picked(seen[:count])
        assert values[count] == (0.0 if choice is None else worth[choice])
    assert found.final == values[-1]
    assert found.evaluations == len(seen)
    assert found.failed == sum(report.failure is not None for report in seen)
    assert found.seconds == (sum(report.figures["seconds"] for report in seen) if seen else None)


@settings(deadline=None, max_examples=100)
@given(reports(), st.lists(TENTHS, min_size=25, max_size=25))
def test_over_seconds_an_incumbent_counts_when_its_training_has_ended(seen: list[Report], worth: list[float]) -> None:
    found = trajectory(0, seen, worth.__getitem__)  # type: ignore[arg-type]
    ends = np.cumsum([report.figures["seconds"] for report in seen])
    for moment in range(int(ends[-1]) + 2 if seen else 2):
        choice = picked(seen[: int(np.searchsorted(ends, moment, side="right"))])
        assert found.at(np.array([moment]), "seconds")[0] == (0.0 if choice is None else worth[choice])


@settings(deadline=None, max_examples=100)
@given(reports(), st.lists(TENTHS, min_size=25, max_size=25), st.integers(0, 60))
def test_a_limit_of_seconds_leaves_out_what_ends_after_it(seen: list[Report], worth: list[float], limit: int) -> None:
    ends = np.cumsum([report.figures["seconds"] for report in seen])
    inside = seen[: next((i for i, end in enumerate(ends) if end > limit), len(seen))]
    value = worth.__getitem__
    assert trajectory(0, seen, value, limit) == trajectory(0, inside, value)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(reports(lengths=[12]))
def test_of_one_length_validation_regret_never_grows_and_is_never_negative(seen: list[Report]) -> None:
    accuracy = {report.proposal.genotype: report.accuracy for report in seen}
    found = trajectory(0, seen, accuracy.__getitem__)
    best = max([*accuracy.values(), 0.0])
    (regret,) = curves([found], np.arange(len(seen) + 1), best)
    assert (regret >= 0).all()
    assert (np.diff(regret) <= 0).all()
    assert regret[-1] == 0 or not accuracy or max(accuracy.values()) < 0


def test_only_incumbents_are_asked_what_they_are_worth() -> None:
    asked: list[Any] = []
    seen = [Report(Proposal(n, 1), {"accuracy": a}) for n, a in enumerate([0.5, 0.4, 0.5, 0.6, 0.1])]  # type: ignore[arg-type]
    found = trajectory(0, seen, lambda genotype: asked.append(genotype) or 0.7)
    assert asked == [0, 3]
    assert found.changes == (Change(1, 0.0, 0.7), Change(4, 0.0, 0.7))
    assert found.seconds is None


def test_curves_have_a_row_a_seed() -> None:
    runs = [Trajectory(k, (Change(1, 2.0, 0.5), Change(3, 9.0, 0.75)), 4, 0, 11.0) for k in range(2)]
    assert curves(runs, np.array([0, 1, 2, 3, 9]), 1.0).tolist() == [[1.0, 0.5, 0.5, 0.25, 0.25]] * 2
    assert curves(runs, np.array([1.9, 2.0, 8.9, 9.0]), 1.0, "seconds").tolist() == [[1.0, 0.5, 0.5, 0.25]] * 2


@pytest.mark.parametrize(("dataset", "best"), [("cifar10", 0.943733), ("cifar100", 0.735133)])
def test_the_optimum_of_the_bundled_table_is_the_published_one(dataset: str, best: float) -> None:
    table = BenchmarkPart.named("nats-bench", dataset=dataset).build()
    space = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1})
    assert optimum(table, space, "test") == best == table.optimum
    with files("nastk.plugins.benchmarks").joinpath("nats_bench_tss.npz").open("rb") as stream:
        valid = np.load(stream, allow_pickle=False)[f"{dataset}_val_lowfid"].max()
    assert optimum(table, space, "validation") == pytest.approx(valid / 100, abs=1e-6)


def test_validation_is_that_of_the_longest_training(counted: type[Benchmark]) -> None:
    table = BenchmarkPart.named(counted.__nastk__.name).build()  # type: ignore[attr-defined]
    space = build_space("toy")
    for draw in range(20):
        member = space.decode([draw % len(decision.options) for decision in space.decisions])
        assert value_of(table, "validation")(member) == table.look_up(member, 10)["accuracy"]
        assert value_of(table, "test")(member) == table.test(member)


@pytest.mark.usefixtures("counted")
def test_members_that_cannot_be_looked_up_are_no_optimum() -> None:
    space = build_space("toy")
    whole = BenchmarkPart.named("counted-table").build()
    assert optimum(whole, space, "validation") == pytest.approx(0.3 + 0.1 * 3)
    assert optimum(BenchmarkPart.named("counted-table", broken=1).build(), space, "validation") is not None
    with pytest.raises(DataError, match="No member"):
        optimum(whole, build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1}), "test")
