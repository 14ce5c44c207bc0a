"""Trials on disk: kept one by one, recalled after an interruption, repeated where they were damaged."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import OutputError, TrialsFailed
from nastk.core.events import Event, Progress
from nastk.core.run import trial_log
from nastk.core.run.database import connected
from nastk.core.run.run import prepare
from nastk.core.run.runfile import configure
from nastk.core.run.search import search
from nastk.core.run.session import Session
from nastk.core.run.store import RunDirectory
from nastk.core.run.trial import Proposal, Report
from nastk.core.run.trial_log import MIGRATIONS, TrialLog
from nastk.core.run.trials import FAILURES, Trials
from nastk.core.seeds import rng
from nastk.core.settings import BudgetConfig
from nastk.testing import build_space

TOY = build_space("toy")
FIGURES = st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False) | st.integers(-9, 9) | st.none(), max_size=3)
REPORTS = st.builds(
    lambda seed, epochs, figures, failure: Report(Proposal(TOY.sample(rng(seed, "report")), epochs), figures, failure),
    st.integers(0, 99), st.integers(1, 9), FIGURES, st.none() | st.text(max_size=9),
)  # fmt: skip


def kept(folder: Path, reports: list[Report]) -> TrialLog:
    log = TrialLog(folder)
    for number, report in enumerate(reports, start=1):
        log.keep(number, report)
    return log


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@given(st.lists(REPORTS, max_size=5))
@settings(deadline=None, max_examples=25)
def test_what_is_kept_is_read(reports: list[Report]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept(Path(folder), reports).close()
        log = TrialLog(Path(folder))
        assert log.read() == reports
        log.close()


def test_a_damaged_or_missing_row_is_known_and_can_be_replaced(tmp_path: Path) -> None:
    reports = [Report(Proposal(TOY.sample(rng(n, "report")), 1), {"accuracy": n / 10}) for n in range(4)]
    kept(tmp_path, reports).close()
    change(tmp_path / trial_log.FILE, "UPDATE trials SET figures = replace(figures, '0.1', '0.9')")
    change(tmp_path / trial_log.FILE, "DELETE FROM trials WHERE number = 3")
    log = TrialLog(tmp_path)
    assert log.read() == [reports[0], None, None, reports[3]]
    log.keep(2, reports[1])
    assert log.read() == [reports[0], reports[1], None, reports[3]]
    log.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_log_of_every_older_schema_is_read(tmp_path: Path, version: int) -> None:
    report = Report(Proposal(TOY.sample(rng(1, "report")), 2), {"accuracy": 0.5})
    connection = sqlite3.connect(tmp_path / trial_log.FILE)
    for migration in MIGRATIONS[:version]:
        connection.execute(migration)
    connection.execute(f"PRAGMA user_version = {version}")
    row = (1, report.proposal.genotype.to_json(), 2, '{"accuracy": 0.5}')
    connection.execute("INSERT INTO trials (number, genotype, epochs, figures) VALUES (?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    log = TrialLog(tmp_path)
    assert log.read() == [report]
    log.keep(2, report)
    assert log.read() == [report, report]
    log.close()


def test_a_log_of_a_newer_nastk_and_a_file_that_is_none(tmp_path: Path) -> None:
    kept(tmp_path, []).close()
    log = TrialLog(tmp_path)
    log.keep(1, Report(Proposal(TOY.sample(rng(1, "report")), 2)))
    log.close()
    change(tmp_path / trial_log.FILE, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(OutputError, match="use a newer nastk"):
        TrialLog(tmp_path).read()
    (tmp_path / trial_log.FILE).write_bytes(b"no database at all, but long enough to be looked at" * 99)
    with pytest.raises(OutputError, match="cannot be used"):
        TrialLog(tmp_path).read()


class Killed(BaseException):
    """The process ends here."""


def in_table(folder: Path, **tables: Any) -> Session:
    run = prepare(configure({"benchmark": "nats-bench", "space": "nas-bench-201", **tables}))
    run.store = RunDirectory(folder)
    return run


def told(run: Session) -> list[Report]:
    return list(run.context.trials.values())


@given(
    st.integers(1, 4), st.integers(3, 12), st.none() | st.integers(1, 12), st.lists(st.integers(1, 12), max_size=3), st.booleans()
)
@settings(deadline=None, max_examples=25)
def test_killed_at_any_trials_it_ends_as_if_it_had_not_been(
    batch: int, trials: int, limit: int | None, kills: list[int], checkpoints: bool
) -> None:
    """After each kill no report is made twice, and the end is that of the search that nobody interrupted."""
    tables: dict[str, Any] = {"strategy": {"name": "random-search", "trials": trials, "batch": batch}}
    tables["budget"] = {} if limit is None else {"evaluations": limit}
    every = 0.0 if checkpoints else 1e9
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        whole = in_table(Path(one), **tables)
        wanted = search(whole.strategy, whole.context, whole.store, every)
        made = 0
        for kill in [*kills, 10**6]:
            run = in_table(Path(two), **tables)
            count = 0

            def emit(event: Event, kill: int = kill) -> None:
                nonlocal count
                count += isinstance(event, Progress)
                if count == kill:
                    raise Killed

            run.context.emit = emit
            log = len(TrialLog(Path(two)).read())
            try:
                found = search(run.strategy, run.context, run.store, every)
            except Killed:
                made += len(TrialLog(Path(two)).read()) - log
            else:
                made += len(TrialLog(Path(two)).read()) - log
                break
        assert found.genotype == wanted.genotype
        assert told(run) == told(whole)
        assert made == len(told(whole)) == len(TrialLog(Path(two)).read()), "a report that was kept was made again"


def test_a_damaged_trial_is_tried_again_and_nothing_else(tmp_path: Path) -> None:
    tables = {"strategy": {"name": "random-search", "trials": 6, "batch": 2}}
    whole = in_table(tmp_path, **tables)
    wanted = search(whole.strategy, whole.context, whole.store, 0)
    change(tmp_path / trial_log.FILE, "UPDATE trials SET figures = '{\"accuracy\": 1.0}' WHERE number = 3")
    run = in_table(tmp_path, **tables)
    events: list[Event] = []
    run.context.emit = events.append
    again: list[int] = []
    keep = TrialLog.keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialLog, "keep", lambda self, number, report: (again.append(number), keep(self, number, report))[1])
        assert search(run.strategy, run.context, run.store, 0).genotype == wanted.genotype
    assert again == [3]
    assert told(run) == told(whole)
    assert any("1 trials in" in getattr(event, "text", "") for event in events)


def test_the_budget_of_device_hours_counts_what_trials_say() -> None:
    trials = Trials(BudgetConfig(device_hours=1.0))
    for n in range(3):
        assert not trials.over
        trials.saw(n, Report(Proposal(TOY.sample(rng(n, "report")), 1), {"accuracy": 0.5, "seconds": 1500.0}))
    assert trials.over
    assert trials.seconds == 4500


@given(st.lists(st.booleans(), max_size=60), st.floats(0.1, 1.0))
@settings(deadline=None, max_examples=60)
def test_too_many_failures_stop_the_search_with_their_causes(failed: list[bool], limit: float) -> None:
    trials = Trials(BudgetConfig(failed=limit))
    for n, bad in enumerate(failed):
        failure = f"cause {n % 2}\nand its log" if bad else None
        trials.saw(n, Report(Proposal(TOY.sample(rng(n, "report")), 1), {} if bad else {"accuracy": 0.1}, failure))
    if sum(failed) >= FAILURES and sum(failed) > limit * len(failed):
        with pytest.raises(TrialsFailed, match=f"{sum(failed)} of {len(failed)} trials failed") as caught:
            trials.check()
        assert "x cause" in str(caught.value)
        assert "its log" not in str(caught.value)
    else:
        trials.check()


def test_a_migration_is_applied_whole_or_not_at_all(tmp_path: Path) -> None:
    """A process that ends in the middle of one leaves the schema before it, and the next process can go on."""
    with pytest.raises(sqlite3.OperationalError):
        connected(tmp_path / "db", ["CREATE TABLE a (x); CREATE nonsense"])
    connected(tmp_path / "db", ["CREATE TABLE a (x)"]).close()
    again = connected(tmp_path / "db", ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"])
    assert [row[1] for row in again.execute("PRAGMA table_info(a)")] == ["x", "y"]
    again.close()
