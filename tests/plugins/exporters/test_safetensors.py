"""``safetensors``: what is read is what was written, and whatever else lies in a file is refused in one sentence."""

from __future__ import annotations

import functools
import json
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nastk
from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError, SchemaError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.types import Shape
from nastk.plugins.exporters.card import checksum
from nastk.testing import build_space

torch.set_num_threads(1)
SAMPLE = Shape(1, 2, 8, 8)
PLIF = {"name": "plif", "v_th": 0.1}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "toy": ({"name": "toy"}, {"neuron": PLIF, "attention": "cbam"}),
    "toy-relu": ({"name": "toy"}, {"neuron": "relu", "attention": "eca", "attention_location": "both"}),
    "spiking": ({"name": "spiking-cells"}, {"neuron": {**PLIF, "surrogate": "dhs"}, "attention": "tcsa"}),
    "spiking-path": ({"name": "spiking-cells", "layer_level": "searched"}, {"neuron": {"name": "if", "v_th": 0.1}}),
    "spiking-per-cell": ({"name": "spiking-cells", "sharing": "per_cell"}, {"neuron": {"name": "lif", "v_th": 0.1}}),
    "darts": ({"name": "darts-cells"}, {"neuron": "relu", "attention": "cbam", "time_steps": 1}),
    "darts-spiking": ({"name": "darts-cells"}, {"neuron": PLIF, "attention": "temporal"}),
}


def exporter(precision: str = "float32") -> Exporter:
    built: Exporter = ExporterPart.named("safetensors", precision=precision).build()
    return built


@functools.cache
def trained(case: str) -> Trained:
    """A network with an auxiliary head, whose answer depends on the image; never changed."""
    space, model = CASES[case]
    members = build_space(**space, model={"channels": 4, "cells": 3, **model})
    for draw in range(20):  # some members are silent
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            network = Network(members.sample(random.Random(draw)), SAMPLE, 4, auxiliary=True)
            for norm in network.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.momentum = None  # running statistics are plain means, so that a few batches are enough
            for seed in range(3):
                network(images(seed))
            if float(network.eval()(images(9)).std(dim=1).min()) > 1e-3:
                return Trained(network, SAMPLE, 4, (0.1, 1 / 3), (0.25, 0.7))
    raise AssertionError(f"{case}: no member that sees its images")


def images(seed: int) -> Tensor:
    return 2 * torch.randn(1, 16, *SAMPLE[1:], generator=torch.Generator().manual_seed(seed))


@functools.cache
def written(case: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.safetensors"
        exporter().write(trained(case), path)
        return path.read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file name that the examples of a property share."""
    return tmp_path_factory.mktemp("files") / "n.safetensors"


@pytest.mark.parametrize("case", CASES)
def test_the_round_trip_is_exact(case: str, tmp_path: Path) -> None:
    here, path = trained(case), tmp_path / "n.safetensors"
    before = {name: value.clone() for name, value in here.network.state_dict().items()}
    state = torch.get_rng_state()
    exporter().write(here, path)
    back: Any = exporter().read(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in here.network.state_dict().items())
    assert not back.training
    assert back.genotype == here.network.genotype
    assert set(before) - set(back.state_dict()) == {name for name in before if name.startswith("body.auxiliary.")} != set()
    for name, value in back.state_dict().items():
        assert value.dtype == before[name].dtype, name
        assert torch.equal(value, before[name]), name
    with torch.no_grad():
        logits = here.network(images(9))
    assert torch.equal(back(images(9)), logits)
    assert not back(images(9)).requires_grad


def test_what_stands_beside_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    exporter().write(trained("spiking"), path)
    found = exporter().trained(path)  # type: ignore[attr-defined]
    assert (found.sample, found.classes, found.mean, found.std) == (SAMPLE, 4, (0.1, 1 / 3), (0.25, 0.7))
    with safetensors.safe_open(path, framework="pt") as file:  # as any other program reads it
        metadata = file.metadata()
    assert metadata["nastk"] == nastk.__version__
    assert metadata["schema"] == "1"
    assert json.loads(metadata["genotype"])["digest"] == trained("spiking").network.genotype.digest
    assert [json.loads(metadata[name]) for name in ("sample", "classes", "mean")] == [[1, 2, 8, 8], 4, [0.1, 1 / 3]]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_sixteen_bits(case: str, precision: str, tmp_path: Path) -> None:
    """Floats are rounded to the nearest, whole numbers kept; logits lie within the stated tolerance."""
    here, path = trained(case), tmp_path / "n.safetensors"
    exporter(precision).write(here, path)
    stored = safetensors.torch.load_file(path)
    state = here.network.state_dict()
    for name, value in stored.items():
        wanted = state[name].to(getattr(torch, precision)) if state[name].is_floating_point() else state[name]
        assert value.dtype == wanted.dtype
        assert torch.equal(value, wanted), name
    assert sum(v.numel() * v.element_size() for v in stored.values()) < 0.6 * len(written(case))
    back: Any = exporter(precision).read(path)
    assert {v.dtype for v in back.state_dict().values()} == {torch.float32, torch.int64}
    with torch.no_grad():
        logits = here.network(images(9))
    difference = float((back(images(9)) - logits).abs().mean() / logits.abs().mean())
    assert 0 < difference <= exporter(precision).tolerance
    if "relu" in str(CASES[case][1]["neuron"]):
        assert difference < {"float16": 0.02, "bfloat16": 0.1}[precision]


# Refusals of the writer


@pytest.fixture
def lone() -> Iterator[Trained]:
    """A network that a test may change."""
    here = trained("toy")
    kept = {name: value.clone() for name, value in here.network.state_dict().items()}
    yield here
    here.network.load_state_dict(kept)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    path.write_text("years of work")
    with pytest.raises(OutputError, match="exists already"):
        exporter().write(trained("toy"), path)
    assert path.read_text() == "years of work"
    with pytest.raises(OutputError, match="exists already"):
        exporter().write(trained("toy"), tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        exporter().write(trained("toy"), path / "below.safetensors")
    with pytest.raises(OutputError, match="cannot be written"):
        exporter().write(trained("toy"), tmp_path / ("x" * 300))
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        exporter().write(trained("toy"), tmp_path / "n.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_beyond_the_range_of_half_precision(lone: Trained, tmp_path: Path) -> None:
    with torch.no_grad():
        lone.network.body.classifier.weight[0, 0] = 1e5  # type: ignore[union-attr,operator,index]
    with pytest.raises(OutputError, match=r"classifier.weight holds 100000, beyond the range of float16"):
        exporter("float16").write(lone, tmp_path / "n.safetensors")
    assert list(tmp_path.iterdir()) == []
    exporter("bfloat16").write(lone, tmp_path / "n.safetensors")


def test_networks_that_cannot_be_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    space = build_space("toy", {"channels": 2, "cells": 2})
    plain = Network(space.sample(random.Random(0)), SAMPLE, 4, affine=False)
    for network, classes, std, words in (
        (plain, 4, (1.0, 1.0), "is missing, and"),
        (Network(space.full(), SAMPLE, 4), 4, (1.0, 1.0), "supernet"),
        (trained("toy").network, 5, (1.0, 1.0), r"body.classifier.bias is \(4,\), not \(5,\), and 1 more"),
        (trained("toy").network, 4, (1.0,), "2 channels, but 2 means and 1 deviations"),
        (trained("toy").network, 4, (1.0, 0.0), "std"),
    ):
        with pytest.raises(OutputError, match=words):
            exporter().write(Trained(network, SAMPLE, classes, (0.0, 0.0), std), path)
    assert list(tmp_path.iterdir()) == []


# Files that are none


def remade(place: Path, change: Any, sealed: bool = True) -> Path:
    """The toy's file with metadata and tensors changed, its checksum made anew (the work of a stranger, not of a bad disk)."""
    place.write_bytes(written("toy"))
    with safetensors.safe_open(place, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = safetensors.torch.load(written("toy"))
    change(metadata, tensors)
    if sealed:
        metadata["sha256"] = checksum(metadata, tensors)
    place.write_bytes(safetensors.torch.save(tensors, metadata))
    return place


def read(path: Path) -> Network:
    """The network of a file; a fault must be one sentence that names the file."""
    fault = ""
    try:
        found: Any = exporter().read(path)
        return found  # type: ignore[no-any-return]
    except (SchemaError, OutputError) as error:
        fault = str(error)
        raise
    finally:
        assert not fault or str(path) in fault
        assert fault.count("\n") == fault.count("\n  - ")


def same(network: Network) -> bool:
    state = trained("toy").network.state_dict()
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def genotype_of(metadata: dict[str, str], **parts: Any) -> None:
    """Change parts of the genotype; ``None`` takes one away."""
    document = json.loads(metadata["genotype"])
    document.pop("digest")
    document["parts"] |= parts
    document["parts"] = {name: value for name, value in document["parts"].items() if value is not None}
    metadata["genotype"] = json.dumps(document)


FAULTS: dict[str, tuple[Any, str]] = {
    "no metadata": (lambda m, _: m.clear(), "was not exported by nastk"),
    "of another program": (lambda m, _: m.pop("nastk"), "was not exported by nastk"),
    "schema": (lambda m, _: m.update(schema="2"), "network schema '2', this nastk reads 1"),
    "no sample": (lambda m, _: m.pop("sample"), "sample: is required"),
    "classes": (lambda m, _: m.update(classes="many"), "not JSON"),
    "means": (lambda m, _: m.update(mean="[0.0]"), "2 channels, but 1 means"),
    "deviation": (lambda m, _: m.update(std="[1.0, Infinity]"), "std"),
    "genotype": (lambda m, _: m.update(genotype="{"), "is no genotype"),
    "digest": (lambda m, _: m.update(genotype=m["genotype"].replace("cbam", "eca")), "digest"),
    "neuron": (lambda m, _: genotype_of(m, neuron="pliff"), "No neuron named 'pliff'.*Did you mean 'plif'"),
    "no neuron": (lambda m, _: genotype_of(m, neuron=None), "neuron"),
    "channels": (lambda m, _: genotype_of(m, channels="wide"), "cannot be built: ValueError"),
    "huge": (lambda m, _: genotype_of(m, channels=10**6), "does not hold the network of its genotype"),
    "path": (lambda m, _: genotype_of(m, layers="***"), "supernet"),
    "missing": (lambda _, t: t.pop("body.classifier.bias"), "body.classifier.bias is missing"),
    "extra": (lambda _, t: t.update(z=torch.ones(2)), "z is not part of it"),
    "shape": (lambda _, t: t.update({"body.classifier.bias": torch.ones(5)}), r"bias is \(5,\), not \(4,\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named(fault: str, place: Path) -> None:
    change, words = FAULTS[fault]
    with pytest.raises(SchemaError, match=words):
        read(remade(place, change, sealed=fault != "no metadata"))


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(OutputError, match="no file"):
            read(path)
    for content in (b"", b"PK\x03\x04", b"\xff" * 100):
        (tmp_path / "n.safetensors").write_bytes(content)
        with pytest.raises(SchemaError, match="no whole safetensors file"):
            read(tmp_path / "n.safetensors")


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_damage_is_seen(place: Path, data: st.DataObject) -> None:
    """Bytes lost or changed anywhere: refused, or (a blank in the header) without effect."""
    content = bytearray(written("toy"))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        header = 8 + int.from_bytes(content[:8], "little")
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, header) | st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    place.write_bytes(content)
    try:
        found = read(place)
    except (SchemaError, OutputError):
        return
    assert same(found)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_one_flipped_bit_of_a_weight_is_seen(place: Path, data: st.DataObject) -> None:
    content = bytearray(written("toy"))
    header = 8 + int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(header, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    place.write_bytes(content)
    with pytest.raises(SchemaError, match="checksum"):
        read(place)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4)
)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["schema", "nastk", "genotype", "sample", "classes", "mean", "std"]), JSON.map(json.dumps) | st.text())
def test_changed_metadata(place: Path, key: str, text: str) -> None:
    with suppress(SchemaError):
        read(remade(place, lambda metadata, _: metadata.update({key: text})))
    with pytest.raises(SchemaError):  # and with the checksum that was there
        read(remade(place, lambda metadata, _: metadata.update({key: text + " "}), sealed=False))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([name for name, _ in trained("toy").network.genotype.parts]),
    st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["relu", "*", "00112", -1, 0, 10**12, 2.0**63]),
)
def test_strange_genotypes(place: Path, part: str, value: Any) -> None:
    """Whatever an architecture asks for, reading it ends in a network or in one sentence, and needs no memory."""
    with suppress(SchemaError):
        read(remade(place, lambda metadata, _: genotype_of(metadata, **{part: value})))
