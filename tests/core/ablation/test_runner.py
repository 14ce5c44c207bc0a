"""Studies from begin to end: what is done stays done, whatever ends the process, and whatever is added later."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import nastk
from nastk.core.ablation import work
from nastk.core.ablation.ablate import study_of
from nastk.core.ablation.ledger import FILE
from nastk.core.ablation.plan import RANDOM
from nastk.core.errors import Diverged, Interrupted, OutputError
from nastk.core.run.metrics import read
from nastk.core.run.store import RunDirectory
from tests.faults.conftest import Killed, moments

Tiny = Callable[..., dict[str, Any]]
Tables = Callable[[Path], dict[str, str]]


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the jobs that are begun or gone on with in this process."""
    begun: list[str] = []
    perform = work.perform

    def told(folder: Path, job: work.Work) -> None:
        begun.append(job.key)
        perform(folder, job)

    monkeypatch.setattr(work, "perform", told)
    return begun


def test_every_cell_under_every_seed(tiny: Tiny, tmp_path: Path, performed: list[str]) -> None:
    metrics = ["test.accuracy", "parameters", "sops"]
    found = nastk.ablate(tiny(metrics=metrics, random_search=True), out=tmp_path / "s")
    assert [row.label for row in found.of("test.accuracy").rows] == ["none", "eca", RANDOM]
    assert all(row.described.n == 2 for row in found.of("test.accuracy").rows)
    assert len(performed) == len(set(performed)) == 6
    files = {path.name for path in (tmp_path / "s").iterdir()}
    assert {"table.md", "table.tex", "table.csv", "study.json", "study.toml", "study.sqlite", "figure-test-accuracy.svg"} <= files
    with sqlite3.connect(tmp_path / "s" / FILE) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT COUNT(*) FROM jobs WHERE state = 'done'").fetchone() == (6,)
        rows = connection.execute("SELECT value FROM figures WHERE metric = 'test.accuracy' AND seed = 1").fetchall()
    assert len(rows) == 3
    assert study_of(tmp_path / "s").metrics == found.metrics


def test_cells_and_seeds_are_added_without_repeating(tiny: Tiny, tmp_path: Path, performed: list[str], table: Tables) -> None:
    nastk.ablate(tiny(seeds=[0]), out=tmp_path / "s")
    del performed[:]
    larger = tiny(vary={"model.attention": ["none", "eca", "se"]})
    found = nastk.ablate(larger, resume=tmp_path / "s")
    assert len(performed) == 4
    assert [row.described.n for row in found.of("test.accuracy").rows] == [2, 2, 2]
    del performed[:]
    nastk.ablate(resume=tmp_path / "s")
    assert performed == []
    nastk.ablate(larger, out=tmp_path / "t")
    assert table(tmp_path / "s") == table(tmp_path / "t")


@pytest.mark.parametrize("share", [0.1, 0.55, 0.9])
def test_killed_in_the_middle_and_resumed_the_table_is_the_same(tiny: Tiny, tmp_path: Path, table: Tables, share: float) -> None:
    """Also with the ledger lost: the runs know what they are."""
    document = tiny(seeds=[0], checkpoint_minutes=1e-9)
    with moments(None) as counted:
        nastk.ablate(document, out=tmp_path / "whole")
    with moments(int(share * counted.count)), pytest.raises(Killed):
        nastk.ablate(document, out=tmp_path / "killed")
    if share > 0.5:
        for path in (tmp_path / "killed").glob(f"{FILE}*"):
            path.unlink()
    nastk.ablate(document, resume=tmp_path / "killed")
    assert table(tmp_path / "killed") == table(tmp_path / "whole")


def test_a_run_that_fails_is_kept_with_its_reason(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, performed: list[str]
) -> None:
    search = work.run

    def broken(config: Any = None, **options: Any) -> Any:
        if config is not None and config.seed == 1 and config.model.attention.values[0].name == "eca":
            (options["out"]).mkdir(parents=True)
            (options["out"] / "manifest.toml").write_text("")
            raise Diverged("The loss became NaN.")
        return search(config, **options)

    monkeypatch.setattr(work, "run", broken)
    found = nastk.ablate(tiny(), out=tmp_path / "s")
    assert found.failed == (("eca", 1, "The loss became NaN."),)
    assert "The loss became NaN." in (tmp_path / "s" / "table.md").read_text()
    assert found.of("test.accuracy").rows[1].described.n == 1
    del performed[:]
    assert nastk.ablate(resume=tmp_path / "s").failed == found.failed
    assert performed == [], "a failure is no accident: seeds are fixed"


def test_a_failed_run_is_gone_on_with_where_a_retry_is_asked_for(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, performed: list[str], table: Tables
) -> None:
    """From its last checkpoint: nothing that was done is done again, and the study is the one without the failure."""
    with monkeypatch.context() as patch:

        def full(self: RunDirectory, name: str, *given: Any) -> Path:
            if name.startswith("checkpoints/train") and "runs/" in str(self.path) and str(self.path).endswith("-1"):
                raise OutputError("The disk is full.")
            return write(self, name, *given)

        write = RunDirectory.write
        patch.setattr(RunDirectory, "write", full)
        found = nastk.ablate(tiny(), out=tmp_path / "s")
    assert [(label, seed) for label, seed, _ in found.failed] == [("none", 1), ("eca", 1)]
    failed = performed[2:] if performed[0].endswith("-0") else performed[:2]
    del performed[:]
    again = nastk.ablate(resume=tmp_path / "s", retry_failed=True)
    assert (again.failed, again.missing) == ((), 0)
    assert sorted(performed) == sorted(failed)
    for key in performed:
        lines = read(tmp_path / "s" / key / "metrics.jsonl")
        assert [line["stage"] for line in lines if line["event"] == "step"] == ["search", "train"], "no search twice"
    nastk.ablate(tiny(), out=tmp_path / "t")
    assert table(tmp_path / "s") == table(tmp_path / "t")


def test_a_retry_is_of_a_study_that_is_there(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(nastk.NastkError, match=r"--retry-failed with --resume"):
        nastk.ablate(tiny(), out=tmp_path / "s", retry_failed=True)
    assert not (tmp_path / "s").exists()


def test_an_interrupt_stops_the_study_and_says_how_to_go_on(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: Any, **_options: Any) -> Any:
        raise Interrupted("Interrupted; go on")

    with monkeypatch.context() as patch:
        patch.setattr(work, "run", interrupted)
        with pytest.raises(Interrupted, match="nastk ablate --resume"):
            nastk.ablate(tiny(seeds=[0]), out=tmp_path / "s")
    found = nastk.ablate(resume=tmp_path / "s")
    assert (found.failed, found.missing) == ((), 0)


def test_retraining_is_varied_and_the_search_done_once(tiny: Tiny, tmp_path: Path, performed: list[str]) -> None:
    varied = {"train.epochs": [1, 2], "model.channels": [2, 4]}
    found = nastk.ablate(tiny(stage="retrain", vary=varied, metrics=["parameters", "test.accuracy"]), out=tmp_path / "s")
    assert sum(key.startswith("searches/") for key in performed) == 2, "one a seed"
    assert sum(key.startswith("runs/") for key in performed) == 8
    rows = found.of("parameters").rows
    assert rows[0].values == rows[2].values, "the same cells"
    assert rows[0].values[0] < rows[1].values[0], "wider"
    assert len(found.of("parameters").effects) == 3
    digests = {path.read_text() for path in (tmp_path / "s" / "searches").glob("*-0/genotype.json")}
    assert len(digests) == 1


def test_searches_differ_where_what_is_varied_concerns_them(tiny: Tiny, tmp_path: Path, performed: list[str]) -> None:
    varied = {"strategy.alpha_lr": [0.1, 0.3], "train.lr": [0.1, 0.05]}
    nastk.ablate(tiny(stage="retrain", vary=varied, seeds=[0]), out=tmp_path / "s")
    assert sum(key.startswith("searches/") for key in performed) == 2


def test_a_killed_retraining_is_gone_on_with(tiny: Tiny, tmp_path: Path, table: Tables) -> None:
    document = tiny(stage="retrain", vary={"train.lr": [0.1, 0.05]}, seeds=[0], checkpoint_minutes=1e-9)
    with moments(None) as counted:
        nastk.ablate(document, out=tmp_path / "whole")
    for kill in (counted.count // 4, counted.count // 2, 4 * counted.count // 5):
        directory = tmp_path / f"killed-{kill}"
        with moments(kill), pytest.raises(Killed):
            nastk.ablate(document, out=directory)
        nastk.ablate(resume=directory)
        assert table(directory) == table(tmp_path / "whole")


def test_matched_by_seconds_random_search_gets_the_time_of_the_baseline(tiny: Tiny, tmp_path: Path) -> None:
    nastk.ablate(tiny(random_search=True, match="seconds", seeds=[0]), out=tmp_path / "s")
    (row,) = [run for run in nastk.runs(tmp_path / "s") if run.result["strategy"] == "random-search"]
    assert row.state == "done"
    assert row.result["search"]["steps"] < 1000
    assert row.result["search"]["seconds"] >= 1.0, "the baseline took less than a second, the least limit"


def test_a_plugin_of_somebody_else_stands_beside_the_bundled_ones(tiny: Tiny, tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "nastk-gated-attention"))
    try:
        import nastk_gated_attention
    finally:
        sys.path.pop(0)
    nastk.registry().offer(nastk_gated_attention)
    try:
        vary = {"model.attention": ["none", "se", {"name": "gated", "bias": 1.0}]}
        found = nastk.ablate(tiny(vary=vary, seeds=[0]), out=tmp_path / "s")
    finally:
        nastk.registry().withdraw(nastk_gated_attention.Gated)
    assert [row.label for row in found.of("test.accuracy").rows] == ["none", "se", "gated"]
    assert all(row.described.n == 1 for row in found.of("test.accuracy").rows)


def test_directories_are_not_mixed_up(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="not empty"):
        nastk.ablate(tiny(), out=tmp_path / "full")
    with pytest.raises(OutputError, match="is no study"):
        nastk.ablate(resume=tmp_path / "full")
    with pytest.raises(nastk.NastkError, match="Name a study"):
        nastk.ablate()


@pytest.mark.slow
def test_killed_for_real_with_workers_the_table_is_the_same(tiny: Tiny, tmp_path: Path, table: Tables) -> None:
    """SIGKILL for the driver at several moments; its workers end with it."""
    document = tiny(seeds=[0, 1, 2], checkpoint_minutes=1e-9, train={"epochs": 6, "batch": 16})
    (tmp_path / "s.toml").write_text(tomli_w.dumps(document))
    command = [sys.executable, "-m", "nastk", "ablate", "--quiet", "--workers", "2"]
    subprocess.run([*command, str(tmp_path / "s.toml"), "--out", str(tmp_path / "whole")], check=True, stdout=-3)
    more = [str(tmp_path / "s.toml"), "--out", str(tmp_path / "killed")]
    for _ in range(3):
        with subprocess.Popen([*command, *more], stdout=-3) as process:
            deadline = time.monotonic() + 120
            before = len(list((tmp_path / "killed").rglob("metrics.jsonl")))
            while time.monotonic() < deadline and len(list((tmp_path / "killed").rglob("metrics.jsonl"))) == before:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
        more = ["--resume", str(tmp_path / "killed")]
    subprocess.run([*command, *more], check=True, stdout=-3)
    assert table(tmp_path / "killed") == table(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_worker_costs_its_run_some_time_only(tiny: Tiny, tmp_path: Path, table: Tables) -> None:
    document = tiny(seeds=[0], checkpoint_minutes=1e-9, train={"epochs": 20, "batch": 16})
    (tmp_path / "s.toml").write_text(tomli_w.dumps(document))
    command = [sys.executable, "-m", "nastk", "ablate", str(tmp_path / "s.toml"), "--quiet", "--workers", "2", "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdout=-3)
    with subprocess.Popen([*command, str(tmp_path / "killed")], stdout=-3) as process:
        owner, deadline = None, time.monotonic() + 120
        while owner is None and time.monotonic() < deadline:
            owner = next((tmp_path / "killed" / "runs").glob("*/run.owner.json"), None)
            time.sleep(0.02)
        assert owner is not None
        os.kill(int(owner.read_text().split('"pid": ')[1].split("}")[0]), signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
