"""Latency of the networks of NAS-Bench-201, from a table that somebody measured."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen
from attrs.validators import matches_re

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError
from nastk.core.model.estimator import Estimator, Measurement
from nastk.core.types import Shape
from nastk.plugins.benchmarks.latencies import latencies
from nastk.plugins.benchmarks.nats_bench import NatsBench, NatsBenchConfig


@frozen(kw_only=True)
class LatencyTableConfig:
    """Settings of ``latency-table``."""

    path: str = field(
        default="", metadata={"help": "an .npz or .npz.xz file with one array dev_DEVICE of 15,625 numbers a device"}
    )
    device: str = field(default="titan_rtx_1", metadata={"help": "the device, with the batch where the table has several"})
    sha256: str = field(
        default="", validator=matches_re(r"|[0-9a-fA-F]{64}"), metadata={"help": "SHA-256 that the file must have; empty: any"}
    )


@mark.estimator(
    "latency-table",
    config=LatencyTableConfig,
    paper="Lee et al., HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning, NeurIPS 2021",
)
class LatencyTable(Estimator):
    """Measured latency of a cell of NAS-Bench-201 on a device, in ms, from a file.

    The table has the official networks on 32x32 images, one number for each official index: the sample shape, the
    classes, channels and cells that it is asked about are not looked at. Genotypes that ``nats-bench`` refuses (other spaces,
    other neurons than ReLU, T above 1) are refused. Values below a twentieth of the device's median count as missing.

    Raises :class:`DataError` for a file that is missing or damaged and for a missing value, :class:`SchemaError` for a file of
    other contents, :class:`UnknownName` for a device that is not in it, :class:`NotInSpace` for a stranger.
    """

    unit = "ms"

    def __init__(self, config: LatencyTableConfig) -> None:
        if not config.path:
            raise DataError("The estimator latency-table needs a file: set `path` to an .npz or .npz.xz table of latencies.")
        self.config = config
        self._table = latencies(Path(config.path).expanduser(), config.device, config.sha256)
        self._bench = NatsBench(NatsBenchConfig())

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        """The entry of the cell; ``sample`` and ``classes`` are not looked at."""
        del sample, classes
        index = self._bench.index(genotype)
        value = self._table[index]
        if value is None:
            raise DataError(f"{self.config.path} has no latency of cell {index} on {self.config.device}: it counts as missing.")
        return Measurement(value, self.unit)
