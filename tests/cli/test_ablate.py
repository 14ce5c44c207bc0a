"""``nastk ablate`` from the command line: dry run, whole study, lines of progress, refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from nastk.cli.ablating import View
from nastk.cli.app import app
from nastk.core.ablation.runner import Standing
from tests.core.ablation.conftest import TINY


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file of two runs."""
    path = tmp_path / "eca.toml"
    path.write_text(tomli_w.dumps({**TINY, "seeds": [0]}))
    return path


def printed(*words: str) -> Any:
    result = CliRunner().invoke(app, ["ablate", *words], env={"COLUMNS": "140"})
    assert result.exit_code == 0, result.output
    return result


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["ablate", *words])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("nastk: ")
    return result.stderr


def test_a_study_and_its_resumption(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = printed(str(study), "--out", str(out))
    assert "1/2 none, seed 0: done" in whole.stderr
    assert "none (baseline)" in whole.stdout
    assert "nothing can be compared" in whole.stdout
    again = printed("--resume", str(out), "--retry-failed", "-q")
    assert again.stderr == ""
    document = json.loads(again.stdout)
    assert [row["label"] for row in document["metrics"][0]["rows"]] == ["none", "eca"]
    assert document == json.loads((out / "study.json").read_text())


def test_a_dry_run_writes_nothing(study: Path, tmp_path: Path) -> None:
    text = printed(str(study), "--dry-run").stdout
    assert "none  [baseline]" in text
    assert "2 cells, 1 seed, 2 runs" in text
    assert list(tmp_path.iterdir()) == [study]


def test_refusals(study: Path, tmp_path: Path) -> None:
    assert "no such file" in refused(str(tmp_path / "absent.toml"))
    assert "Name a study" in refused()
    assert "--workers" in refused(str(study), "--workers", "0")
    assert "with --resume DIR" in refused(str(study), "--retry-failed")
    assert "without --out" in refused("--resume", str(tmp_path), "--out", str(tmp_path / "x"))
    assert "is no study" in refused("--resume", str(tmp_path))
    study.write_text(tomli_w.dumps({**TINY, "metrics": ["test.acuracy"], "seeds": []}))
    text = refused(str(study))
    assert "metrics.test.acuracy" in text
    assert "seeds" in text


def test_the_live_view_says_how_far_and_how_long() -> None:
    from rich.console import Console

    view = View(0.0)
    view.told(Standing(10, 3, 1, ("se, seed 2",), 60.0, 2, "none, seed 2: done"))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view.rendered())
    text = console.export_text()
    assert "3 of 10 done, 1 running, 1 failed" in text
    assert "about 3 min left" in text
    assert "se, seed 2" in text
