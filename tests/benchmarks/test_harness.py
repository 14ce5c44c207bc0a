"""What the harness makes of samples, of sides that cannot run, and of the documentation's tables."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest
import table
from harness import Effort, Row, Side
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import worker

def prepare(settings):
    if settings.get("missing"):
        raise worker.Unavailable("no such thing")
    print("this is not part of the protocol")
    left = [settings.get("lasts", 100)]
    def step():
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("worn out")
        kept.append(bytearray(settings.get("mb", 0) * 2**20))
        sum(range(settings.get("work", 10**6)))
    return step

kept = []
worker.serve(lambda settings: None, prepare)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "side.py"
    path.write_text(SCRIPT.format(folder=str(harness.HERE)))
    return str(path)


@settings(deadline=None, max_examples=50)
@given(cpu=st.floats(1e-3, 1e3), excess=st.floats(0.5, 2) | st.floats(1.25, 1.35), threads=st.integers(1, 4))
def test_a_busy_host_makes_a_row_invalid_and_nothing_else_does(cpu: float, excess: float, threads: int) -> None:
    wall = excess * cpu / threads
    row = Row("case", "side", threads, {}, samples=[{"cpu": cpu, "wall": wall, "peak_mb": 10.0, "others": 0.5}] * 3)
    harness.judge(row)
    assert row.valid == (wall <= 1.3 * cpu / threads)
    assert row.valid != ("invalid" in row.reason)
    shown = table.cells(row.document())
    assert row.valid == (shown[2] != "-")
    other = Row("case", "other", threads, {}, cpu=1.0, wall=1.0, peak_mb=5.0, valid=True)
    harness.relate(other, row)
    assert (other.cpu_ratio is not None) == row.valid
    if row.valid:
        assert (other.cpu_ratio, other.wall_ratio, other.memory_ratio) == pytest.approx((cpu, wall, 2.0))


def test_figures_are_medians_and_the_largest_peak() -> None:
    samples = [{"cpu": c, "wall": 1.01 * c, "peak_mb": 100 * c, "others": 0.0} for c in (3.0, 1.0, 2.0, 9.0, 2.5)]
    row = Row("case", "side", 1, {}, samples=samples)
    harness.judge(row)
    assert (row.cpu, row.wall, row.peak_mb) == pytest.approx((2.5, 2.525, 900.0))


def test_sides_take_turns_and_the_slower_one_is_seen(script: str) -> None:
    sides = [Side("slow", script, {"work": 3 * 10**6, "mb": 8}), Side("fast", script, {"work": 10**6})]
    slow, fast = harness.compare("case", sides, 1, Effort(rounds=5, warmups=1))
    assert len(slow.samples) == len(fast.samples) == 5
    assert slow.reference
    assert not fast.reference
    assert slow.cpu is not None
    assert fast.cpu is not None
    assert slow.cpu > 1.5 * fast.cpu
    assert slow.peak_mb is not None
    assert 48 <= slow.peak_mb < 60  # six steps keep 8 MB each


def test_a_side_that_cannot_run_says_why_and_the_others_go_on(script: str) -> None:
    sides = [Side("good", script), Side("absent", script, {"missing": True}), Side("short-lived", script, {"lasts": 2})]
    good, absent, short = harness.compare("case", sides, 1, Effort(rounds=3, warmups=0))
    assert len(good.samples) == 3
    assert absent.reason == "not available: no such thing"
    assert "worn out" in short.reason
    assert not absent.valid
    assert not short.valid


def test_nothing_is_timed_when_the_sides_are_not_one_function(script: str) -> None:
    refused = harness.fault(Side("check", script, {"missing": True}))
    rows = harness.compare("case", [Side("a", script), Side("b", script)], 1, Effort(), refused)
    assert [row.reason for row in rows] == ["not available: no such thing"] * 2
    assert not any(row.samples for row in rows)
    assert harness.fault(Side("check", script)) == ""


def test_the_tables_of_the_documentation_are_those_of_the_results() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.filled(page, table.results(table.RESULTS)) == page, "run: python benchmarks/table.py"
    places = {name for _, name, _ in table.PLACE.findall(page)}
    assert set(table.results(table.RESULTS)) <= places


def test_a_table_has_every_side_and_where_it_comes_from(tmp_path: Path) -> None:
    row = Row("A case", "a side", 2, {}, reference=True, cpu=1.25, wall=0.75, peak_mb=300.0, valid=True).document()
    other = Row("A case", "nothing", 2, {}, reason="not available: why").document()
    header = {"date": "2026-01-01", "commit": "abc", "cpu": "Some CPU", "cores": 2, "system": "Linux", "python": "3.11"}
    header |= {"versions": {"torch": "2"}, "n": 5, "warmups": 2, "command": "python benchmarks/x.py"}
    (tmp_path / "x.json").write_text(
        json.dumps({"format": table.FORMAT, "rows": [row, other], "header": header, "notes": ["A note."]})
    )
    page = table.filled("before\n<!-- results x -->\nold\n<!-- end -->\nafter\n", table.results(tmp_path))
    assert "old" not in page
    assert "| a side | 2 | 1.25 | 1 | 0.75 | 1 | 300 | 1 |  |" in page
    assert "| nothing | 2 | - | - | - | - | - | - | not available: why |" in page
    assert "A note." in page
    assert "Some CPU" in page
    assert table.filled(page, table.results(tmp_path)) == page
