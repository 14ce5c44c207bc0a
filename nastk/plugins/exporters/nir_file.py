"""A trained network as a graph of the Neuromorphic Intermediate Representation, written and read by ``nir`` alone."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core import mark
from nastk.core.errors import NastkError, OutputError, SchemaError
from nastk.core.extras import needed
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.store import RunDirectory
from nastk.plugins.exporters.card import SHA256, Card, checksum
from nastk.plugins.exporters.new_file import FLIPPED, check_new
from nastk.plugins.exporters.nir_lowering import lowered
from nastk.plugins.exporters.nir_run import NUMBERS, NirNetwork
from nastk.plugins.exporters.nir_wiring import Planned

DISCRETISATION = (
    "forward Euler, one step of dt for each time step: v += (dt / tau) (v_leak - v + r x) for LIF, v += dt r x for IF, "
    "from v = v_reset; a spike where v > v_threshold, in the same step; then v = v_reset there"
)
INPUT = "time_steps frames; a static image is shown at every step; logits (K, 1, 1) at every step, their mean decides"


@frozen(kw_only=True)
class NirConfig:
    """Settings of ``nir``."""

    dt: float = field(
        default=1e-4, validator=gt(0), metadata={"help": "seconds that a time step stands for; readers must use the same"}
    )


@mark.exporter(
    "nir",
    config=NirConfig,
    paper="Pedersen et al., Neuromorphic Intermediate Representation: A Unified Instruction Set for Interoperable Brain-Inspired "
    "Computing, Nature Communications 2024",
)
class NirFile(Exporter):
    """A NIR graph for other libraries and neuromorphic hardware: convolutions with folded norms, LIF and IF neurons."""

    suffix = ".nir"
    tolerance = FLIPPED

    def __init__(self, config: NirConfig) -> None:
        self.dt = config.dt
        self.nir = needed("nir", "nir", "The exporter 'nir'")

    def write(self, trained: Trained, path: Path) -> None:
        """Write the graph of one time step, and what a time step is as metadata.

        Raises :class:`OutputError` for layers without a form in NIR, named with their places (attention, ReLU, soft reset,
        maxima of values that are no spikes), and when the file is there or cannot be written.
        """
        check_new(path)
        nodes = lowered(trained.network, trained.sample, self.dt)
        try:
            metadata = Card.of(trained).text()
        except NastkError as error:
            raise OutputError(f"The network cannot be exported: {error}") from error
        del metadata["format"]
        metadata |= {"time_steps": str(int(trained.network.genotype.part("time_steps"))), "dt": repr(self.dt)}
        metadata |= {"discretisation": DISCRETISATION, "input": INPUT}
        graph = self.graph(nodes, metadata)
        graph.metadata[SHA256] = sealed(graph)
        file = io.BytesIO()
        self.nir.write(file, graph)
        RunDirectory(path.parent).write(path.name, file.getvalue())

    def graph(self, nodes: Mapping[str, Planned], metadata: Mapping[str, str]) -> Any:
        """The ``nir.NIRGraph`` of these nodes; floats are stored as float32."""
        made = {}
        for name, node in nodes.items():
            fields = {key: value.astype(np.float32) if _floats(value) else value for key, value in node.fields.items()}
            made[name] = getattr(self.nir, node.kind)(**fields)
        edges = [(source, name) for name, node in nodes.items() for source in node.sources]
        return self.nir.NIRGraph(made, edges, metadata=dict(metadata))

    def read(self, path: Path) -> NirNetwork:
        """The network of a file that nastk wrote: its graph run by nastk's own interpreter of NIR."""
        graph = self._graph_in(path)
        if SHA256 not in graph.metadata or "time_steps" not in graph.metadata:
            raise SchemaError(f"{path} was not exported by nastk: read it by import_nir, which takes time_steps and dt.")
        if graph.metadata[SHA256] != sealed(graph):
            raise SchemaError(f"{path} is damaged: its content does not give the checksum that stands in it.")
        return self._network(graph, path, None, None)

    def imported(self, path: Path, time_steps: int | None, dt: float | None) -> NirNetwork:
        """See :func:`import_nir`."""
        return self._network(self._graph_in(path), path, time_steps, dt)

    def _graph_in(self, path: Path) -> Any:
        if not path.is_file():
            raise OutputError(f"There is no file {path}.")
        try:
            graph = self.nir.read(path)
        except Exception as error:  # of h5py or nir, which raise many kinds for files that are none
            raise SchemaError(f"{path} is no whole NIR file: {type(error).__name__}: {' '.join(str(error).split())}.") from error
        if type(graph).__name__ != "NIRGraph":
            raise SchemaError(f"{path} holds no NIR graph but a single {type(graph).__name__}.")
        return graph

    def _network(self, graph: Any, path: Path, time_steps: int | None, dt: float | None) -> NirNetwork:
        try:
            steps = int(graph.metadata["time_steps"] if time_steps is None else time_steps)
            seconds = float(graph.metadata["dt"] if dt is None else dt)
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaError(
                f"{path} does not say how many time steps there are and what one is: give time_steps and dt."
            ) from error
        if steps < 1 or not seconds > 0:
            raise SchemaError(f"{path} has {steps} time steps of {seconds} seconds: both must be positive.")
        try:
            return NirNetwork(graph, steps, seconds, str(path)).eval()
        except NastkError:
            raise
        except Exception as error:  # the fields of a stranger's nodes may be anything
            raise SchemaError(f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}.") from error


def import_nir(path: str | Path, time_steps: int | None = None, dt: float | None = None) -> NirNetwork:
    """A NIR file, of nastk or another library, as a torch module: samples ``(T, B, C, H, W)`` to logits ``(T, B, K)``.

    ``time_steps`` and ``dt`` (seconds) are those of the file unless given; another library's file has none. Reads Conv2d,
    Affine, Linear, Scale, Threshold, Flatten, SumPool2d, AvgPool2d, IF, LIF, LI and CubaLIF without recurrence. Raises
    :class:`SchemaError` for other files, :class:`~nastk.core.errors.BrokenPlugin` without the extra ``nir``.
    """
    return NirFile(NirConfig()).imported(Path(path), time_steps, dt)


def sealed(graph: Any) -> str:
    """SHA-256 over metadata, edges, and the arrays and forms of all nodes."""
    texts = {name: str(value) for name, value in graph.metadata.items()}
    texts["edges"] = json.dumps(sorted([str(a), str(b)] for a, b in graph.edges))
    tensors: dict[str, Tensor] = {}
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        texts[f"node {name}"] = kind
        form = ("stride", "padding", "dilation", "groups") if kind == "Conv2d" else ()
        for key in (*NUMBERS.get(kind, ()), *form):
            value = np.ascontiguousarray(getattr(node, key))
            tensors[f"{name} {key}"] = torch.from_numpy(value if _floats(value) else value.astype(np.int64))
        for side in ("input_type", "output_type"):
            shapes = getattr(node, side) or {}
            texts[f"{side} {name}"] = json.dumps([np.asarray(shape).tolist() for shape in shapes.values()])
    return checksum(texts, tensors)


def _floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
