"""Seeds of strategies in a table: equal whatever plays them, and equal to what a run in a directory finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import nastk
from nastk.core.bench.entering import prepared
from nastk.core.bench.tournament import play, tournament
from nastk.core.errors import NastkError
from nastk.core.run.tabular import TabularRun

STRATEGIES = ["regularized-evolution", "random-search"]
MADE_UP = {"name": "counted-table"}


def quiet(done: int, total: int) -> None:
    del done, total


def in_nats(names: list[str], budget: int = 40) -> list[TabularRun]:
    return prepared({"name": "nats-bench"}, names, budget, None, [])


def test_neither_workers_nor_order_change_a_seed() -> None:
    runs = in_nats(STRATEGIES)
    told: list[tuple[int, int]] = []
    alone = tournament(runs, 7, "test", 1, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 14)
    assert told[-1] == (14, 14)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert tournament(runs, 7, "test", 2, quiet) == alone
    order = [(i, seed) for i in range(2) for seed in range(7)]
    random.Random(1).shuffle(order)
    for i, seed in order:
        assert play(runs[i], seed) == alone[i][seed]
    assert [one.seed for one in alone[0]] == list(range(7))
    assert len({one.changes for one in alone[0]}) == 7  # seeds differ


def test_a_seed_finds_what_a_run_in_a_directory_finds(tmp_path: Path) -> None:
    run = in_nats(["regularized-evolution"])[0]
    strategy = {"name": "regularized-evolution", "trials": 40}
    result = nastk.run(benchmark="nats-bench", strategy=strategy, budget={"evaluations": 40}, seed=5, out=tmp_path / "run")
    assert play(run, 5).final == result["test"]["accuracy"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_budget_is_what_a_strategy_gets(name: str) -> None:
    for budget in (1, 13, 60):
        run = in_nats([name], budget)[0]
        assert run.config.strategy.config.trials == budget
        found = [play(run, seed).evaluations for seed in range(5)]
        assert max(found) <= budget
        assert min(found) > 0.7 * budget  # less only where a candidate was proposed twice, which is free


@pytest.mark.usefixtures("counted")
def test_simulated_seconds_end_a_search() -> None:
    (run,) = prepared(MADE_UP, ["random-search"], 60, 100 / 3600, [])
    for seed in range(5):
        found = play(run, seed)
        assert found.seconds is not None
        assert 90 <= found.seconds <= 100.001
        assert found.evaluations < 60
        assert all(change.seconds <= 100.001 for change in found.changes)


@pytest.mark.usefixtures("counted")
def test_failed_trials_count_and_are_never_picked() -> None:
    (run,) = prepared({**MADE_UP, "broken": 1}, ["random-search"], 60, None, [])
    found = [play(run, seed) for seed in range(10)]
    assert sum(one.failed for one in found) > 0
    assert all(one.failed < one.evaluations <= 60 for one in found)
    assert all(one.final > 0 for one in found)


@pytest.mark.usefixtures("counted")
def test_a_plug_in_of_this_process_alone_is_said_to_be_so() -> None:
    runs = prepared(MADE_UP, ["random-search"], 5, None, [])
    with pytest.raises(NastkError, match=r"counted-table.*use one worker"):
        tournament(runs, 1, "test", 2, quiet)


@pytest.mark.usefixtures("counted")
def test_the_objective_is_what_an_incumbent_is_worth() -> None:
    (run,) = prepared(MADE_UP, ["random-search"], 20, None, ["strategy.epochs=1"])
    for seed in range(5):
        test, validation = play(run, seed, "test"), play(run, seed, "validation")
        assert [c[:2] for c in test.changes] == [c[:2] for c in validation.changes]  # chosen alike
        assert validation.final == pytest.approx(test.final + 0.1)  # after ten epochs, though chosen after one
