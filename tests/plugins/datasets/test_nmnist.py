"""N-MNIST: the official files, byte by byte, and the small archives; a run on recordings."""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nastk
from nastk.core.config import DatasetPart
from nastk.core.errors import DataError, ShapeError
from nastk.core.laws.check import check
from nastk.core.run.runfile import configure
from nastk.plugins.datasets.nmnist import SMALL, parse_bin

torch.set_num_threads(1)
SOURCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "nmnist_small"
needs_source = pytest.mark.skipif(not SOURCE.is_dir(), reason=f"the source data is not there: {SOURCE}")

Row = tuple[int, int, int, int]
"""x, y, polarity, microseconds."""


def five_bytes(x: int, y: int, p: int, t: int) -> bytes:
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])


def written(rows: list[Row], clock: int = 2**23) -> bytes:
    """As the camera wrote it; a clock of fewer microseconds runs over, which a mark says each time."""
    content, passed = [], 0
    for x, y, p, t in rows:
        while t - passed >= clock:
            content.append(five_bytes(0, 240, 0, 0))
            passed += 2**13
        content.append(five_bytes(x, y, p, t - passed))
    return b"".join(content)


rows = st.lists(st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 1), st.integers(0, 2**17)), max_size=30)


@given(rows, st.sampled_from([2**23, 2**13]))
@settings(deadline=None, max_examples=60)
def test_official_events_are_read_back(found: list[Row], clock: int) -> None:
    wanted = sorted(found, key=lambda row: row[3])
    events = parse_bin(written(wanted, clock), "some file")
    assert list(zip(*(column.tolist() for column in events), strict=True)) == [(x, y, p, t) for x, y, p, t in wanted]


def test_bytes_by_hand() -> None:
    """x 3, y 5, polarity 1, 0x010203 us; then 0x7fffff us without polarity."""
    events = parse_bin(bytes([3, 5, 0x81, 0x02, 0x03, 33, 0, 0x7F, 0xFF, 0xFF]), "some file")
    assert [column.tolist() for column in events] == [[3, 33], [5, 0], [1, 0], [0x010203, 0x7FFFFF]]


@pytest.mark.filterwarnings("ignore")
def test_spikingjelly_reads_the_same(tmp_path: Path, spikingjelly_readers: ModuleType) -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 300_000, 400)).tolist()
    drawn = [(int(rng.integers(34)), int(rng.integers(34)), int(rng.integers(2)), t) for t in times]
    path = tmp_path / "00001.bin"
    path.write_bytes(written(drawn))
    wanted = spikingjelly_readers.load_ATIS_bin(path)
    events = parse_bin(path.read_bytes(), str(path))
    for name in ("x", "y", "p", "t"):
        assert np.array_equal(getattr(events, name), wanted[name]), name


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"1234", "4 bytes are not whole events"),
        (five_bytes(34, 0, 0, 1), "beside the 34 x 34 pixels"),
        (five_bytes(0, 34, 0, 1), "beside"),
        (five_bytes(0, 0, 0, 2) + five_bytes(0, 0, 0, 1), "not in the order of time"),
    ],
)
def test_what_is_no_recording_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"some file.*{complaint}"):
        parse_bin(content, "some file")


# The official layout


def official(root: Path, count: int = 3) -> None:
    """Recordings of digit d whose events lie in the column 3 d."""
    for part in ("Train", "Test"):
        for digit in range(10):
            folder = root / part / str(digit)
            folder.mkdir(parents=True)
            for number in range(count):
                recording = [(3 * digit + (part == "Test"), y, y % 2, 1000 * y + number) for y in range(8 + number)]
                (folder / f"{10 * number + digit:05}.bin").write_bytes(written(recording))


@pytest.mark.parametrize("folder", ["NMNIST", "N-MNIST", "."])
def test_the_official_layout(tmp_path: Path, folder: str) -> None:
    official(tmp_path / folder)
    nmnist = DatasetPart.named("nmnist", root=str(tmp_path), frames=2).build()
    (x, y), (_, test_y) = nmnist.train(), nmnist.test()
    assert x.shape == (30, 2, 2, 34, 34)
    assert y.tolist() == [digit for digit in range(10) for _ in range(3)]
    assert test_y.tolist() == y.tolist()
    columns = x.sum((1, 2, 3)).argmax(-1)
    assert (columns // 3).tolist() == y.tolist()
    assert x[:3].sum((1, 2, 3, 4)).tolist() == [8, 9, 10], "the order of names"
    assert (nmnist.classes, nmnist.augmentation.crop, nmnist.augmentation.flip) == (10, 2, False)


def test_it_keeps_the_laws(tmp_path: Path) -> None:
    official(tmp_path)
    verdicts = check("dataset", "nmnist", root=str(tmp_path))
    assert [(v.law, v.detail) for v in verdicts if v.outcome != "holds"] == []


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    nmnist = DatasetPart.named("nmnist", root=str(tmp_path)).build()
    with pytest.raises(DataError, match=r"N-MNIST is not in .*Unpack the archives.*set root"):
        nmnist.train()
    (tmp_path / "Train").mkdir()
    with pytest.raises(DataError, match=r"holds no recordings"):
        nmnist.train()
    official(tmp_path / "NMNIST")
    damaged = tmp_path / "NMNIST" / "Train" / "4" / "00004.bin"
    damaged.write_bytes(b"123456")
    with pytest.raises(DataError, match=rf"{damaged} is damaged"):
        nmnist.train()


# The small archives


def small(folder: Path, **changes: Any) -> None:
    """Forty recordings; recording i has 5 + i % 3 events in the pixel (i % 10, 1)."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = 5 + np.arange(40) % 3
    total = int(counts.sum())
    arrays: dict[str, Any] = {
        "label": (np.arange(40) % 10).astype(np.uint8),
        "n_events": counts.astype(np.uint32),
        "x": np.repeat(np.arange(40) % 10, counts).astype(np.uint8),
        "y": np.ones(total, dtype=np.uint8),
        "p": np.packbits(np.arange(total) % 2 == 0),
        "dt_us": np.full(total, 100, dtype=np.uint16),
    } | changes
    for name in SMALL.values():
        stream = io.BytesIO()
        np.savez(stream, **{key: value for key, value in arrays.items() if value is not None})
        (folder / name).write_bytes(lzma.compress(stream.getvalue()))


@pytest.mark.parametrize("folder", ["nmnist_small", "."])
def test_the_small_archives(tmp_path: Path, folder: str) -> None:
    small(tmp_path / folder)
    x, y = DatasetPart.named("nmnist", root=str(tmp_path), frames=2, by="time").build().train()
    assert x.shape == (40, 2, 2, 34, 34)
    assert y.tolist() == (torch.arange(40) % 10).tolist()
    assert x.sum((1, 2, 3, 4)).tolist() == (5 + torch.arange(40) % 3).tolist()
    assert x[:, :, :, 1].sum((1, 2)).argmax(-1).tolist() == y.tolist()
    assert x[0].sum((-1, -2)).tolist() == [[1, 1], [1, 2]]  # two of five events in the first half, polarities 1 0 1 0 1


@pytest.mark.parametrize(
    "changes",
    [
        {"label": None},
        {"x": np.zeros(3, dtype=np.uint8)},
        {"label": np.full(40, 10, dtype=np.uint8)},
        {"n_events": np.zeros(40, dtype=np.uint32)},
        {"label": np.zeros(39, dtype=np.uint8)},
    ],
)
def test_an_archive_of_other_contents_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    small(tmp_path, **changes)
    with pytest.raises(DataError, match=r"train_500\.npz\.xz is no small archive of N-MNIST"):
        DatasetPart.named("nmnist", root=str(tmp_path)).build().train()


@pytest.mark.parametrize("content", [b"", b"no archive", lzma.compress(b"no arrays")])
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SMALL["train"]).write_bytes(content)
    with pytest.raises(DataError, match=r"train_500\.npz\.xz is damaged"):
        DatasetPart.named("nmnist", root=str(tmp_path)).build().train()


@needs_source
def test_the_real_recordings() -> None:
    """500 and 100 of them, in their order; the mean frame of each class reads many of the test digits."""
    nmnist = DatasetPart.named("nmnist", root=str(SOURCE)).build()
    (x, y), (test_x, test_y) = nmnist.train(), nmnist.test()
    assert (x.shape, test_x.shape) == ((500, 4, 2, 34, 34), (100, 4, 2, 34, 34))
    assert y[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]  # the first labels of MNIST
    assert test_y[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    means = torch.stack([x[y == digit].float().mean(0).flatten() for digit in range(10)])
    read = torch.cdist(test_x.float().flatten(1), means).argmin(1)
    assert (read == test_y).float().mean() > 0.5


# Runs


def test_a_run_has_as_many_steps_as_the_recordings_have_frames() -> None:
    assert configure(dataset="nmnist").model.time_steps.values == (4,)
    assert configure(dataset="nmnist", space="darts-cells").model.time_steps.values == (4,)
    assert configure(dataset="nmnist", model={"time_steps": 3}).model.time_steps.values == (3,)
    assert configure(dataset="digits").model.time_steps.values == (2,)


def test_a_run_on_recordings(tmp_path: Path) -> None:
    official(tmp_path / "data", count=8)
    document: dict[str, Any] = {
        "space": "toy",
        "dataset": {"name": "nmnist", "root": str(tmp_path / "data"), "frames": 3, "drop": 0.1, "jitter": 1},
        "model": {"channels": 2, "cells": 2, "time_steps": 3},
        "proxy": {"channels": 0, "cells": 0},
        "train": {"epochs": 1, "batch": 16},
        "device": "cpu",
    }
    with pytest.raises(ShapeError, match=r"network has T = 4, the samples have 3 time steps: make model\.time_steps and"):
        nastk.run(document, set=["model.time_steps=4"], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    result = nastk.run(document, strategy={"name": "ma-darts", "epochs": 1, "warmup": 0, "batch": 16}, out=tmp_path / "run")
    assert result["status"] == "done"
    assert (result["time_steps"], result["test"]["n"]) == (3, 80)
