import json
import math
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import OutputError
from nastk.core.events import Notice, Progress, RunDone, RunStarted, StageDone, StageStarted, StepDone
from nastk.core.registry import registry
from nastk.core.run.metrics import line, read
from nastk.core.types import Kind
from nastk.plugins.reporters import jsonl
from nastk.plugins.reporters.jsonl import Jsonl

texts = st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
figures = st.dictionaries(texts, values, max_size=4)
counts = st.integers(0, 10**6)
stored_events = st.one_of(
    st.builds(StageStarted, texts, counts, texts, counts),
    st.builds(StepDone, texts, counts, figures),
    st.builds(StageDone, texts, st.floats(0, 1e9)),
    st.builds(Notice, texts),
)
events = stored_events | st.one_of(
    st.builds(RunStarted, st.just(Path("run")), figures, st.booleans()),
    st.builds(Progress, texts, st.floats()),
    st.builds(RunDone, st.just(Path("run")), figures),
)


def without_time(entries):
    return [{k: v for k, v in entry.items() if k != "time"} for entry in entries]


def nulled(value):
    """The value with NaN and infinities as None: what a file may hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: nulled(v) for k, v in value.items()}
    return [nulled(v) for v in value] if isinstance(value, list) else value


def expected(event):
    match event:
        case StageStarted():
            return {"event": "stage_started", "stage": event.stage, "total": event.total, "unit": event.unit, "done": event.done}
        case StepDone():
            return {"event": "step", "stage": event.stage, "step": event.step, "figures": nulled(event.figures)}
        case StageDone():
            return {"event": "stage_done", "stage": event.stage, "seconds": event.seconds}
        case Notice():
            return {"event": "notice", "text": event.text}


@given(st.lists(events, max_size=8))
@settings(deadline=None, max_examples=60)
def test_what_is_read_is_what_was_heard(heard):
    with tempfile.TemporaryDirectory() as directory:
        reporter = Jsonl(Path(directory) / "run")
        for event in heard:
            reporter.hear(event)
        reporter.close()
        entries = read(Path(directory) / "run" / "metrics.jsonl")
    assert without_time(entries) == [entry for event in heard if (entry := expected(event))]


@given(st.lists(stored_events, min_size=2, max_size=4), st.integers(0, 200))
@settings(deadline=None, max_examples=60)
def test_a_crash_costs_the_torn_line_only(heard, lost):
    """Cut anywhere, read, go on, read again."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "metrics.jsonl"
        reporter = Jsonl(Path(directory))
        for event in heard[:-1]:
            reporter.hear(event)
        reporter.close()
        whole = path.read_bytes()
        cut = max(0, len(whole) - lost)
        os.truncate(path, cut)
        text = whole[:cut]
        # a line that lost only its newline is still whole
        kept = text.count(b"\n") + (whole[cut : cut + 1] == b"\n")
        before = read(path)
        assert without_time(before) == [expected(event) for event in heard[:kept]]
        again = Jsonl(Path(directory))
        again.hear(heard[-1])
        again.close()
        assert without_time(read(path)) == [*without_time(before), expected(heard[-1])]
        assert path.read_bytes().endswith(b"\n")
        assert path.read_bytes().startswith(text)


def test_each_line_is_there_at_once_with_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl.time, "time", lambda: 1234.56789)
    reporter = Jsonl(tmp_path)
    for step in range(3):
        reporter.hear(StepDone("search", step, {"loss": math.nan, "curve": [1.0, math.inf]}))
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == step + 1
    entry = json.loads(lines[-1])
    assert len(entry.pop("crc32")) == 8
    assert entry == {
        "event": "step",
        "stage": "search",
        "step": 2,
        "figures": {"loss": None, "curve": [1.0, None]},
        "time": 1234.568,
    }
    reporter.close()
    reporter.close()


def test_opens_late(tmp_path):
    directory = tmp_path / "deep" / "run"
    reporter = Jsonl(directory)
    reporter.hear(RunStarted(directory, {}, False))
    reporter.hear(Progress("search", 0.5))
    assert not directory.exists()
    assert read(directory / "metrics.jsonl") == []
    reporter.hear(Notice("now"))
    assert [e["text"] for e in read(directory / "metrics.jsonl")] == ["now"]
    reporter.close()


def test_tensors_and_paths_become_plain(tmp_path):
    reporter = Jsonl(tmp_path)
    alpha = torch.tensor([[0.25, math.nan]], requires_grad=True)
    reporter.hear(StepDone("search", 1, {"alpha": alpha, "n": torch.tensor(3), "file": Path("a"), 1: (1, 2)}))
    reporter.close()
    assert read(reporter.path)[0]["figures"] == {"alpha": [[0.25, None]], "n": 3, "file": "a", "1": [1, 2]}


def test_foreign_lines_are_skipped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = line({"event": "notice", "text": "a"})
    path.write_bytes(whole + b'\n[1]\n\xff\x00\n{"event": "notice", "text": "b"}\n{"event": "noti')
    assert read(path) == [{"event": "notice", "text": "a"}]


def test_a_full_disk_is_said_in_a_sentence_and_can_be_survived(tmp_path, monkeypatch):
    reporter = Jsonl(tmp_path)
    reporter.hear(Notice("first"))
    whole_write = jsonl._write

    def half_write(file, data):
        file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl, "_write", half_write)
    with pytest.raises(OutputError, match=r"metrics\.jsonl \(No space left on device\): free some space"):
        reporter.hear(Notice("lost"))
    monkeypatch.setattr(jsonl, "_write", whole_write)
    reporter.hear(Notice("last"))
    reporter.close()
    assert [e["text"] for e in read(reporter.path)] == ["first", "last"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_really_full_disk(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        Jsonl(tmp_path).hear(Notice("lost"))


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        Jsonl(tmp_path / "run").hear(Notice("lost"))
    with pytest.raises(OutputError, match="Cannot read"):
        read(tmp_path)


def test_is_found_by_name():
    assert registry().load(Kind.REPORTER, "jsonl") is Jsonl


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(deadline=None, max_examples=60)
def test_a_flipped_bit_is_never_read_as_a_figure(place, bit):
    entries = [{"event": "step", "stage": "train", "step": n, "figures": {"loss": n / 3}, "time": 1.5} for n in (1, 2)]
    data = bytearray(b"".join(map(line, entries)))
    data[place % len(data)] ^= 1 << bit
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "metrics.jsonl"
        path.write_bytes(data)
        assert all(entry in entries for entry in read(path))
