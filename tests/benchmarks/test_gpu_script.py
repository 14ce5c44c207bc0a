"""The GPU benchmark at toy size on the CPU: it runs whole, and what fails in it is recorded. It has not run on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
import table
import torch
from gpu import idle, mixing, neuron, run, section
from gpu.bars import BARS
from gpu.section import FailedCheck, Row, Setup, close, require, timed

TOY = Setup("cpu", toy=True)


def test_the_script_runs_whole(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(harness.HERE / "gpu" / "run.py"), "--toy", "--device", "cpu", "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(out.read_text())
    assert {s["name"]: s["reason"] for s in document["sections"]} == {p.name: "" for p in run.SECTIONS if p.toy}
    broken = [row for row in document["rows"] if row["value"] is None and "spikingjelly" not in row["remark"]]
    assert not broken
    assert all(row["passed"] is None for row in document["rows"])
    assert {"G1", "G2", "G4", "G7", "G10", "G11"} <= {row["bar"] for row in document["rows"]}
    sides = {row["side"] for row in document["rows"]}
    assert {"DARTS-style", "nastk exact, captured", "nastk sampled, eager", "nastk, kernel", "nastk, captured"} <= sides
    assert document["header"]["toy"]
    assert not table.results(tmp_path), "a toy result is never shown"


def test_full_sizes_need_a_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cpu"])
    with pytest.raises(SystemExit):
        run.main()
    assert "--toy" in capsys.readouterr().err


def gives_two_then_hangs(_: Setup) -> Iterator[Row]:
    yield Row("", "case", "first", 1.0)
    yield Row("", "case", "second", 2.0)
    time.sleep(60)


def dies(_: Setup) -> Iterator[Row]:
    yield Row("", "case", "first", 1.0)
    os._exit(7)


def fails(_: Setup) -> Iterator[Row]:
    yield Row("", "case", "first", 1.0)
    raise ValueError("no\nsuch thing")


def test_a_section_that_goes_wrong_keeps_its_rows_and_says_why() -> None:
    rows, why = run.in_child(TOY, gives_two_then_hangs, 1.0)
    assert ([row.side for row in rows], why) == (["first", "second"], "ran out of its 1 s")
    rows, why = run.in_child(TOY, dies, 20.0)
    assert (len(rows), why) == (1, "ended with code 7")
    rows, why = run.in_child(TOY, fails, 20.0)
    assert (len(rows), why) == (1, "ValueError: no such thing")


def test_the_budgets_leave_time_of_eight_minutes() -> None:
    assert sum(planned.budget for planned in run.SECTIONS) <= 460


def test_a_side_that_is_another_function_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = neuron.forwards

    def with_a_wrong_one(kind: str, setup: Setup) -> dict[str, object]:
        found = plain(kind, setup)
        scan = found["nastk, scan"]
        return {"nastk, kernel": lambda: lambda x: scan()(x + 1e-1), "nastk, scan": scan}

    monkeypatch.setattr(neuron, "forwards", with_a_wrong_one)
    rows = {row.side: row for row in neuron.measure(TOY) if row.case.startswith("lif")}
    assert rows["nastk, kernel"].value is None
    assert rows["nastk, kernel"].remark.startswith("failed check: ")
    assert "spikes are not the scan's" in rows["nastk, kernel"].remark
    assert rows["nastk, scan"].value is not None
    monkeypatch.setattr(mixing, "norm_mix", lambda *given: ([1.01 * z for z in norm_mix(*given)[0]], [], []))
    from nastk.core.model.norm_mix import norm_mix

    wrong = [row for row in mixing.measure(TOY) if row.side == "nastk"]
    assert [row.remark.startswith("failed check") for row in wrong] == [True]


def test_out_of_memory_is_a_sentence() -> None:
    def make() -> section.Step:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 70 GiB")

    assert timed(TOY, Row("", "case", "side"), make).remark == "needs more memory than the device has"


def test_checks_refuse() -> None:
    with pytest.raises(FailedCheck):
        require(False, "no")
    with pytest.raises(FailedCheck):
        close(torch.ones(3), torch.tensor([1.0, 1.0, 1.1]), 1e-2, "numbers")
    close(torch.ones(3), torch.tensor([1.0, 1.0, 1.001]), 1e-2, "numbers")


def test_idle_is_what_no_interval_covers() -> None:
    assert idle.covered([(0, 4), (1, 2), (3, 6), (8, 9)]) == 7


def test_what_follows_from_the_rows() -> None:
    """Images a second, the share of augmentation, and minutes, from the fastest step of the largest batch."""
    rows = [
        Row("", "search step, batch 64, float32", "nastk exact, captured", 1.0),
        Row("", "search step, batch 256, float32", "DARTS-style", 5.0),
        Row("", "search step, batch 256, float32", "nastk exact, captured", 50.0),
        Row("", "search step, batch 256, bfloat16", "nastk merged, captured", 25.0),
        Row("", "augmentation, batch 256, 32 x 32", "nastk", 0.2),
    ]
    found = {row.bar: row for row in run.concluded(rows)}
    assert found["G7"].value == pytest.approx(256 / 0.025)
    assert found["G10"].ratio == pytest.approx(0.4 / 25)
    assert found["G11"].value == pytest.approx(50 * 25_000 / 256 * 25.4e-3 / 60)
    full = Setup("cuda")
    assert [run.judged(found[name], full)["passed"] for name in ("G7", "G10", "G11")] == [True, True, True]
    assert run.judged(Row("G7", "", "", 1.0, ratio=3999.0), full)["passed"] is False
    assert all(row.value is None and row.remark for row in run.concluded([]))


def test_a_result_of_a_gpu_is_shown_in_the_documentation(tmp_path: Path) -> None:
    rows = [run.judged(Row("G2", "lif", "nastk, kernel", 1.234, ratio=1.2, peak_mb=100.0), Setup("cuda"))]
    header = {
        "device": "Some GPU",
        "memory_gb": 80.0,
        "driver": "1.2",
        "cuda": "13",
        "python": "3.11",
        "versions": {"torch": "2"},
    }
    header |= {"date": "2026-01-01", "commit": "abc", "command": "python benchmarks/gpu/run.py", "toy": False}
    sections = [{"name": "idle", "seconds": 1, "budget": 2, "reason": "ran out of its 2 s"}]
    document = {"format": table.GPU_FORMAT, "header": header, "rows": rows, "sections": sections}
    (tmp_path / "gpu.json").write_text(json.dumps(document))
    page = table.filled("<!-- results gpu -->\nold\n<!-- end -->\n", table.results(tmp_path))
    assert f"| G2 | lif | nastk, kernel | 1.234 ms | 1.2 | 100 | {BARS['G2'].words} | yes |  |" in page
    assert "Section idle: ran out of its 2 s." in page
    assert "Some GPU with 80.0 GB" in page
    assert "Not measured yet" in table.filled("<!-- results gpu -->\nold\n<!-- end -->\n", {})
