"""Runs on disk: listed, compared, verified."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.core.errors import OutputError
from nastk.core.run.lock import locked
from nastk.core.run.seal import sealed
from nastk.core.run.store import RunDirectory

HOLD = "import sys, time; from pathlib import Path; from nastk.core.run.lock import locked\n" \
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"  # fmt: skip


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "one"))


def test_a_finished_run_is_listed(copied: Path) -> None:
    (found,) = nastk.runs(copied.parent)
    assert (found.path, found.state, found.fault) == (copied, "done", "")
    assert (found.stage, found.done, found.total) == ("test", 1, 1)
    assert found.about == {"strategy": "ma-darts", "space": "toy", "dataset": "synthetic", "seed": 0}
    assert found.accuracy == json.loads((copied / "result.json").read_text())["test"]["accuracy"]
    shown = CliRunner().invoke(app, ["runs", str(copied.parent), "--json"])
    assert json.loads(shown.stdout)[0]["state"] == "done"
    assert "done" in CliRunner().invoke(app, ["runs", str(copied.parent)]).stdout


def test_states_of_runs_that_are_not_done(tiny: Any, copied: Path, tmp_path: Path) -> None:
    assert copied.is_dir()
    nastk.search(out=tmp_path / "runs" / "two", set=tiny.sets, **tiny.flags)
    (tmp_path / "runs" / "three").mkdir()
    (tmp_path / "runs" / "three" / "manifest.toml").write_text("[")
    one, three, two = nastk.runs(tmp_path / "runs")
    assert (one.state, two.state, three.state) == ("done", "interrupted", "damaged")
    assert (two.stage, two.done, two.total, two.accuracy) == ("search", 2, 2, None)
    assert "manifest.toml" in three.fault


def test_no_folder() -> None:
    shown = CliRunner().invoke(app, ["runs", "nowhere"])
    assert shown.exit_code == 2
    assert "There is no folder nowhere" in shown.stderr


def test_a_directory_in_use_is_refused_and_a_lock_left_behind_is_none(copied: Path) -> None:
    """The second process hears of the first's host and number; when the first is killed, the directory is free."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(copied)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"in use by process {process.pid} on "), locked(copied):
            pass
        assert nastk.runs(copied.parent)[0].holder.startswith(f"process {process.pid} on ")
        with pytest.raises(OutputError, match="in use"):
            nastk.run(resume=copied)
    finally:
        process.kill()
        process.wait()
    with locked(copied):
        pass
    assert nastk.runs(copied.parent)[0].holder == ""


def test_two_runs_are_compared(tiny: Any, copied: Path, tmp_path: Path) -> None:
    assert nastk.compare_runs(copied, copied) == {}
    tiny.run(tmp_path / "other", seed=1)
    found = nastk.compare_runs(copied, tmp_path / "other")
    assert found["config.seed"] == (0, 1)
    assert not any(name.startswith("versions") for name in found)
    shown = CliRunner().invoke(app, ["runs", "compare", str(copied), str(tmp_path / "other"), "--json"])
    assert json.loads(shown.stdout)["config.seed"] == [0, 1]
    assert CliRunner().invoke(app, ["runs", "compare", str(copied)]).exit_code == 2


@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_is_verified_and_only_read(copied: Path, steps: int) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    found = nastk.verify(copied, steps)
    assert found.holds
    search, train = found.stages
    assert (search.stage, search.last, search.difference) == ("search", 2, "")
    assert search.first <= 2 - steps, "steps shorter than a second have no checkpoint each"
    assert (train.stage, train.first, train.last, train.difference) == ("train", 2 - steps, 2, "")
    assert found.surroundings == {}
    assert before == {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}


def test_a_changed_bit_and_other_versions_are_told(copied: Path) -> None:
    store = RunDirectory(copied)
    saved = store.load("train")
    assert saved is not None
    name = next(iter(saved["weights"]))
    saved["weights"][name].view(-1)[0] += 1e-6
    store.save("train", 2, saved)
    manifest = store.read_toml("manifest.toml")
    manifest["versions"]["numpy"] = "0.1"
    (copied / "manifest.toml").write_text(tomli_w.dumps(sealed(manifest)))
    found = nastk.verify(copied)
    assert [stage.difference for stage in found.stages] == ["", f".weights.{name}"]
    assert found.surroundings["versions.numpy"][0] == "0.1"
    shown = CliRunner().invoke(app, ["verify", str(copied)])
    assert shown.exit_code == 1
    assert f"differs at weights.{name}" in shown.stdout


def test_trials_are_run_again_by_verify(tmp_path: Path, tiny: Any) -> None:
    sets = [text for text in tiny.sets if not text.startswith("strategy")]
    nastk.search(
        out=tmp_path / "run", set=[*sets, "strategy.trials=3", "strategy.epochs=1"], **{**tiny.flags, "strategy": "random-search"}
    )
    assert nastk.verify(tmp_path / "run").holds
    store = RunDirectory(tmp_path / "run")
    saved = store.load("search")
    assert saved is not None
    saved["state"]["accuracy"] += 0.25
    store.save("search", 3, saved)
    assert [stage.difference for stage in nastk.verify(tmp_path / "run").stages] == [".state.accuracy"]
