"""The table of NAS-Bench-Macro: a made-up one, the real one where it is, and how it is made from the official file."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Genotype
from nastk.core.config import BenchmarkPart
from nastk.core.errors import DataError, NotInSpace, SchemaError
from nastk.core.laws.check import check
from nastk.core.run.runfile import configure
from nastk.plugins.benchmarks.nas_bench_macro import NasBenchMacro
from nastk.plugins.spaces.macro import SIZE, arch_string, cells_of

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT.parent / "shared" / "data" / "nas_bench_macro" / "cifar10.npz.xz"
CONFIG = configure(NasBenchMacro.defaults)
SPACE = CONFIG.space.build(CONFIG.model)
TEXTS = ["".join(digits) for digits in product("012", repeat=8)]

needs_source = pytest.mark.skipif(not SOURCE.is_file(), reason=f"the source data is not there: {SOURCE}")
spelt = st.text("012", min_size=8, max_size=8)


def genotype_of(text: str) -> Genotype:
    return evolve(SPACE.full(), cells=cells_of(text))


def document() -> dict[str, Any]:
    """The official file's form, its numbers made up."""
    return {
        text: {"test_acc": [50 + i / 200, 51 + i / 200, 53 + i / 200], "mean_acc": 0.0, "params": 1000 + i, "flops": 10**7 + i}
        for i, text in enumerate(TEXTS)
    }


def convert(source: dict[str, Any], path: Path) -> None:
    spec = importlib.util.spec_from_file_location("from_macro", ROOT / "examples" / "tables" / "from_nas_bench_macro.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.with_suffix(".json").write_text(json.dumps(source))
    module.main([str(path.with_suffix(".json")), str(path)])


def opened(path: Path | str, **options: Any) -> NasBenchMacro:
    found: NasBenchMacro = BenchmarkPart.named("nas-bench-macro", path=str(path), **{"sha256": "", **options}).build()
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("macro") / "macro.npz"
    convert(document(), path)
    return path


@pytest.fixture(scope="module")
def bench(table: Path) -> NasBenchMacro:
    return opened(table)


@settings(deadline=None, max_examples=40)
@given(text=spelt)
def test_a_search_sees_one_training_and_is_judged_by_the_mean(bench: NasBenchMacro, text: str) -> None:
    genotype, i = genotype_of(text), int(text, 3)
    assert genotype in SPACE
    assert arch_string(genotype) == text
    assert bench.index(genotype) == i
    wanted = {"accuracy": 0.5 + i / 20_000, "parameters": 1000 + i, "macs": 10**7 + i}
    assert bench.look_up(genotype, 50) == pytest.approx(wanted, abs=2e-6)
    assert bench.test(genotype) == pytest.approx((51 + 1 / 3 + i / 200) / 100, abs=2e-6)


def test_another_training_can_be_the_one_that_is_seen(table: Path, bench: NasBenchMacro) -> None:
    genotype = genotype_of("00000000")
    assert opened(table, repetition=2).look_up(genotype)["accuracy"] == pytest.approx(0.53)
    assert opened(table, repetition=2).test(genotype) == bench.test(genotype)
    with pytest.raises(DataError, match="has 3 trainings of a member, there is no number 3"):
        opened(table, repetition=3)


def test_refusals(table: Path, bench: NasBenchMacro, tmp_path: Path) -> None:
    genotype = genotype_of("01201201")
    for epochs in (0, 49, 51):
        with pytest.raises(DataError, match=f"after 50 epochs, not after {epochs}"):
            bench.look_up(genotype, epochs)
    with pytest.raises(NotInSpace, match="neuron = 'plif'"):
        bench.test(genotype.with_parts(neuron="plif"))
    with pytest.raises(NotInSpace, match="expected 'macro' with the cells 0, 1, 2"):
        bench.test(evolve(genotype, cells=dict(genotype.cells[:-1])))
    with pytest.raises(DataError, match=r"set benchmark.path to the file that examples/tables/from_nas_bench_macro.py has made"):
        opened("")
    with pytest.raises(DataError, match="expected SHA-256 535d9c09b0d7"):
        BenchmarkPart.named("nas-bench-macro", path=str(table)).build()
    with np.load(table) as archive:
        arrays = dict(archive)
    for name, value, message in [
        ("arch", arrays["arch"][::-1], "does not list the 6561 architectures in the order of their digits"),
        ("test_acc", arrays["test_acc"][:, 0], r"expected numbers of shape \(6561, any\)"),
        ("test_acc", 2 * arrays["test_acc"], "test_acc has values that are no percentages"),
    ]:
        np.savez(tmp_path / "other.npz", **{**arrays, name: value})
        with pytest.raises(SchemaError, match=message):
            opened(tmp_path / "other.npz")


# The real table


@cache
def real() -> NasBenchMacro:
    return opened(SOURCE, sha256="535d9c09b0d7572c06da822b2400dcb893037b8ce7d2b4179b29822996f954e5")


def costs(text: str) -> tuple[int, int]:
    """Parameters and multiply-accumulates of the authors' network (its program ``model.py``), written out."""
    channels, size = 32, 32
    parameters, macs = 3 * 9 * channels + 2 * channels, 3 * 9 * channels * size**2
    for layer, digit in enumerate(text):
        first = layer in (0, 2, 5)
        out, after = (2 * channels, size // 2) if first else (channels, size)
        if digit == "0":
            parameters += (channels * out + 2 * out) * first
            macs += channels * out * after**2 * first
        else:
            times, kernel = ((3, 3), (6, 5))[digit == "2"]
            wide = times * channels
            parameters += wide * (channels + kernel**2 + out) + 4 * wide + 2 * out
            macs += wide * channels * size**2 + wide * kernel**2 * after**2 + wide * out * after**2
        channels, size = out, after
    return parameters + channels * 1280 + 2 * 1280 + 1280 * 10 + 10, macs + channels * 1280 * size**2 + 1280 * 10


@needs_source
def test_costs_are_those_of_the_authors_network() -> None:
    for text in TEXTS[::11]:
        found = real().look_up(genotype_of(text))
        assert (found["parameters"], found["macs"]) == costs(text)


@needs_source
def test_the_best_and_the_members_that_share_a_training() -> None:
    assert real().optimum == real().test(genotype_of("22212202")) == pytest.approx(0.93305, abs=1e-5)
    assert real().look_up(genotype_of("22212202"))["accuracy"] == pytest.approx(0.9328)
    for text, same in [("12101202", "12110220"), ("00000001", "00000010"), ("10001200", "10010200")]:
        assert real().look_up(genotype_of(text)) == real().look_up(genotype_of(same))
    assert len(set(map(trained, TEXTS))) == 3969


def trained(text: str) -> str:
    """The one that was trained: identities behind the others of their stage."""
    stages = (text[:2], text[2:5], text[5:])
    return "".join(stage[0] + stage[1:].replace("0", "").ljust(len(stage) - 1, "0") for stage in stages)


@needs_source
def test_all_members_have_the_accuracy_of_the_one_that_was_trained() -> None:
    for text in TEXTS[::7]:
        assert real().test(genotype_of(text)) == real().test(genotype_of(trained(text)))


@needs_source
def test_it_keeps_the_laws() -> None:
    assert [v for v in check("benchmark", "nas-bench-macro", path=str(SOURCE)) if v.outcome != "holds"] == []


def test_the_size_is_that_of_the_space() -> None:
    assert SPACE.size == SIZE == 6561
