"""Files for ``nats-bench``: more columns, data sets of any name, and measured latencies."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nastk.core.cell.graph import Genotype
from nastk.core.config import BenchmarkPart
from nastk.core.errors import DataError, SchemaError, UnknownName
from nastk.core.laws.check import check
from nastk.plugins.benchmarks.nats_bench import BUNDLED, NatsBench
from nastk.plugins.spaces.nas_bench_201 import SIZE, from_arch_string
from nastk.testing import build_space

LATENCY = Path(__file__).resolve().parents[4] / "shared" / "data" / "latency" / "nb201.npz.xz"
SPACE = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1})
Arrays = dict[str, np.ndarray[Any, Any]]


@cache
def bundled() -> Arrays:
    with files("nastk.plugins.benchmarks").joinpath(BUNDLED).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return dict(archive)


@cache
def bench(dataset: str = "cifar10") -> NatsBench:
    return opened("", dataset=dataset)


def opened(path: Path | str, **options: Any) -> NatsBench:
    found: NatsBench = BenchmarkPart.named("nats-bench", path=str(path), **options).build()
    return found


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "table.npz"
    np.savez(path, **{key: value for key, value in {**bundled(), **changes}.items() if value is not None})
    return path


def genotype_of(index: int) -> Genotype:
    return from_arch_string(bench().architecture(index), SPACE)


def more(**changes: Any) -> Arrays:
    """The columns that the bundled table does not have, for a data set of another name."""
    ids = np.arange(SIZE)
    arrays = {
        "letters_val_lowfid": 10 + ids / 1000,
        "letters_test200_mean": 90 - ids / 1000,
        "letters_data": np.array([1, 28, 20, 26]),
        "letters_seconds12": 100.0 + ids,
        "letters_val12_runs": np.stack([20 + ids / 1000, 30 + ids / 1000], axis=1),
        "letters_val200": 40 + ids / 1000,
        "letters_seconds200": 1000.0 + ids,
        **changes,
    }
    return {name: value if name.endswith("data") else np.asarray(value, np.float32) for name, value in arrays.items()}


def test_a_file_may_have_any_data_set_and_more_figures(tmp_path: Path) -> None:
    path = written(tmp_path, **more())
    found, genotype = opened(path, dataset="letters"), genotype_of(1234)
    assert (found.epochs, found.shape, found.classes) == ((12, 200), (1, 1, 28, 20), 26)
    assert found.look_up(genotype, 12) == pytest.approx({"accuracy": 0.11234, "seconds": 1334.0})
    assert found.look_up(genotype, 200) == pytest.approx({"accuracy": 0.41234, "seconds": 2234.0})
    assert found.test(genotype) == pytest.approx(0.88766)
    for run, accuracy in enumerate((0.21234, 0.31234)):
        assert opened(path, dataset="letters", repetition=run).look_up(genotype, 12)["accuracy"] == pytest.approx(accuracy)
    with pytest.raises(DataError, match="has 2 trainings of a member, there is no number 2"):
        opened(path, dataset="letters", repetition=2)
    with pytest.raises(DataError, match="after 12 and 200 epochs, not after 100"):
        found.look_up(genotype, 100)
    assert (bench().shape, bench("cifar100").classes) == ((1, 3, 32, 32), 100)
    assert opened(path).epochs == (12,)


def test_a_data_set_that_is_not_in_the_file_is_refused_with_near_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no data set 'cifar11' .* Did you mean 'cifar10'.* It has: cifar10, cifar100\."):
        opened("", dataset="cifar11")
    with pytest.raises(SchemaError, match="no array 'letters_data'"):
        opened(written(tmp_path, **{**more(), "letters_data": None}), dataset="letters")
    with pytest.raises(SchemaError, match="letters_seconds12 has values that are negative or not finite"):
        opened(written(tmp_path, **more(letters_seconds12=np.full(SIZE, -1.0))), dataset="letters")
    gap = more()["letters_val12_runs"].copy()
    gap[3, 1] = np.nan
    path = written(tmp_path, **more(letters_val12_runs=gap))
    assert opened(path, dataset="letters", repetition=0).epochs == (12, 200)
    with pytest.raises(SchemaError, match="letters_val12_runs, column 1, has values that are no percentages"):
        opened(path, dataset="letters", repetition=1)


def test_every_data_set_keeps_the_laws(tmp_path: Path) -> None:
    for options in ({"dataset": "cifar100"}, {"dataset": "letters", "path": str(written(tmp_path, **more()))}):
        assert [v for v in check("benchmark", "nats-bench", **options) if v.outcome != "holds"] == []


def devices(folder: Path, **changes: Any) -> str:
    values = np.linspace(1, 5, SIZE, dtype=np.float32)
    values[:3] = 0.01
    np.savez(folder / "latency.npz", **{"dev_phone": values, "dev_gpu_256": 2 * values[::-1], "other": values, **changes})
    return str(folder / "latency.npz")


def test_latencies_are_in_the_official_order(tmp_path: Path) -> None:
    path = devices(tmp_path)
    order = np.random.default_rng(0).permutation(SIZE)
    shuffled = written(tmp_path, **{name: values[order] for name, values in bundled().items() if len(values) == SIZE})
    for table in ("", shuffled):
        phone, gpu = (opened(table, latency=device, latency_path=path) for device in ("phone", "gpu_256"))
        for index in (3, 100, SIZE - 4):
            genotype = genotype_of(index)
            assert phone.look_up(genotype, 12)["latency"] == pytest.approx(1 + 4 * index / (SIZE - 1))
            assert gpu.look_up(genotype, 12)["latency"] == pytest.approx(2 * (5 - 4 * index / (SIZE - 1)))
            assert phone.look_up(genotype, 12)["accuracy"] == bench().look_up(genotype, 12)["accuracy"]
        for index in range(3):  # near zero: missing
            assert "latency" not in phone.look_up(genotype_of(index), 12)


def test_latencies_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = devices(tmp_path, dev_zero=np.zeros(SIZE), dev_odd=np.zeros(3), dev_nan=np.full(SIZE, np.nan))
    for device, error, message in [
        ("fone", UnknownName, r"no latencies of the device 'fone'\. Did you mean 'phone'.*It has: phone, gpu_256"),
        ("odd", SchemaError, r"expected numbers of shape \(15625,\)"),
        ("zero", SchemaError, "zero for most members"),
        ("nan", SchemaError, "negative or not finite"),
    ]:
        with pytest.raises(error, match=message):
            opened("", latency=device, latency_path=path)
    with pytest.raises(DataError, match=r"latencies of 'phone': set benchmark\.latency_path"):
        opened("", latency="phone")


@pytest.mark.skipif(not LATENCY.is_file(), reason=f"the source data is not there: {LATENCY}")
def test_the_measured_latencies() -> None:
    found = opened("", latency="pixel3", latency_path=str(LATENCY))
    missing = [row for row in range(SIZE) if "latency" not in found.look_up(genotype_of(row), 12)]
    assert len(missing) == 273
    assert found.look_up(genotype_of(0), 12)["latency"] == pytest.approx(3.60585)
    for row in missing:  # no path leads from the input to the output
        reached = {0}
        for edge in sorted(genotype_of(row).cell("shared").edges, key=lambda e: e.dst):
            reached |= {edge.dst} if edge.src in reached and edge.op != "none" else set()
        assert 3 not in reached
