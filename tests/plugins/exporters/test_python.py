"""``python``: the source in the archive computes what the network computes, where there is no nastk."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
import zipimport
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError, SchemaError
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.types import Shape
from nastk.plugins.exporters.tracing import BATCH

Make = Callable[..., Trained]
LOW = {"name": "lif", "v_th": 0.2}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "toy": ("toy", {"neuron": LOW}, {}),
    "plif": ("toy", {"neuron": {"name": "plif", "v_th": 0.2, "v_reset": -0.25}}, {"seed": 1, "sample": Shape(3, 2, 8, 8)}),
    "soft": ("spiking-cells", {"neuron": {"name": "if", "v_th": 0.3, "reset": "soft"}}, {"seed": 2}),
    "late": ("toy", {"neuron": {**LOW, "reset": "soft", "reset_timing": "next", "compare": ">"}}, {"seed": 3}),
    "late and hard": ("toy", {"neuron": {**LOW, "tau": 3.0, "decay_input": False, "reset_timing": "next"}}, {"seed": 4}),
    "no reset": ("toy", {"neuron": {**LOW, "reset": "none"}}, {"seed": 5}),
    "relu": ("darts-cells", {"neuron": "relu", "time_steps": 1}, {"seed": 6}),
    "current-based": ("toy", {"neuron": {"name": "cuba-lif", "v_th": 0.3}}, {"seed": 7}),
    "attention": ("toy", {"neuron": LOW, "attention": "tcsa", "attention_location": "both"}, {"seed": 8}),
    "eca": ("toy", {"neuron": LOW, "attention": "eca", "attention_location": "end"}, {"seed": 9}),
    "201": ("nas-bench-201", {"neuron": LOW}, {"seed": 10}),
    "tebn": ("toy", {"neuron": LOW, "batch_norm": "tebn"}, {"seed": 11}),
    "bntt": ("toy", {"neuron": LOW, "batch_norm": "bntt"}, {"seed": 12}),
    "self-attention": ("spiking-cells", {"neuron": LOW}, {"operations": ("ssa", "conv_3x3"), "seed": 13}),
    "odd sizes": ("spiking-cells", {"neuron": LOW}, {"seed": 14, "sample": Shape(1, 3, 7, 9)}),
}


def exporter() -> Exporter:
    built: Exporter = ExporterPart.named("python").build()
    return built


def samples(sample: Shape, count: int, seed: int) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(seed))


def source_in(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("network.py").decode()


def imported(path: Path) -> ModuleType:
    """The module in an archive, imported as it is."""
    spec = zipimport.zipimporter(str(path)).find_spec("network")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["network"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES)
def test_the_source_computes_the_network(case: str, make: Make, tmp_path: Path) -> None:
    space, model, more = CASES[case]
    here, path = make(space, model, **more), tmp_path / "network.zip"
    exporter().write(here, path)
    source = source_in(path)
    assert "nastk." not in source.partition('"""\n')[2]
    assert "import nastk" not in source
    assert str(BATCH) not in source
    network = imported(path).load()
    assert not network.training
    for count in (1, 5):
        x = samples(here.sample, count, count)
        with torch.no_grad():
            wanted, found = here.network(x), network(x)
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert float(wanted.std()) > 1e-4


def test_it_runs_where_there_is_no_nastk(make: Make, tmp_path: Path) -> None:
    """Another process, isolated, in which an import of nastk (or safetensors) raises."""
    here, path = make("spiking-cells", {"neuron": LOW}), tmp_path / "network.zip"
    exporter().write(here, path)
    pixels = torch.randint(256, (1, 6, *here.sample[1:]), generator=torch.Generator().manual_seed(0))
    code = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.partition('.')[0] in ('nastk', 'safetensors'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import torch, network\n"
        "torch.set_num_threads(1)\n"
        f"pixels = torch.tensor({pixels.tolist()})\n"
        "print(network.load()(network.prepare(pixels)).flatten().tolist())\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    mean, std = (torch.tensor(values)[:, None, None] for values in (here.mean, here.std))
    with torch.no_grad():
        wanted = here.network((pixels / 255 - mean) / std)
    assert torch.allclose(torch.tensor([float(n) for n in done.stdout.strip()[1:-1].split(",")]), wanted.flatten(), atol=1e-6)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(["toy", "spiking-cells", "nas-bench-201", "darts-cells"]))
def test_any_member(make: Make, tmp_path_factory: pytest.TempPathFactory, seed: int, space: str) -> None:
    here, path = make(space, {"neuron": LOW, "cells": 2, "time_steps": 2}, seed=seed), tmp_path_factory.mktemp("any") / "n.zip"
    exporter().write(here, path)
    x = samples(here.sample, 3, seed)
    with torch.no_grad():
        assert torch.allclose(imported(path).load()(x), here.network(x), rtol=1e-5, atol=1e-6)


def test_what_is_computed_without_the_input_may_be_too_much(make: Make, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"384 numbers that encoder.coding computes without its input"):
        exporter().write(make("toy", {"neuron": LOW, "encoder": "poisson"}), tmp_path / "n.zip")
    assert list(tmp_path.iterdir()) == []


def test_archives_that_are_none(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "n.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("network.py", "import os; os.abort()")
    with pytest.raises(SchemaError, match=r"there is no network.safetensors in it"):
        exporter().read(path)
    path.unlink()
    exporter().write(make("toy", {"neuron": LOW}), path)
    content = bytearray(path.read_bytes())
    content[content.index(b"class Network")] ^= 1  # the program, which reading does not run
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"network.py in it does not give its checksum"):
        exporter().read(path)
    with pytest.raises(OutputError, match="exists already"):
        exporter().write(make("toy", {"neuron": LOW}), path)
