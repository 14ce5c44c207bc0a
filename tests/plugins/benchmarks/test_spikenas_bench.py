"""The table of SpikeNAS-Bench: figures of a made-up one, those of the real one where it is, and how it is made from logs."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
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
from nastk.plugins.benchmarks.spikenas_bench import EPOCHS, SIZE, SpikeNasBench
from nastk.plugins.spaces.spikenas import cell_of, number_of

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT.parent / "shared" / "data" / "spikenas_bench"
CONFIG = configure(SpikeNasBench.defaults)
SPACE = CONFIG.space.build(CONFIG.model)
FULL = SPACE.full()
Arrays = dict[str, Any]

needs_source = pytest.mark.skipif(not SOURCE.is_dir(), reason=f"the source data is not there: {SOURCE}")


def genotype_of(number: int) -> Genotype:
    return evolve(FULL, cells={"shared": cell_of(number)})


def made_up() -> tuple[Arrays, Arrays]:
    """The arrays of a table whose numbers say where they come from."""
    rng = np.random.default_rng(0)
    ids = np.arange(SIZE)
    counts = rng.integers(2500, 22000, (EPOCHS, SIZE)).astype(np.uint16)
    summary = {
        "ops": (ids[:, None] // 5 ** np.arange(6) % 5).astype(np.uint8),
        "test_acc": (10 + ids / 1000).astype(np.float32),
        "params": 17_000_000 + ids,
        "firing_rate": np.where(np.arange(16) % 2, -1, (np.arange(16) + 1) / 32 + 0 * ids[:, None]).astype(np.float32),
        "firing_rate_edges": np.array(["0-1", "0-2", "1-2", "0-3", "1-3", "2-3"]),
        "train_seconds": (1000 + ids).astype(np.float32),
        "epochs": np.where(ids % 2, 200, 100).astype(np.uint16),
    }
    summary["firing_rate"][:, -1] = ids / 100_000
    return summary, {"val_acc_d": np.diff(counts, axis=0, prepend=np.zeros_like(counts[:1])), "counts": counts}


def write(folder: Path, **changes: Any) -> str:
    summary, curves = made_up()
    for name, arrays in (("cifar10_summary", summary), ("cifar10_curves_acc", curves)):
        arrays = {key: changes.get(key, value) for key, value in arrays.items()}
        np.savez(folder / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
    return str(folder)


def opened(path: str, **options: Any) -> SpikeNasBench:
    found: SpikeNasBench = BenchmarkPart.named("spikenas-bench", path=path, **{"sha256": [], **options}).build()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("spikenas"))


@pytest.fixture(scope="module")
def bench(folder: str) -> SpikeNasBench:
    return opened(folder)


@pytest.fixture(scope="module")
def best(folder: str) -> SpikeNasBench:
    return opened(folder, validation="best")


COUNTS = made_up()[1]["counts"].astype(int)


@settings(deadline=None, max_examples=40)
@given(number=st.integers(0, SIZE - 1), epochs=st.integers(1, EPOCHS))
def test_a_look_up_gives_the_row_and_the_epoch(bench: SpikeNasBench, best: SpikeNasBench, number: int, epochs: int) -> None:
    genotype = genotype_of(number)
    assert genotype in SPACE
    assert bench.index(genotype) == number_of(genotype) == number
    curve = COUNTS[:epochs, number] / 25_000
    seconds = epochs * (1000 + number) / (200 if number % 2 else 100)
    assert bench.look_up(genotype, epochs) == pytest.approx(
        {"accuracy": curve[-1], "seconds": seconds, "parameters": 17_000_000 + number, "firing_rate": round(number / 100_000, 3)},
        abs=1e-6,
    )
    assert best.look_up(genotype, epochs)["accuracy"] == pytest.approx(curve.max(), abs=1e-6)
    assert bench.test(genotype) == pytest.approx((10 + number / 1000) / 100, abs=1e-6)


def test_the_optimum_is_the_best_test_accuracy(bench: SpikeNasBench) -> None:
    assert bench.optimum == bench.test(genotype_of(SIZE - 1)) == pytest.approx(0.25624)


def test_firing_rates_are_of_the_layers_there_are(bench: SpikeNasBench) -> None:
    assert bench.firing_rates(genotype_of(7)) == {
        "cell1 0-1": 0.031,
        "cell1 1-2": 0.094,
        "cell1 1-3": 0.156,
        "cell2 0-1": 0.219,
        "cell2 1-2": 0.281,
        "cell2 1-3": 0.344,
        "behind cell1": 0.406,
        "classifier": 0.469,
    }


@pytest.mark.parametrize("epochs", [0, -1, EPOCHS + 1])
def test_only_the_epochs_of_the_curves(bench: SpikeNasBench, epochs: int) -> None:
    with pytest.raises(DataError, match=f"after 1 to 100 epochs, not after {epochs}"):
        bench.look_up(genotype_of(0), epochs)


def test_networks_of_other_parts_are_refused(bench: SpikeNasBench) -> None:
    for changes, reason in [
        ({"neuron": "plif"}, "neuron = 'plif', the networks of the table neuron = 'lif'"),
        ({"neuron__tau": 2.5}, "neuron.tau = 2.5, the networks of the table neuron.tau = 1.33"),
        ({"neuron__reset": "soft"}, "neuron.reset = 'soft', the networks of the table neuron.reset = its default"),
        ({"time_steps": 4}, "time_steps = 4"),
        ({"attention": "cbam"}, "attention = 'cbam'"),
    ]:
        with pytest.raises(NotInSpace, match=reason):
            bench.test(FULL.with_parts(**changes))
    assert bench.index(genotype_of(99).with_parts(channels=128, layers="01")) == 99
    with pytest.raises(NotInSpace, match="with the cells normal; expected 'spikenas' with the cells shared"):
        bench.index(evolve(FULL, cells={"normal": cell_of(0)}))


def test_it_says_where_to_get_the_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set benchmark.path to the folder that examples/tables/from_spikenas_logs.py has made"):
        opened("")
    with pytest.raises(DataError, match=r"cifar10_summary.npz.xz cannot be read"):
        opened(str(tmp_path))
    assert (ROOT / "examples" / "tables" / "from_spikenas_logs.py").is_file()


def test_sums_are_checked(folder: str) -> None:
    sums = [hashlib.sha256((Path(folder) / f"cifar10_{name}.npz").read_bytes()).hexdigest() for name in ("summary", "curves_acc")]
    assert opened(folder, sha256=sums).optimum > 0
    for wrong in ([sums[0], "0" * 64], ["0" * 64, sums[1]]):
        with pytest.raises(DataError, match="is damaged or another file"):
            opened(folder, sha256=wrong)
    with pytest.raises(DataError, match="needs two sums"):
        opened(folder, sha256=sums[:1])
    with pytest.raises(DataError, match=r"expected SHA-256 05a7209757db"):
        BenchmarkPart.named("spikenas-bench", path=folder).build()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ops": np.roll(made_up()[0]["ops"], 1, axis=0)}, "do not list the 15625 cells in the order of their ids"),
        ({"params": None}, "no array 'params'"),
        ({"test_acc": np.full(SIZE, 101.0)}, "test_acc has values that are no percentages"),
        ({"val_acc_d": np.full((EPOCHS, SIZE), 300, np.uint16)}, "val_acc_d has values that are no percentages"),
        ({"train_seconds": np.full(SIZE, np.nan)}, "train_seconds has values that are negative or not finite"),
        ({"firing_rate": np.zeros((SIZE, 3), np.float32)}, r"expected numbers of shape \(15625, 16\)"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        opened(write(tmp_path, **changes))


# The real table


@pytest.fixture(scope="module")
def real() -> SpikeNasBench:
    found: SpikeNasBench = BenchmarkPart.named("spikenas-bench", path=str(SOURCE)).build()
    return found


@needs_source
def test_the_best_is_the_published_one(real: SpikeNasBench) -> None:
    assert real.optimum == real.test(genotype_of(12617)) == pytest.approx(0.8930)
    assert real.firing_rates(genotype_of(12617))["classifier"] == 0.16
    assert real.look_up(genotype_of(12617), 100)["firing_rate"] == 0.119
    first = {"accuracy": 0.09968, "seconds": 40.597, "parameters": 17_917_668, "firing_rate": 0.0}  # its log: 1 h 7 min 39.7 s
    assert real.look_up(genotype_of(10000), 1) == pytest.approx(first, abs=1e-4)


@needs_source
def test_parameters_are_those_of_the_authors_network(real: SpikeNasBench) -> None:
    """Stem, two cells at 128 and 256 channels, what stands behind them, and a classifier of two linear layers."""
    stem, behind = 3 * 128 * 9 + 2 * 128, 2 * 128 + 128 * 256 * 9 + 2 * 256 + 2 * 256
    classifier = 256 * 8 * 8 * 1024 + 1024 * 100 + 100
    convolution = sum(9 * c * c + 2 * c for c in (128, 256))
    for number in range(0, SIZE, 37):
        genotype = genotype_of(number)
        convolutions = sum(edge.op.startswith("vth") for edge in genotype.cell("shared").edges)
        assert real.look_up(genotype, 1)["parameters"] == stem + behind + classifier + convolutions * convolution


@needs_source
def test_the_mean_firing_rate_is_over_all_neurons(real: SpikeNasBench) -> None:
    wide, deep = 128 * 32 * 32, 256 * 16 * 16
    sizes = {"cell1": wide, "cell2": deep, "behind cell1": wide, "behind cell2": deep, "classifier": 1024}
    for number in range(0, SIZE, 37):
        rates = real.firing_rates(genotype_of(number))
        weights = {layer: sizes.get(layer) or sizes[layer.split()[0]] for layer in rates}
        mean = sum(weights[layer] * rate for layer, rate in rates.items()) / sum(weights.values())
        assert real.look_up(genotype_of(number), 1)["firing_rate"] == pytest.approx(mean, abs=1.1e-3)


@needs_source
def test_it_keeps_the_laws() -> None:
    assert {v.law: v.outcome for v in check("benchmark", "spikenas-bench", path=str(SOURCE)) if v.outcome != "holds"} == {}


# How it is made


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "tables" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log(number: int, epochs: int) -> str:
    """A log as the authors' program writes it."""
    rows = [f"{e}.000, {20 + e / 10:.3f}, 2.303, {10 + number + e / 250:.3f}, 1.5{e:02d}" for e in range(epochs)]
    rates = ", ".join(["-1.000"] * 5 + [f"0.{i:03d}" for i in range(11)])
    names = "epoch, train_acc, train_loss, val_acc, val_loss"
    head = [f"architecture id: {number}", f"model parameters: {17_179_620 + number}", names]
    tail = [f"test accuracy: {40 + number}.500", f"firing rate of layers: {rates}", "Elapsed time: 1.0hour7.0minute39.7second"]
    return "\n".join([*head, *rows, *tail])


def test_logs_become_the_arrays() -> None:
    convert = program("from_spikenas_logs").convert
    summary, curves = convert([log(0, 100), log(1, 200), log(2, 100)])
    assert summary["test_acc"].tolist() == [40.5, 41.5, 42.5]
    assert summary["params"].tolist() == [17_179_620, 17_179_621, 17_179_622]
    assert summary["epochs"].tolist() == [100, 200, 100]
    assert summary["train_seconds"] == pytest.approx([4059.7] * 3)
    assert summary["ops"].tolist() == [[i, 0, 0, 0, 0, 0] for i in range(3)]
    assert summary["firing_rate"][1] == pytest.approx([-1] * 5 + [i / 1000 for i in range(11)])
    counts = np.cumsum(curves["val_acc_d"], axis=0, dtype=np.uint16)
    assert counts.shape == (100, 3)
    assert counts[[0, 99]].tolist() == [[2500, 2750, 3000], [2599, 2849, 3099]]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("test accuracy", "accuracy", "no test_acc"),
        ("hour", "h", "no time"),
        ("id: 0", "id: 4", "not in the order"),
        ("99.000,", "", "99 epochs, expected 100"),
    ],
)
def test_a_log_that_is_none_is_refused(old: str, new: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        program("from_spikenas_logs").convert([log(0, 100).replace(old, new)])
