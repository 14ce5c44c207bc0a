"""The program that makes a table of ``nats-bench`` from the official archive, on an API of the documented interface."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nastk.core.config import BenchmarkPart
from nastk.plugins.benchmarks.nats_bench import NatsBench
from nastk.plugins.spaces.nas_bench_201 import SIZE, cell_of, cell_string, from_arch_string

PROGRAM = Path(__file__).resolve().parents[3] / "examples" / "tables" / "from_nats_bench.py"
SEEDS = {"cifar10-valid": [777, 888], "cifar10": [777, 888, 999], "cifar100": [777], "ImageNet16-120": [777]}


class Api:
    """Answers as ``nats_bench.create(path, "tss")`` does; each number says what was asked for."""

    def __len__(self) -> int:
        return SIZE

    def arch(self, index: int) -> str:
        return cell_string(cell_of(SIZE - 1 - index))

    def query_meta_info_by_index(self, arch_index: int, hp: str = "12") -> Any:
        assert hp == "12"
        assert 0 <= arch_index < SIZE
        return SimpleNamespace(get_dataset_seeds=lambda dataset: list(SEEDS[dataset]))

    def get_more_info(
        self, index: int, dataset: str, iepoch: int | None = None, hp: str = "12", is_random: bool | int = True
    ) -> dict[str, float]:
        assert iepoch is None
        assert is_random is False or is_random in SEEDS[dataset], "a random training would make another table each time"
        base = 10 * list(SEEDS).index(dataset) + (5 if hp == "200" else 0) + index / SIZE
        found = {"train-all-time": 1000 * base, "train-accuracy": 0.0, "test-accuracy": base + 2, "test-all-time": 0.0}
        if dataset != "cifar10":
            found |= {"valid-accuracy": base + (is_random - 700) / 1000 * (is_random is not False), "valid-per-time": 100 * base}
        return found


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("from_nats_bench", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(table: Path, **options: Any) -> NatsBench:
    found: NatsBench = BenchmarkPart.named("nats-bench", path=str(table), **options).build()
    return found


def test_what_the_program_writes_is_what_the_benchmark_reads(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def create(*args: Any, **options: Any) -> Api:
        asked.append((args, options))
        return Api()

    monkeypatch.setitem(sys.modules, "nats_bench", SimpleNamespace(create=create))
    archive, table = tmp_path / "NATS-tss-v1_0-simple", tmp_path / "nats.npz"
    archive.mkdir()
    program.main([str(archive), str(table), "--datasets", "cifar10", "ImageNet16-120"])
    assert asked == [((str(archive), "tss"), {"fast_mode": True, "verbose": False})]
    assert "this runs the code that is in it" in capsys.readouterr().err
    for index in (0, 4321, SIZE - 1):
        genotype, part = from_arch_string(Api().arch(index)), index / SIZE
        small, images = (opened(table, dataset=name) for name in ("cifar10", "ImageNet16-120"))
        assert small.index(genotype) == index
        assert small.look_up(genotype, 12) == pytest.approx({"accuracy": part / 100, "seconds": 1100 * part}, rel=1e-3)
        longer = {"accuracy": (5 + part) / 100, "seconds": 1100 * (5 + part)}
        assert small.look_up(genotype, 200) == pytest.approx(longer, rel=1e-5)
        assert small.test(genotype) == pytest.approx((10 + 5 + part + 2) / 100, abs=1e-6)  # of the networks of all images
        assert images.look_up(genotype, 12)["accuracy"] == pytest.approx((30 + part) / 100, abs=1e-6)
        assert images.test(genotype) == pytest.approx((35 + part + 2) / 100, abs=1e-6)
        assert (images.shape, images.classes) == ((1, 3, 16, 16), 120)
    second = opened(table, repetition=1).look_up(from_arch_string(Api().arch(0)), 12)
    assert second["accuracy"] == pytest.approx(0.188 / 100, abs=1e-6)


def test_members_that_were_trained_less_often_have_gaps(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of a training that some members lack is not a number there."""
    monkeypatch.setattr(Api, "__len__", lambda _: 2)
    results = [SimpleNamespace(get_dataset_seeds=lambda _: [777]), SimpleNamespace(get_dataset_seeds=lambda _: [777, 888])]
    monkeypatch.setattr(Api, "query_meta_info_by_index", lambda _, index, **__: results[index])
    runs = program.convert(Api(), ["cifar10"])["cifar10_val12_runs"]
    assert np.isnan(runs).tolist() == [[False, True], [False, False]]


def test_without_the_package_it_says_so(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    with pytest.raises(SystemExit, match="pip install nats_bench"):
        program.main(["archive", "table.npz"])


def test_nothing_of_nastk_unpickles() -> None:
    """The one program that does says so where its users read it."""
    assert "FILE OF PICKLES" in (PROGRAM.read_text(encoding="utf-8").split('"""')[1])
