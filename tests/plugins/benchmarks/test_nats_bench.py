"""The table of NATS-Bench: published figures, every architecture, strangers, and files that are not the table."""

from __future__ import annotations

import hashlib
import io
import lzma
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Cell, Edge, Genotype, canonical, fold
from nastk.core.config import BenchmarkPart
from nastk.core.errors import ConfigError, DataError, NastkError, NotInSpace, SchemaError
from nastk.plugins.benchmarks.nats_bench import BUNDLED, NatsBench
from nastk.plugins.spaces.nas_bench_201 import (
    EDGES,
    OFFICIAL,
    OPERATIONS,
    SIZE,
    arch_string,
    cell_of,
    from_arch_string,
    number_of,
)
from nastk.testing import build_space, genotypes

SOURCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "nats_bench_tss" / "cifar.npz.xz"
SPACE = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1})
FOLDER = files("nastk.plugins.benchmarks")
Arrays = dict[str, np.ndarray[Any, Any]]

needs_source = pytest.mark.skipif(not SOURCE.is_file(), reason=f"the source data is not there: {SOURCE}")


@cache
def bench(dataset: str = "cifar10") -> NatsBench:
    found: NatsBench = BenchmarkPart.named("nats-bench", dataset=dataset).build()
    return found


@cache
def bundled() -> Arrays:
    with FOLDER.joinpath(BUNDLED).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return dict(archive)


@cache
def source() -> Arrays:
    with np.load(io.BytesIO(lzma.decompress(SOURCE.read_bytes())), allow_pickle=False) as archive:
        return dict(archive)


def string_of(codes: Sequence[int]) -> str:
    """The architecture string of a row of ``ops``, written out once more."""
    a, b, c, d, e, f = (list(OFFICIAL.values())[code] for code in codes)
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def genotype_of(row: int) -> Genotype:
    return from_arch_string(string_of(bundled()["ops"][row].tolist()), SPACE)


# The figures


@pytest.mark.parametrize(("dataset", "index", "percent"), [("cifar10", 6111, 94.373), ("cifar100", 9930, 73.513)])
def test_the_best_are_the_published_ones(dataset: str, index: int, percent: float) -> None:
    found, genotype = bench(dataset), genotype_of(index)
    assert found.index(genotype) == index
    assert found.optimum == found.test(genotype) == pytest.approx(percent / 100, abs=5e-6)
    assert found.architecture(index) == arch_string(genotype)
    assert max(map(found.test, map(genotype_of, range(0, SIZE, 25)))) < found.optimum


@settings(deadline=None, max_examples=60)
@given(st.integers(0, SIZE - 1), st.sampled_from(["cifar10", "cifar100"]))
def test_a_look_up_gives_the_row_of_the_architecture(row: int, dataset: str) -> None:
    """Validation accuracy to the search; the test accuracy, which differs, only through its own door."""
    found, genotype = bench(dataset), genotype_of(row)
    valid, test = (float(bundled()[f"{dataset}_{name}"][row]) / 100 for name in ("val_lowfid", "test200_mean"))
    assert found.look_up(genotype, 12) == {"accuracy": pytest.approx(valid, abs=1e-6)}
    assert found.test(genotype) == pytest.approx(test, abs=1e-6)
    assert found.index(genotype) == row


def test_the_data_sets_and_the_two_doors_differ() -> None:
    rows = [genotype_of(row) for row in range(0, SIZE, 500)]
    answers = {(d, door): [ask(g) for g in rows] for d in ("cifar10", "cifar100") for door, ask in doors(bench(d))}
    assert len({tuple(values) for values in answers.values()}) == 4
    for dataset in ("cifar10", "cifar100"):
        assert np.corrcoef(answers[dataset, "valid"], answers[dataset, "test"])[0, 1] > 0.8


def doors(found: NatsBench) -> list[tuple[str, Any]]:
    return [("valid", lambda g: found.look_up(g, 12)["accuracy"]), ("test", found.test)]


def test_only_the_length_that_the_table_has() -> None:
    assert NatsBench.epochs == (12,)
    for epochs in (1, 200):
        with pytest.raises(DataError, match=f"after 12 epochs, not after {epochs}"):
            bench().look_up(genotype_of(0), epochs)


def test_look_ups_are_fast() -> None:
    """Hundreds of thousands a second on one core; a tenth of the promised 50,000 on a busy machine."""
    found, rows = bench(), [genotype_of(row) for row in range(0, SIZE, 16)]
    start = time.process_time()
    for genotype in rows * 5:
        found.look_up(genotype, 12)
    assert 5 * len(rows) / (time.process_time() - start) > 5000


# Architectures


def test_all_strings_and_numbers_round_trip() -> None:
    seen = set()
    for row, codes in enumerate(bundled()["ops"].tolist()):
        text = string_of(codes)
        genotype = from_arch_string(text, SPACE)
        cell = genotype.cell("shared")
        assert arch_string(genotype) == bench().architecture(row) == text
        assert [edge.op for edge in sorted(cell.edges, key=lambda e: (e.dst, e.src))] == [OPERATIONS[code] for code in codes]
        assert cell_of(number_of(cell)) == cell
        seen.add(number_of(cell))
    assert seen == set(range(SIZE))


@settings(deadline=None, max_examples=30)
@given(genotypes(SPACE))
def test_a_member_of_the_space_has_a_string_that_is_its_own(genotype: Genotype) -> None:
    assert from_arch_string(arch_string(genotype), SPACE) == genotype
    assert genotype in SPACE
    digits = SPACE.encode(genotype)[:6]
    assert number_of(genotype.cell("shared")) == sum(digit * 5**place for place, digit in enumerate(digits))


def test_a_string_alone_gives_a_relu_network() -> None:
    genotype = from_arch_string(string_of([3, 3, 4, 1, 3, 1]))
    assert (genotype.part("neuron"), genotype.part("time_steps"), genotype.part("membrane")) == ("relu", 1, "pre")
    assert Edge(0, 2, "conv_3x3") in genotype.cell("shared").edges
    assert Edge(1, 2, "avg_pool_3x3") in genotype.cell("shared").edges
    assert bench().index(genotype) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.text() | st.lists(st.sampled_from(["|", "+", "~0", "~1", "~2", *OFFICIAL.values(), *OFFICIAL]), max_size=20).map("".join)
)
def test_what_is_no_architecture_string_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="is no architecture string of NAS-Bench-201"):
        from_arch_string(text, SPACE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("none~2|", "none~2"), ("none~2|", "none~2|\n"), ("none~2|", "none~1|"), ("none", "nothing"), ("none~2|", "conv_3x3~2|")],
)
def test_a_string_with_one_fault_is_refused(old: str, new: str) -> None:
    text = string_of([0] * 6)
    assert from_arch_string(text, SPACE) == genotype_of(bench().index(from_arch_string(text, SPACE)))
    with pytest.raises(SchemaError):
        from_arch_string(text.replace(old, new), SPACE)


def test_strangers_are_refused_with_the_reason() -> None:
    genotype = genotype_of(0)
    cell = genotype.cell("shared")
    last = cell.edges[-1]

    def with_cell(*edges: Edge, outputs: Sequence[int] = (3,), inputs: int = 1) -> Genotype:
        return evolve(genotype, cells={"shared": Cell(inputs, edges, tuple(outputs))})

    for stranger, reason in [
        (evolve(genotype, space="toy"), "of the space 'toy' with the cells shared"),
        (evolve(genotype, cells={"normal": cell}), "with the cells normal"),
        (evolve(genotype, cells={"normal": cell, "shared": cell}), "with the cells normal, shared"),
        (with_cell(*cell.edges[:-1]), "5 edges"),
        (with_cell(*cell.edges[:-1], evolve(last, op="conv_5x5")), "no edge 2->3 with the operation 'conv_5x5'"),
        (with_cell(*cell.edges[:-1], Edge(2, 4, last.op)), "no edge 2->4"),
        (with_cell(*cell.edges, outputs=(2, 3)), r"the outputs \[2, 3\]"),
        (with_cell(*cell.edges[1:], Edge(1, 4, last.op), inputs=2), "2 inputs"),
        (genotype.with_parts(neuron="plif"), "neuron = 'plif', the networks of the table neuron = 'relu'"),
        (genotype.with_parts(time_steps=2), "time_steps = 2"),
        (genotype.with_parts(attention="cbam"), "attention = 'cbam'"),
        (evolve(genotype, parts={}), "neuron = None"),
    ]:
        for ask in (bench().look_up, bench().test, bench().index):
            with pytest.raises(NotInSpace, match=reason):
                ask(stranger)
    assert bench().index(genotype.with_parts(channels=99, layers="00")) == 0


# Against the source


@needs_source
def test_the_bundled_table_is_the_source() -> None:
    assert set(bundled()) <= set(source())
    for name, values in bundled().items():
        assert np.array_equal(values, source()[name].astype(values.dtype)), name
    assert [text.decode() for text in source()["arch"]] == [string_of(codes) for codes in bundled()["ops"].tolist()]
    for dataset in ("cifar10", "cifar100"):
        full = BenchmarkPart.named("nats-bench", dataset=dataset, path=str(SOURCE)).build()
        for genotype in map(genotype_of, range(0, SIZE, 7)):
            assert full.look_up(genotype, 12) == bench(dataset).look_up(genotype, 12)
            assert full.test(genotype) == bench(dataset).test(genotype)


class Spelt:
    """The string by which NAS-Bench-201 recognises cells of one meaning: a skip is nothing, what ``none`` zeroes is ``#``.

    A node of zeros alone is spelt ``#+#``, and that is not ``#`` again to the edges that leave it.
    """

    def apply(self, edge: Edge, value: str) -> str:
        if edge.op == "none" or value == "#":
            return "#"
        return value if edge.op == "skip_connect" else f"({value})@{edge.op}"

    def arrive(self, edge: Edge, value: str) -> str:
        del edge
        return value

    def join(self, node: int, arrivals: Sequence[str]) -> str:
        del node
        return "+".join(sorted(arrivals))

    def output(self, values: Sequence[str]) -> str:
        return values[0]


@needs_source
def test_the_groups_of_the_source_are_this_fold() -> None:
    """A cell means the same here and there: folded to the official string, cells fall into the official 6,466 groups."""
    groups, canonicals = defaultdict(set), defaultdict(set)
    for codes, group in zip(source()["ops"].tolist(), source()["iso_group"].tolist(), strict=True):
        cell = Cell(1, [Edge(*edge, OPERATIONS[code]) for edge, code in zip(EDGES, codes, strict=True)], (3,))
        groups[fold(cell, Spelt(), ["0"])].add(group)
        canonicals[canonical(cell)].add(group)
    assert len(groups) == 6466
    assert all(len(found) == 1 for found in groups.values())
    assert len(set().union(*groups.values())) == 6466
    # Cells of one canonical form are in one group, but for 100 of 12,105 forms: those groups differ in their count of #.
    assert (len(canonicals), sum(len(found) > 1 for found in canonicals.values())) == (12105, 100)


# Files


def written(folder: Path, name: str = "table.npz", **changes: Any) -> Path:
    arrays = {**bundled(), **changes}
    path = folder / name
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value for key, value in arrays.items() if value is not None})
    content = buffer.getvalue()
    path.write_bytes(lzma.compress(content, preset=0) if name.endswith(".xz") else content)
    return path


def opened(path: Path | str, **options: Any) -> NatsBench:
    found: NatsBench = BenchmarkPart.named("nats-bench", path=str(path), **options).build()
    return found


def test_the_bundle_is_small_and_has_its_licence() -> None:
    assert len(FOLDER.joinpath(BUNDLED).read_bytes()) <= 350_000
    licence = FOLDER.joinpath("nats_bench_tss.LICENSE").read_text(encoding="utf-8")
    for words in ("Xuanyi Dong", "BayesWatch", "MIT License", "above copyright notice and this permission notice"):
        assert words in licence


@pytest.mark.parametrize("name", ["table.npz", "table.npz.xz", "any-name"])
def test_a_table_can_be_a_file(tmp_path: Path, name: str) -> None:
    swapped = {f"cifar10_{a}": bundled()[f"cifar100_{b}"] for a, b in [("val_lowfid",) * 2, ("test200_mean",) * 2]}
    found = opened(written(tmp_path, name, **swapped, more=np.zeros(3)))
    for genotype in map(genotype_of, range(0, SIZE, 1000)):
        assert found.look_up(genotype, 12) == bench("cifar100").look_up(genotype, 12)


def test_rows_may_be_in_another_order(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(SIZE)
    shuffled = {name: values[order] for name, values in bundled().items() if len(values) == SIZE}
    found = opened(written(tmp_path, **shuffled))
    for row in range(0, SIZE, 1000):
        genotype = genotype_of(int(order[row]))
        assert found.index(genotype) == row
        assert found.look_up(genotype, 12) == bench().look_up(genotype, 12)


def test_the_checksum_is_checked(tmp_path: Path) -> None:
    path = written(tmp_path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened(path, sha256=right.upper()).optimum == bench().optimum
    with pytest.raises(DataError, match=rf"table\.npz is damaged or another file: expected SHA-256 {'0' * 64}, found {right}"):
        opened(path, sha256="0" * 64)
    with pytest.raises(DataError, match=r"nats_bench_tss\.npz is damaged or another file"):
        opened("", sha256="0" * 64)
    with pytest.raises(ConfigError, match="sha256"):
        opened(path, sha256="0" * 63)


def changed(name: str, place: Any, value: Any) -> dict[str, Any]:
    values = bundled()[name].copy()
    values[place] = value
    return {name: values}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ops": None}, "has no array 'ops': expected ops, op_names"),
        ({"cifar10_val_lowfid": None}, "no array 'cifar10_val_lowfid'"),
        ({"ops": np.zeros((3, 6), np.int8)}, r"'ops' is int8 of shape \(3, 6\), expected whole numbers of shape \(15625, 6\)"),
        ({"ops": np.zeros((SIZE, 6), np.float32)}, "'ops' is float32"),
        ({"op_names": np.arange(5)}, "'op_names' is int64"),
        ({"op_names": bundled()["op_names"][::-1]}, "op_names are avg_pool_3x3, nor_conv_3x3"),
        (changed("ops", 0, bundled()["ops"][1]), "do not list each of the 15625 cells once"),
        (changed("ops", (0, 0), 5), "do not list each"),
        (changed("ops", (0, 0), -1), "do not list each"),
        (changed("cifar10_val_lowfid", 7, np.nan), "cifar10_val_lowfid has values that are no percentages"),
        (changed("cifar10_test200_mean", 7, 100.5), "cifar10_test200_mean has values that are no percentages"),
        (changed("cifar10_test200_mean", 7, -1), "no percentages"),
        ({"ops": np.array([{}] * 3)}, "Object arrays cannot be loaded"),
    ],
)
def test_a_file_of_other_contents_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=rf"table\.npz.*{message}"):
        opened(written(tmp_path, **changes))


def test_the_other_data_set_need_not_be_there(tmp_path: Path) -> None:
    absent = {f"cifar100_{name}": None for name in ("val_lowfid", "test200_mean")}
    assert opened(written(tmp_path, **absent)).optimum == bench().optimum


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\xfd7zXZ\x00", b"\x80\x04N."])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"table\.npz is no table in an \.npz or \.npz\.xz file"):
        opened(path)
    np.save(path, np.zeros(3))
    with pytest.raises(SchemaError, match=r"is no table"):
        opened(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.npz", tmp_path, "\0"):
        with pytest.raises(DataError, match="cannot be read"):
            opened(path)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
def test_damage_is_refused_or_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, where: float, flip: int, cut: bool
) -> None:
    content = bytearray(FOLDER.joinpath(BUNDLED).read_bytes())
    place = int(where * len(content))
    content[place] ^= flip
    path = tmp_path_factory.mktemp("damage") / "table.npz"
    path.write_bytes(content[:place] if cut else content)
    try:
        found = opened(path)
    except NastkError:
        return
    assert not cut
    for genotype in map(genotype_of, range(0, SIZE, 500)):
        assert found.look_up(genotype, 12) == bench().look_up(genotype, 12)
        assert found.test(genotype) == bench().test(genotype)
