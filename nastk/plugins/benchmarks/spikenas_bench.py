"""SpikeNAS-Bench: 15,625 spiking cells trained on CIFAR-10, with the whole course of each training.

Where the numbers come from: the training logs of SpikeNAS-Bench (Gengchen Sun and others), at
https://github.com/tju-sun-lab/SpikeNAS-Bench. That repository states no licence, so no number of it is bundled.
``examples/tables/from_spikenas_logs.py`` makes the two files below from its folder ``data/CIFAR10``.

======================  ===============  =========================================================================
key                     shape            content
======================  ===============  =========================================================================
``ops``                 ``(15625, 6)``   operation codes, edges 0-1, 0-2, 0-3, 1-2, 1-3, 2-3; a row is the id
``test_acc``            ``(15625,)``     test accuracy in percent after the last logged epoch
``params``              ``(15625,)``     number of parameters
``firing_rate``         ``(15625, 16)``  spikes a neuron and time step in each layer, -1: no such layer; see below
``firing_rate_edges``   ``(6,)``         the edges of the first six columns, and of the next six
``train_seconds``       ``(15625,)``     seconds that the training took
``epochs``              ``(15625,)``     epochs that were logged
``val_acc_d``           ``(100, 15625)``  in the second file: differences of the validation accuracy, 1/250 of a percent
======================  ===============  =========================================================================

The columns of ``firing_rate``: the edges of the first cell, those of the second, the neurons behind the first cell, behind the
second and in the classifier, and last the mean over all neurons of the network.

How the networks were trained, as the authors' program has it: T = 5, LIF with tau = 4/3 and a hard reset, the first 25,000
training images to train, the other 25,000, augmented too, to validate, one training a member; tested with the last
weights. 690 members were logged for 200 epochs and the others for 100; the curves have the first 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from attrs import field, frozen
from attrs.validators import deep_iterable, matches_re
from numpy.typing import NDArray

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NotInSpace, SchemaError
from nastk.core.run.benchmark import Benchmark
from nastk.core.types import Pairs, Shape
from nastk.plugins.benchmarks.tables import Arrays, Column, amounts, difference, read_table, shares
from nastk.plugins.spaces.spikenas import EDGES, NEURON, NUMBERS, OPERATIONS, TIME_STEPS, number_of

SIZE = NUMBERS.size
SUMMARY, CURVES = "cifar10_summary", "cifar10_curves_acc"
SHA256 = (
    "05a7209757db6723e9aca2dd5848345be785634c962df2d4579f67869c1c2cfd",
    "55e481eae8deacde7ccbb032840559559ef9a42f33b262c14d4bdd7eddb63229",
)
EPOCHS = 100
STEPS = 250
"""The curves count in this part of a percent: one of 25,000 validation images."""
LAYERS = 16
TRAINED: Pairs = (
    ("neuron", str(NEURON["name"])),
    *((f"neuron.{key}", value) for key, value in NEURON.items() if key != "name"),
    ("time_steps", TIME_STEPS),
    ("attention", "none"),
)
"""The parts with which the networks of the table were trained."""
SUMMARY_COLUMNS = {
    "ops": Column((SIZE, len(EDGES)), "iu"),
    "test_acc": Column((SIZE,), "f"),
    "params": Column((SIZE,), "iu"),
    "firing_rate": Column((SIZE, LAYERS), "f"),
    "firing_rate_edges": Column((len(EDGES),), "SU"),
    "train_seconds": Column((SIZE,), "f"),
    "epochs": Column((SIZE,), "iu"),
}
CURVE_COLUMNS = {"val_acc_d": Column((EPOCHS, SIZE), "iu")}


@frozen(kw_only=True)
class SpikeNasBenchConfig:
    """Settings of ``spikenas-bench``."""

    path: str = field(default="", metadata={"help": "the folder with cifar10_summary and cifar10_curves_acc, .npz.xz or .npz"})
    validation: Literal["last", "best"] = field(
        default="last", metadata={"help": "the validation accuracy of the epoch that is asked for, or the best up to it"}
    )
    sha256: tuple[str, ...] = field(
        default=SHA256,
        validator=deep_iterable(matches_re(r"[0-9a-fA-F]{64}")),
        metadata={"help": "SHA-256 that the summary and the curves must have, in this order; empty: any"},
    )


@mark.benchmark(
    "spikenas-bench",
    config=SpikeNasBenchConfig,
    paper="Sun et al., SpikeNAS-Bench: Benchmarking NAS Algorithms for Spiking Neural Network Architecture, IEEE TAI 2025",
)
class SpikeNasBench(Benchmark):
    """15,625 spiking cells on CIFAR-10: validation after each of 100 epochs, seconds, firing rates; files of your own.

    Only the cell is looked up. A genotype with another neuron than the table's (LIF, ``tau = 4/3``), other time steps than
    5 or an attention is refused; its channels and its number of cells are not looked at.

    Raises :class:`DataError` for files that are missing or damaged, :class:`SchemaError` for ones with other contents.
    """

    defaults: ClassVar = {
        "space": "spikenas",
        "strategy": "random-search",
        "model": {"neuron": NEURON, "time_steps": TIME_STEPS},
    }
    epochs = tuple(range(1, EPOCHS + 1))
    shape = Shape(1, 3, 32, 32)
    classes = 10

    def __init__(self, config: SpikeNasBenchConfig) -> None:
        sums = config.sha256 or ("", "")
        if len(sums) != 2:
            raise DataError(f"benchmark.sha256 of spikenas-bench needs two sums, of the summary and the curves, got {len(sums)}.")
        summary, curves = _file(config.path, SUMMARY), _file(config.path, CURVES)
        arrays = read_table(summary, SUMMARY_COLUMNS, sums[0])
        _check_order(arrays, str(summary))
        percent_EN = _percent(read_table(curves, CURVE_COLUMNS, sums[1])["val_acc_d"])
        valid_NE = shares(percent_EN.T, f"{curves}: val_acc_d")
        self._valid = np.maximum.accumulate(valid_NE, axis=1) if config.validation == "best" else valid_NE
        self._test: list[float] = shares(arrays["test_acc"], f"{summary}: test_acc").tolist()
        self._parameters: list[int] = arrays["params"].tolist()
        seconds_N = amounts(arrays["train_seconds"], f"{summary}: train_seconds")
        self._seconds_an_epoch: list[float] = (seconds_N / np.maximum(arrays["epochs"], 1)).tolist()
        self._rates = np.round(arrays["firing_rate"].astype(np.float64), 3)
        self._mean_rate: list[float] = amounts(self._rates[:, -1], f"{summary}: firing_rate").tolist()
        self._layers = _layer_names(arrays["firing_rate_edges"])

    def look_up(self, genotype: Genotype, epochs: int = EPOCHS) -> Mapping[str, float]:
        """``accuracy`` on validation data after so many epochs, a share; ``seconds``; ``parameters``; ``firing_rate``.

        ``seconds`` are those of the whole training in proportion. ``firing_rate`` is of the trained network, the mean over
        its neurons, in spikes a neuron and time step. Raises :class:`NotInSpace` for a genotype that is not in the
        table, :class:`DataError` for other ``epochs``.
        """
        number = self.index(genotype)
        if epochs not in range(1, EPOCHS + 1):
            raise DataError(f"The table spikenas-bench has figures after 1 to {EPOCHS} epochs, not after {epochs}.")
        return {
            "accuracy": self._valid.item(number, epochs - 1),
            "seconds": epochs * self._seconds_an_epoch[number],
            "parameters": self._parameters[number],
            "firing_rate": self._mean_rate[number],
        }

    def test(self, genotype: Genotype) -> float:
        """The test accuracy after the last logged epoch, a share; of one training."""
        return self._test[self.index(genotype)]

    @property
    def optimum(self) -> float:
        """The best test accuracy in the table, a share: what :meth:`test` falls short of is the regret."""
        return max(self._test)

    def index(self, genotype: Genotype) -> int:
        """The architecture id of a genotype, in ``range(15625)``."""
        if fault := difference(genotype.parts, TRAINED):
            raise NotInSpace(f"The genotype {genotype.digest} is not in the table spikenas-bench: {fault}.")
        return number_of(genotype)

    def firing_rates(self, genotype: Genotype) -> dict[str, float]:
        """Spikes a neuron and time step in each layer of the trained network that there is.

        Layers are called ``cell1 0-1`` for a cell's edge, ``behind cell1``, ``behind cell2`` and ``classifier``.
        """
        rates = self._rates[self.index(genotype)].tolist()
        return {layer: rate for layer, rate in zip(self._layers, rates, strict=False) if rate >= 0}


def _file(folder: str, stem: str) -> Path:
    """The file of this name. Raises :class:`DataError`, saying what to do, where there is none."""
    if not folder:
        raise DataError(
            "The tables of spikenas-bench are not bundled: set benchmark.path to the folder that "
            "examples/tables/from_spikenas_logs.py has made from https://github.com/tju-sun-lab/SpikeNAS-Bench."
        )
    places = [Path(folder).expanduser() / f"{stem}{end}" for end in (".npz.xz", ".npz")]
    return next((place for place in places if place.is_file()), places[0])


def _check_order(arrays: Arrays, source: str) -> None:
    """Raise :class:`SchemaError` unless a row is the architecture id."""
    weights_E = np.array([NUMBERS.weights[edge] for edge in EDGES])
    numbers_N = arrays["ops"].astype(np.int64) @ weights_E
    if arrays["ops"].max() >= len(OPERATIONS) or not np.array_equal(numbers_N, np.arange(SIZE)):
        raise SchemaError(f"{source}: ops do not list the {SIZE} cells in the order of their ids.")


def _percent(differences_EN: NDArray[np.integer]) -> NDArray[np.float64]:
    """The curves, in percent: differences are of 16 bits and wrap around."""
    return np.cumsum(differences_EN, axis=0, dtype=np.uint16) / STEPS


def _layer_names(edges: NDArray[np.str_]) -> list[str]:
    names = [edge.decode(errors="replace") if isinstance(edge, bytes) else edge for edge in edges.tolist()]
    return [*(f"cell{cell} {edge}" for cell in (1, 2) for edge in names), "behind cell1", "behind cell2", "classifier"]
