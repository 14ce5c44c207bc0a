"""``onnx``: onnxruntime computes what the network computes, and a changed byte is seen."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError, SchemaError
from nastk.core.run.exporter import Trained
from nastk.core.types import Shape

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
for package in ("onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="the extra onnx is not installed")

Make = Callable[..., Trained]
Written = Callable[[str], tuple[Trained, bytes]]
LOW = {"name": "lif", "v_th": 0.2}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "still": ("toy", {"neuron": LOW, "cells": 1, "time_steps": 2}, {}),
    "recordings": ("toy", {"neuron": {"name": "plif", "v_th": 0.2}, "cells": 2}, {"seed": 1, "sample": Shape(3, 2, 8, 8)}),
    "attention": ("toy", {"neuron": LOW, "attention": "cbam", "cells": 1, "time_steps": 2}, {}),
    "relu": ("darts-cells", {"neuron": "relu", "cells": 3, "time_steps": 1}, {"seed": 2}),
}
SLOW = {"recordings", "attention", "relu"}
"""Torch takes many seconds for one."""


def exporter() -> Any:
    return ExporterPart.named("onnx").build()


def samples(sample: Shape, count: int) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def written(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """``written(case)``: the network and its file, made once."""

    @functools.cache
    def made(case: str) -> tuple[Trained, bytes]:
        space, model, more = CASES[case]
        here, path = make(space, model, **more), tmp_path_factory.mktemp("onnx") / "n.onnx"
        exporter().write(here, path)
        assert [file.name for file in path.parent.iterdir()] == ["n.onnx"]
        return here, path.read_bytes()

    return made


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow if c in SLOW else ()) for c in CASES])
def test_onnxruntime_computes_the_network(case: str, written: Written, tmp_path: Path) -> None:
    here, content = written(case)
    (tmp_path / "n.onnx").write_bytes(content)
    function = exporter().read(tmp_path / "n.onnx")
    for count in (1, 2, 7):
        x = samples(here.sample, count)
        with torch.no_grad():
            wanted = here.network(x)
        assert torch.allclose(function(x), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert float(wanted.std()) > 1e-4
    model = onnx.load(tmp_path / "n.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}, "operators of the standard alone"
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["genotype"])["digest"] == here.network.genotype.digest
    assert json.loads(said["mean"]) == [0.1, 0.1]
    assert str(Path(__file__).parents[3]).encode() not in content


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_seen(written: Written, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(written("still")[1])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "n.onnx").write_bytes(content)
    with pytest.raises(SchemaError):
        exporter().read(tmp_path / "n.onnx")


def test_files_of_others(written: Written, tmp_path: Path) -> None:
    here, content = written("still")
    path = tmp_path / "n.onnx"
    with pytest.raises(OutputError, match="no file"):
        exporter().read(path)
    path.write_bytes(content[:-76])
    with pytest.raises(SchemaError, match="does not end in a checksum"):
        exporter().read(path)
    with pytest.raises(OutputError, match="exists already"):
        exporter().write(here, path)
