"""``nir``, read: nastk's own files and those of other libraries; damage is seen, and what is not read is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError, SchemaError, ShapeError
from nastk.core.run.exporter import Trained
from nastk.core.types import Shape

nir = pytest.importorskip("nir", reason="the extra nir is not installed")

from nastk.plugins.exporters.nir_file import import_nir  # noqa: E402
from nastk.plugins.exporters.nir_run import NirNetwork  # noqa: E402

Make = Callable[..., Trained]
LOW = {"name": "lif", "v_th": 0.2}


def exporter(**config: Any) -> Any:
    return ExporterPart.named("nir", **config).build()


def samples(sample: Shape, count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def written(make: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, bytes, Path]:
    here, path = make("toy", {"neuron": LOW, "cells": 2}, seed=4), tmp_path_factory.mktemp("damage") / "n.nir"
    exporter().write(here, path)
    return here, path.read_bytes(), path


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_damage_is_seen(written: tuple[Trained, bytes, Path], data: st.DataObject) -> None:
    """A flipped byte or a lost end: refused, or without effect."""
    here, whole, path = written
    content = bytearray(whole)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(SchemaError, OutputError):
        x = samples(here.sample, 2, 3, torch.float32)
        with torch.no_grad():
            assert torch.allclose(exporter().read(path)(x), here.network(x), atol=1e-5)


def changed(graph: Any, path: Path) -> Path:
    path.unlink(missing_ok=True)
    nir.write(path, graph)
    return path


def test_changed_numbers_and_edges_break_the_seal(written: tuple[Trained, bytes, Path], tmp_path: Path) -> None:
    _, whole, _ = written
    path = tmp_path / "n.nir"

    def fresh() -> Any:
        path.write_bytes(whole)
        return nir.read(path)

    graph = fresh()
    next(node for node in graph.nodes.values() if isinstance(node, nir.LIF)).v_threshold[0, 0, 0] += 1
    with pytest.raises(SchemaError, match="checksum"):
        exporter().read(changed(graph, path))
    graph = fresh()
    graph.metadata["dt"] = "0.1"
    with pytest.raises(SchemaError, match="checksum"):
        exporter().read(changed(graph, path))
    graph = fresh()
    del graph.metadata["sha256"]
    with pytest.raises(SchemaError, match="was not exported by nastk"):
        exporter().read(changed(graph, path))
    assert import_nir(path).time_steps == 3


def foreign(**nodes: Any) -> Any:
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def full(*values: float, shape: tuple[int, ...] = (3,)) -> list[np.ndarray]:
    return [np.full(shape, value, np.float32) for value in values]


def test_a_file_of_another_library(tmp_path: Path) -> None:
    """Affine, LI and pools, which the exporter does not write, with the time step given by hand."""
    weight = np.arange(24, dtype=np.float32).reshape(3, 8)
    graph = foreign(
        a=nir.Input(np.array([2, 4, 4])),
        b=nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        c=nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        d=nir.Affine(weight, np.ones(3, np.float32)),
        e=nir.LI(*full(5e-3, 2.0, 0.5)),
        f=nir.Output(np.array([3])),
    )
    nir.write(tmp_path / "n.nir", graph)
    with pytest.raises(SchemaError, match="give time_steps and dt"):
        import_nir(tmp_path / "n.nir")
    with pytest.raises(SchemaError, match="must be positive"):
        import_nir(tmp_path / "n.nir", 0, 1e-3)
    network = import_nir(tmp_path / "n.nir", time_steps=3, dt=1e-3)
    x = torch.randn(3, 5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    v, wanted = np.full((5, 3), 0.5), []
    for frame in x.numpy():
        current = frame.reshape(5, 2, 2, 2, 2, 2).sum((3, 5)).reshape(5, 8) @ weight.T + 1
        v = v + (0.5 - v + 2 * current) / 5
        wanted.append(v)
    assert np.allclose(network(x).numpy(), np.stack(wanted), atol=1e-3)
    with pytest.raises(ShapeError, match="T = 3"):
        network(x[:2])


def test_graphs_that_are_not_read(tmp_path: Path) -> None:
    one = {"a": nir.Input(np.array([3])), "b": nir.LI(*full(1e-3, 1.0, 0.0)), "c": nir.Output(np.array([3]))}
    graphs: Mapping[str, Any] = {
        "recurrent": nir.NIRGraph(one, [("a", "b"), ("b", "c"), ("b", "b")], type_check=False),
        "nodes that are not read here: Delay": foreign(a=one["a"], b=nir.Delay(np.ones(3, np.float32)), c=one["c"]),
    }
    for words, graph in graphs.items():
        with pytest.raises(SchemaError, match=words):
            import_nir(changed(graph, tmp_path / "n.nir"), 1, 1e-3)
    for words, nodes in (("a node that nothing arrives at: b", one), ("1 inputs and 0 outputs", {"a": one["a"]})):
        with pytest.raises(SchemaError, match=words):  # nir itself puts an input or output there
            NirNetwork(SimpleNamespace(nodes=nodes, edges=[("a", "c")] if "c" in nodes else []), 1, 1e-3, "it")
    nir.write(tmp_path / "node.nir", one["b"])
    with pytest.raises(SchemaError, match=r"single LI|no whole NIR file"):
        import_nir(tmp_path / "node.nir", 1, 1e-3)
    with pytest.raises(OutputError, match="no file"):
        import_nir(tmp_path / "none.nir")
