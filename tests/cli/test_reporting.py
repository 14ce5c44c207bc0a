"""``nastk report`` and ``nastk watch`` from the command line."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import nastk
from nastk.cli import reporting
from nastk.cli.app import app
from nastk.core.run.lock import locked
from nastk.core.run.metrics import line
from tests.core.report.conftest import Make, make, stage  # noqa: F401  a fixture

BEGUN = {"result": {"status": "started", "test": None}}


def printed(*words: str) -> str:
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("nastk: ")
    assert "Traceback" not in result.output
    return result.stderr


def test_report_prints_its_file(make: Make, tmp_path: Path) -> None:  # noqa: F811
    run = make()
    assert printed("report", str(run)) == f"{run / 'report.html'}\n"
    other = tmp_path / "new" / "two.html"
    assert printed("report", str(run), str(make("b", seed=1)), "--out", str(other)) == f"{other}\n"
    assert "<h1>2 runs</h1>" in other.read_text(encoding="utf-8")


def test_report_of_several_lies_here(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    runs = [str(make()), str(make("b"))]
    monkeypatch.chdir(tmp_path)
    assert printed("report", *runs) == "report.html\n"


def test_refusals_are_one_sentence(make: Make, tmp_path: Path) -> None:  # noqa: F811
    assert "There is no directory" in refused("report", str(tmp_path / "absent"))
    assert "neither a run nor a study" in refused("report", str(tmp_path))
    assert "ends in .html" in refused("report", str(make()), "--out", "x.pdf")
    assert "neither a run nor a study" in refused("watch", str(tmp_path / "absent"))
    run = make("damaged")
    (run / "result.json").write_text("{")
    assert "is damaged" in refused("watch", str(run))
    assert "is damaged" in refused("report", str(run))


def test_watch_once(make: Make) -> None:  # noqa: F811
    run = make(trials=[{"accuracy": 0.5}], notices=["The normal cell is turning into skips."])
    text = printed("watch", str(run), "--once")
    for said in (
        "done",
        "darts toy synthetic, seed 0",
        "search",
        "4/4 steps",
        "2/2 epochs",
        "test accuracy 87.50 %",
        "turning into skips",
    ):
        assert said in text, said
    assert "trials 1" in " ".join(text.split())
    early = printed("watch", str(make("early", **BEGUN, train=[])), "--once")
    for said in ("interrupted", "entropy", "skip share 25.0 %", "spikes (validation) 403", "nastk run --resume"):
        assert said in early, said


def test_watch_ends_with_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(reporting, "EVERY", 0.05)
    run = make(**BEGUN, search=[], train=[])
    entries = stage("search", [{"loss": 2.0}, {"loss": 1.5}], "steps", over=False)

    def written() -> None:
        with locked(run):
            held.set()
            for entry in entries:
                time.sleep(0.25)
                with (run / "metrics.jsonl").open("ab") as file:
                    file.write(line(entry))
            time.sleep(0.25)

    held = threading.Event()
    writer = threading.Thread(target=written)
    writer.start()
    held.wait()
    text = printed("watch", str(run))
    writer.join()
    assert "running: not begun" in text
    assert "running: search 1/2 steps  loss 2" in text
    assert "running: search 2/2 steps  loss 1.5" in text
    assert text.index("running") < text.index("interrupted")


def test_ctrl_c_ends_the_watching_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    run = make(**BEGUN)

    def pressed(seconds: float) -> None:
        del seconds
        raise KeyboardInterrupt

    monkeypatch.setattr(reporting.time, "sleep", pressed)
    with locked(run):
        assert "Stopped watching; the run goes on." in printed("watch", str(run))


def test_a_live_view_stays_on_the_screen(make: Make) -> None:  # noqa: F811
    from rich.console import Console

    from nastk.core.report.standing import Watch

    console = Console(force_terminal=True, width=120, record=True)
    reporting._live(Watch(make()).look, console)
    assert "test accuracy 87.50 %" in console.export_text()


def test_watching_needs_no_torch(make: Make) -> None:  # noqa: F811
    code = "import sys; from nastk.cli.app import app; app(sys.argv[1:], standalone_mode=False); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "watch", str(make()), "--once"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr or "torch was loaded"


def test_the_face_has_it() -> None:
    found: Any = nastk.report
    assert found.__module__ == "nastk.core.report.report"
