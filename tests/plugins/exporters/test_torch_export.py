"""``torch-export``: the program in the file is torch's own operations and computes what the network computes."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError, SchemaError
from nastk.core.model.convolution import Conv2d
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.types import Shape

Make = Callable[..., Trained]
LOW = {"name": "lif", "v_th": 0.2}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "attention": ("toy", {"neuron": LOW, "attention": "cbam", "cells": 1, "time_steps": 1}, {}),
    "wide": (
        "spiking-cells",
        {"neuron": {"name": "plif", "v_th": 0.2}, "channels": 16, "cells": 1},
        {"seed": 1, "sample": Shape(3, 2, 16, 16)},
    ),
}
"""The second has convolutions wide enough for nastk's compiled kernels."""


def exporter() -> Exporter:
    built: Exporter = ExporterPart.named("torch-export").build()
    return built


def samples(sample: Shape, count: int) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("case", CASES)
def test_torch_loads_the_program(case: str, make: Make, tmp_path: Path) -> None:
    space, model, more = CASES[case]
    here, path = make(space, model, **more), tmp_path / "n.pt2"
    exporter().write(here, path)
    program = torch.export.load(path)
    kinds = {str(node.target).partition(".")[0] for node in program.graph.nodes if node.op == "call_function"}
    assert kinds <= {"aten", "<built-in function getitem>"}, kinds
    back: Any = exporter().read(path)
    assert isinstance(back, Network)
    function, plain = program.module(), copy.deepcopy(here.network)
    for module in plain.modules():
        if type(module) is Conv2d:  # computed by torch, and not by nastk's kernels with other roundings
            module.__class__ = nn.Conv2d
    for count in (1, 2, 5):
        x = samples(here.sample, count)
        with torch.no_grad():
            wanted, found = here.network(x), function(x)
            assert torch.equal(back(x), wanted)
            assert torch.allclose(found, plain(x), rtol=1e-5, atol=1e-6)
            assert float((found - wanted).abs().mean() / wanted.abs().mean()) < 1e-2  # rounding may flip a spike
    assert float(wanted.std()) > 1e-4
    for name, content in contents(path).items():
        assert str(Path(__file__).parents[3]).encode() not in content, f"{name} says where the code lies"


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_reading_runs_nothing_of_the_file(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n.pt2"
    here = make("toy", {"neuron": LOW, "cells": 1, "time_steps": 1})
    exporter().write(here, path)
    members = contents(path)
    for function in ("load", "jit.load", "export.load"):
        owner: Any = torch
        *way, last = function.split(".")
        for step in way:
            owner = getattr(owner, step)
        monkeypatch.setattr(owner, last, lambda *_a, **_k: pytest.fail("torch was asked to load it"))
    exporter().read(path)
    (weights,) = [name for name in members if name.endswith("network.safetensors")]
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        for name, content in members.items():
            if name != weights:
                archive.writestr(name, content)
    with pytest.raises(SchemaError, match=r"m.pt2 is no archive of the exporter 'torch-export'"):
        exporter().read(tmp_path / "m.pt2")
    with pytest.raises(OutputError, match="exists already"):
        exporter().write(here, path)


def test_what_torch_cannot_record_is_said_in_a_sentence(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make("toy", {"neuron": LOW, "cells": 1, "time_steps": 1})
    monkeypatch.setattr(Network, "logits", lambda *_: bool(torch.zeros(1, device="meta")))
    with pytest.raises(OutputError, match=r"cannot be recorded by torch.export: \w+") as caught:
        exporter().write(here, tmp_path / "n.pt2")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
