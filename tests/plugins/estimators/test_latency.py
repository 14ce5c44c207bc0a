"""Latency by the clock and by the table: medians, threads, indices, missing values, files that are no table."""

from __future__ import annotations

import hashlib
import io
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from nastk.core.config import EstimatorPart
from nastk.core.errors import DataError, NotInSpace, SchemaError, UnknownName
from nastk.core.types import Shape
from nastk.plugins.estimators import latency
from nastk.plugins.spaces.nas_bench_201 import SIZE, from_arch_string
from nastk.testing import build_space, genotypes

COLLECTION = Path(__file__).resolve().parents[4] / "shared" / "data" / "latency" / "nb201.npz.xz"
needs_collection = pytest.mark.skipif(not COLLECTION.is_file(), reason=f"the collection is not there: {COLLECTION}")
SPACE = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1, "channels": 4, "cells": 1})
MEMBER = SPACE.decode([3, 2, 1, 3, 4, 2, *[0] * (len(SPACE.decisions) - 6)])
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def value(found: Any, genotype: Any) -> float:
    return found.estimate(genotype, Shape(1, 3, 8, 8), 10).value


class Clock:
    """A clock whose readings are given: each forward pass is read before and after."""

    def __init__(self, seconds: list[float]) -> None:
        self.readings = iter([reading for one in seconds for reading in (100.0, 100.0 + one)])

    def perf_counter(self) -> float:
        return next(self.readings)


def test_it_is_the_median_of_the_timed_passes_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "time", Clock([0.5, 0.002, 0.001, 0.003, 0.009]))
    found = EstimatorPart.named("latency", runs=5, warmup=2).build().estimate(MEMBER, Shape(1, 3, 8, 8), 10)
    assert found.value == pytest.approx(3.0)
    assert found.unit == "ms"


def test_passes_have_the_batch_the_threads_and_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    class Watched(latency.Network):
        def forward(self, x_TBCHW: torch.Tensor, mixing: Any = None) -> torch.Tensor:
            seen.append((tuple(x_TBCHW.shape), torch.get_num_threads(), torch.is_grad_enabled(), self.training))
            return super().forward(x_TBCHW, mixing)

    monkeypatch.setattr(latency, "Network", Watched)
    before = torch.get_num_threads()
    found = value(EstimatorPart.named("latency", runs=4, warmup=3, batch=2, threads=before + 1).build(), MEMBER)
    assert found > 0
    assert seen == [((1, 2, 3, 8, 8), before + 1, False, False)] * 7
    assert torch.get_num_threads() == before


def written(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "table.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose latency of a cell is its official index, in thousands; a few are near zero."""
    table = 1000.0 + np.arange(SIZE, dtype=np.float32)
    broken = table.copy()
    broken[7] = 0.003
    return written(tmp_path_factory.mktemp("tables"), dev_any=table, dev_broken=broken)


def part(path: Path, device: str = "any", **settings_: Any) -> EstimatorPart:
    return EstimatorPart.named("latency-table", path=str(path), device=device, **settings_)


@settings(deadline=None, max_examples=30)
@given(genotype=genotypes(SPACE))
def test_it_is_the_entry_of_the_official_index(numbered: Path, genotype: Any) -> None:
    found = part(numbered).build()
    assert value(found, genotype) == 1000 + found._bench.index(genotype)


def test_a_near_zero_value_is_missing(numbered: Path) -> None:
    found = part(numbered, "broken").build()
    missing = from_arch_string(found._bench.architecture(7))
    with pytest.raises(DataError, match="no latency of cell 7 on broken"):
        value(found, missing)
    assert value(found, from_arch_string(found._bench.architecture(8))) == 1008


def test_strangers_are_refused(numbered: Path) -> None:
    spiking = build_space("nas-bench-201", {"neuron": "lif", "time_steps": 2})
    with pytest.raises(NotInSpace, match="lif"):
        value(part(numbered).build(), spiking.decode([0] * len(spiking.decisions)))
    toy = build_space("toy", {"neuron": "relu", "time_steps": 1})
    with pytest.raises(NotInSpace):
        value(part(numbered).build(), toy.decode([0] * len(toy.decisions)))


def test_files_that_are_no_table_are_refused(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a file: set `path`"):
        EstimatorPart.named("latency-table").build()
    with pytest.raises(DataError, match="cannot be read"):
        part(tmp_path / "none.npz").build()
    with pytest.raises(UnknownName, match=r"no latencies of the device 'anny'\. Did you mean 'any'"):
        part(numbered, "anny").build()
    with pytest.raises(DataError, match="expected SHA-256"):
        part(numbered, sha256="0" * 64).build()
    assert part(numbered, sha256=hashlib.sha256(numbered.read_bytes()).hexdigest()).build()
    with pytest.raises(SchemaError):
        part(written(tmp_path, dev_any=np.full(SIZE, -1.0))).build()


@needs_collection
@pytest.mark.parametrize(("device", "missing"), [("titan_rtx_1", False), ("pixel3", True), ("raspi4", True), ("eyeriss", False)])
def test_the_collection_of_help(device: str, missing: bool) -> None:
    """Every number is the file's, read here by other means; what is refused carries nothing from input to output."""
    with np.load(io.BytesIO(lzma.decompress(COLLECTION.read_bytes())), allow_pickle=False) as archive:
        table = archive[f"dev_{device}"]
    found = part(COLLECTION, device).build()
    for index in np.random.default_rng(0).integers(SIZE, size=20).tolist():
        genotype = from_arch_string(found._bench.architecture(index))
        if table[index] > 0.1 * np.median(table):
            assert value(found, genotype) == pytest.approx(float(table[index]))
    assert any(value_ is None for value_ in found._table) is missing
    if missing:
        with pytest.raises(DataError, match="no latency"):
            value(found, from_arch_string(DEAD))
