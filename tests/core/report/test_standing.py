"""How far a run or a study is, seen from beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from nastk.core.ablation.ledger import Ledger
from nastk.core.errors import OutputError
from nastk.core.report.standing import RunStanding, StudyStanding, Watch
from nastk.core.report.timeline import Stage
from nastk.core.run.lock import locked
from nastk.core.run.metrics import line
from tests.core.report.conftest import Make, stage

BEGUN = {"result": {"status": "started", "test": None}}


def looked(path: Path) -> RunStanding:
    found = Watch(path).look()
    assert isinstance(found, RunStanding)
    return found


def test_a_run_that_is_done(make: Make) -> None:
    run = make(trials=[{"accuracy": 0.5}, {"accuracy": 0.75}, {"failure": "no"}], notices=["look out"])
    before = sorted(run.rglob("*"))
    found = looked(run)
    assert sorted(run.rglob("*")) == before, "looking leaves nothing behind"
    assert (found.state, found.over, found.holder) == ("done", True, "")
    assert found.about == "darts toy synthetic, seed 0"
    assert (found.trials, found.best, found.accuracy) == (3, 0.75, 0.875)
    assert found.timeline.notices == ("look out",)
    assert found.stage is not None
    assert (found.stage.name, found.stage.done, found.stage.total) == ("train", 2, 2)


def test_a_run_that_goes_on_and_is_left(make: Make) -> None:
    run = make(**BEGUN, train=[])
    assert looked(run).state == "interrupted"
    with locked(run):
        found = looked(run)
        assert (found.state, found.over) == ("running", False)
        assert found.holder.startswith("process ")
    assert looked(run).over


def test_a_run_is_running_until_it_lets_go(make: Make) -> None:
    run = make()
    with locked(run):
        assert looked(run).state == "running"
    assert looked(run).state == "done"


def test_a_look_sees_what_was_added_since_the_last(make: Make) -> None:
    run = make(**BEGUN, search=[], train=[])
    watch = Watch(run)
    assert watch.look().timeline.stages == ()  # type: ignore[union-attr]
    entries = stage("search", [{"loss": 2.0}, {"loss": 1.5}], "steps", over=False)
    lines = [line(entry) for entry in entries]
    with (run / "metrics.jsonl").open("ab") as file:
        for nth, text in enumerate(lines):
            file.write(text[:-9])  # torn
            file.flush()
            torn = watch.look()
            file.write(text[-9:])
            file.flush()
            whole = watch.look()
            assert isinstance(torn, RunStanding)
            assert isinstance(whole, RunStanding)
            assert (torn.stage.done if torn.stage else -1) == nth - 1
            assert whole.stage is not None
            assert whole.stage.done == nth


def test_the_manifest_alone_is_enough(make: Make) -> None:
    run = make(search=[], train=[])
    (run / "result.json").unlink()
    (run / "metrics.jsonl").unlink()
    found = looked(run)
    assert (found.state, found.about, found.stage) == ("interrupted", "darts toy synthetic, seed 0", None)


def test_refusals(make: Make, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="neither a run nor a study: there is no such directory"):
        Watch(tmp_path / "absent")
    with pytest.raises(OutputError, match=r"it has no manifest\.toml and no study\.toml"):
        Watch(tmp_path)
    run = make()
    (run / "result.json").write_text("{")
    with pytest.raises(OutputError, match="damaged"):
        Watch(run).look()


def test_a_study_that_is_done(study: Path) -> None:
    found = Watch(study).look()
    assert isinstance(found, StudyStanding)
    assert (found.state, found.count("done"), len(found.jobs), found.left) == ("done", 4, 4, 0.0)
    assert {job.cell for job in found.jobs} == {"none", "eca"}


def test_a_study_that_goes_on(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.toml").write_text("")
    make("study/runs/x-0", **BEGUN, train=[])
    with Ledger(folder) as ledger:
        ledger.plan([("x", "se", "cell", "{}")], [(f"runs/x-{seed}", "x", seed, "run") for seed in range(4)])
        ledger.set("runs/x-1", "done", seconds=20.0)
        ledger.set("runs/x-2", "failed", "it\ndiverged")
        ledger.set("runs/x-0", "running")
        with locked(folder):
            found = Watch(folder).look()  # while the ledger is open
    assert isinstance(found, StudyStanding)
    assert found.state == "running"
    assert [found.count(state) for state in ("done", "failed", "running", "waiting")] == [1, 1, 1, 1]
    assert found.left == pytest.approx(40.0)
    ((name, inside),) = found.running
    assert name == "se, seed 0"
    assert isinstance(inside, Stage)
    assert inside.name == "search"
    assert evolve(found, jobs=found.jobs[2:3]).left == 0.0
    assert Watch(folder).look().state == "interrupted"
