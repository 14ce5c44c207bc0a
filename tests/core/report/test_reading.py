"""What is read of a directory that somebody else writes: whole lines, whole rows, nothing changed, nothing believed."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import OutputError
from nastk.core.report.amounts import at, finite, number_at
from nastk.core.report.documents import jobs_of, json_of, query, toml_of, trials_of
from nastk.core.report.gather import RunData, gather
from nastk.core.report.timeline import timeline
from nastk.core.run.metrics import line, read
from nastk.core.run.trial_log import TrialLog
from tests.core.report.conftest import Make, stage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["event", "stage", "total", "unit", "done", "step", "figures", "time", "seconds", "text"])
EVENTS = st.sampled_from(["stage_started", "step", "stage_done", "notice"])
ENTRIES = st.lists(
    st.tuples(st.dictionaries(KEYS, JSON, max_size=6), EVENTS).map(lambda pair: {**pair[0], "event": pair[1]}), max_size=5
)


@given(ENTRIES)
@settings(deadline=None, max_examples=60)
def test_a_timeline_takes_anything(entries: list[dict[str, Any]]) -> None:
    found = timeline(entries)
    for one in found.stages:
        assert all(math.isfinite(value) for _, value in one.series("loss"))
        left = one.left(1e9)
        assert left is None or left >= 0 or one.total < one.done


@given(JSON, st.lists(st.text(max_size=3) | st.integers(0, 3), max_size=3))
@settings(deadline=None, max_examples=200)
def test_looking_into_a_document_never_fails(tree: Any, path: list[str | int]) -> None:
    found = at(tree, *path)
    assert number_at(tree, *path) == finite(found)
    assert finite(found) is None or math.isfinite(float(found))


def test_stages_steps_and_the_time_that_is_left() -> None:
    entries = stage("search", [{"loss": 2.0}, {"loss": 1.5}, {"loss": None}], "steps", over=False)
    entries[0]["total"] = 5
    (found,) = timeline(entries).stages
    assert (found.name, found.unit, found.done, found.total, found.seconds) == ("search", "steps", 3, 5, None)
    assert found.series("loss") == [(1.0, 2.0), (2.0, 1.5)]
    assert found.left(130.0) == pytest.approx(20.0)  # two steps of ten seconds
    assert found.left(136.0) == pytest.approx(14.0)
    assert found.left(999.0) == pytest.approx(10.0), "never below the steps that have not begun"
    assert timeline(stage("search", [{"loss": 1.0}], "steps")).stages[0].left(0.0) == 0.0


def test_a_resumed_stage_goes_on_where_it_was() -> None:
    first = stage("train", [{"loss": 3.0}, {"loss": 2.0}], "epochs", over=False)
    again = [{"event": "stage_started", "stage": "train", "total": 4, "unit": "epochs", "done": 1, "time": 500.0}]
    again += [{"event": "step", "stage": "train", "step": 2, "figures": {"loss": 1.0}, "time": 508.0}]
    (found,) = timeline([*first, *again]).stages
    assert found.series("loss") == [(1.0, 3.0), (2.0, 1.0)], "of a step that was done twice the later one counts"
    assert (found.done, found.total) == (2, 4)
    assert found.left(508.0) == pytest.approx(16.0), "at the pace since the resume"


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    entries = stage("search", [{"loss": 2.0}, {"loss": 1.5}], "steps", over=False)
    whole = b"".join(map(line, entries))
    for cut in range(2, 30):
        (tmp_path / "metrics.jsonl").write_bytes(whole[:-cut])
        (found,) = timeline(read(tmp_path / "metrics.jsonl")).stages
        assert found.done == 1


def test_trials_are_those_of_the_log(make: Make) -> None:
    told = [{"accuracy": 0.5, "nos": {"total": 10.0}}, {"failure": "it diverged"}, {"accuracy": 0.25}]
    run = make(trials=told)
    before = sorted(path.name for path in run.iterdir())
    trials, lost = trials_of(run)
    assert sorted(path.name for path in run.iterdir()) == before, "looking leaves no file"
    log = TrialLog(run)
    reports = log.read()
    log.close()
    assert [(t.digest, t.epochs, dict(t.figures), t.failure) for t in trials] == [
        (r.proposal.genotype.digest, r.proposal.epochs, dict(r.figures), r.failure) for r in reports if r is not None
    ]
    assert lost == 0


def test_a_damaged_trial_is_counted_not_believed(make: Make) -> None:
    run = make(trials=[{"accuracy": 0.5}, {"accuracy": 0.75}])
    connection = sqlite3.connect(run / "trials.sqlite")
    with connection:
        connection.execute("UPDATE trials SET figures = ? WHERE number = 2", (json.dumps({"accuracy": 1.0}),))
    connection.close()
    trials, lost = trials_of(run)
    assert ([t.number for t in trials], lost) == ([1], 1)


def test_a_log_that_is_being_written_is_read(make: Make) -> None:
    run = make(trials=[{"accuracy": 0.5}])
    log = TrialLog(run)
    connection = sqlite3.connect(run / "trials.sqlite")
    try:
        assert log.read()
        assert len(trials_of(run)[0]) == 1
        rows = connection.execute("SELECT genotype, epochs, figures, failure FROM trials").fetchall()
        with connection:
            connection.execute("INSERT INTO trials VALUES (2, ?, ?, ?, ?, '')", rows[0])
        assert len(trials_of(run)[0]) == 2, "what stands in the log beside the file counts"
    finally:
        connection.close()
        log.close()


def test_what_is_no_database_is_one_sentence(make: Make) -> None:
    run = make()
    (run / "trials.sqlite").write_text("no database, but as long as the head of one" * 30)
    with pytest.raises(OutputError, match=r"trials\.sqlite cannot be read"):
        gather(run)
    assert query(run / "absent.sqlite", "SELECT 1") == []
    assert jobs_of(run) == ()


@pytest.mark.parametrize("name", ["manifest.toml", "result.json"])
def test_a_damaged_document_is_refused(make: Make, name: str) -> None:
    run = make()
    path = run / name
    path.write_text(path.read_text().replace("darts", "gdas"))
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        gather(run)
    path.write_text("[[[")
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        gather(run)


def test_what_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="There is no directory"):
        gather(tmp_path / "absent")
    with pytest.raises(OutputError, match=r"neither a run nor a study: it has no manifest.toml and no study.toml"):
        gather(tmp_path)
    with pytest.raises(OutputError, match="cannot be read"):
        toml_of(tmp_path / "manifest.toml")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(OutputError, match="expected an object"):
        json_of(tmp_path / "list.json")
    assert json_of(tmp_path / "absent.json") == {}


def test_a_space_that_is_not_here_costs_the_names_alone(make: Make) -> None:
    here = make("here")
    config = {**toml_of(here / "manifest.toml")["config"], "space": {"name": "not-installed"}}
    known, strange = gather(here), gather(make("strange", manifest={"config": config}))
    assert isinstance(known, RunData)
    assert isinstance(strange, RunData)
    assert (list(known.full), strange.full) == (["shared"], {})
    assert strange.timeline == known.timeline
