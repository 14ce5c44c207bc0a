"""``nir``: the graph in the file, run by a few lines of numpy, spikes where the network spikes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from nastk.core.config import ExporterPart
from nastk.core.errors import OutputError
from nastk.core.model.neuron import Neuron
from nastk.core.run.exporter import Trained
from nastk.core.types import Shape

nir = pytest.importorskip("nir", reason="the extra nir is not installed")

from nastk.plugins.exporters.nir_file import import_nir  # noqa: E402
from nastk.plugins.exporters.nir_lowering import lowered  # noqa: E402
from nastk.plugins.exporters.nir_run import NirNetwork  # noqa: E402

Make = Callable[..., Trained]
LOW = {"name": "lif", "v_th": 0.2}
RECORDED = Shape(3, 2, 8, 8)
POOLS = ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "dil_conv_5x5")
BLOCKS = ("none", "srb_3x3", "sep_conv_3x3", "mbconv_3_3x3", "snn_b3", "vth05_conv_3x3")
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "toy": ("toy", {"neuron": LOW}, {}),
    "plif": ("toy", {"neuron": {"name": "plif", "v_th": 0.2}}, {"seed": 1, "sample": RECORDED}),
    "spiking cells": ("spiking-cells", {"neuron": {"name": "lif", "v_th": 0.1, "tau": 4.0, "decay_input": False}}, {"seed": 2}),
    "searched path": ("spiking-cells", {"neuron": {"name": "if", "v_th": 0.3}}, {"layer_level": "searched", "seed": 3}),
    "above the threshold": ("toy", {"neuron": {**LOW, "compare": ">", "reset_timing": "next"}}, {"seed": 4}),
    "exponential": ("toy", {"neuron": {**LOW, "leak": "exponential", "v_reset": -0.25}}, {"seed": 5}),
    "201": ("nas-bench-201", {"neuron": LOW, "cells": 3}, {"seed": 6}),
    "odd sizes": ("spiking-cells", {"neuron": LOW}, {"seed": 7, "sample": Shape(1, 3, 7, 9)}),
    "spike pools": ("spiking-cells", {"neuron": LOW}, {"operations": POOLS, "seed": 8}),
    "blocks": ("spiking-cells", {"neuron": LOW}, {"operations": BLOCKS, "membrane": "op", "norm": "operation", "seed": 12}),
    "one channel": ("spiking-cells", {"neuron": LOW, "channels": 1}, {"seed": 9}),
    "current-based": ("toy", {"neuron": {"name": "cuba-lif", "v_th": 0.5}}, {"seed": 10}),
    "tdbn": ("toy", {"neuron": LOW, "batch_norm": "tdbn"}, {"seed": 11}),
}


def exporter(**config: Any) -> Any:
    return ExporterPart.named("nir", **config).build()


def samples(sample: Shape, count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    T, *picture = sample
    return 2 * torch.randn(T, count, *picture, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# An interpreter that shares nothing with the exporter


def picture(node: Any, x: np.ndarray) -> np.ndarray:
    """A convolution of ``(N, C, H, W)`` by windows and one product."""
    (top, left), (down, across), (apart, beside) = (
        tuple(int(n) for n in pair) for pair in (node.padding, node.stride, node.dilation)
    )
    assert int(node.groups) == 1
    weight = node.weight.astype(np.float64)
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    tall, wide = apart * (weight.shape[2] - 1) + 1, beside * (weight.shape[3] - 1) + 1
    windows = sliding_window_view(x, (tall, wide), axis=(2, 3))[:, :, ::down, ::across, ::apart, ::beside]
    return np.einsum("nchwij,kcij->nkhw", windows, weight) + node.bias.astype(np.float64)[:, None, None]


def interpreted(graph: Any, x: np.ndarray, steps: int, dt: float) -> dict[str, np.ndarray]:
    """What every node gives at every step, ``(T, B, ...)``, one time step after the other."""
    state: dict[str, Any] = {}
    found: dict[str, list[np.ndarray]] = {name: [] for name in graph.nodes}
    feeds = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
    for t in range(steps):
        for name in sorted(graph.nodes):  # the names are in the order in which nodes run
            node, kind = graph.nodes[name], type(graph.nodes[name]).__name__
            now = x[min(t, len(x) - 1)] if kind == "Input" else sum(found[source][t] for source in feeds[name])
            if kind == "Conv2d":
                now = picture(node, now)
            elif kind == "Scale":
                now = now * node.scale
            elif kind == "Threshold":
                now = (now > node.threshold).astype(np.float64)
            elif kind in ("LIF", "IF", "CubaLIF"):
                v, current = state.get(name, (np.broadcast_to(node.v_reset, now.shape), 0.0))
                step = np.float32(dt)
                if kind == "IF":
                    v = v + dt * node.r.astype(np.float64) * now
                elif kind == "LIF":
                    v = v + (node.v_leak - v + node.r * now) / (node.tau / step).astype(np.float64)
                else:
                    current = current + (node.w_in * now - current) / (node.tau_syn / step).astype(np.float64)
                    v = v + (node.v_leak - v + node.r * current) / (node.tau_mem / step).astype(np.float64)
                now = (v > node.v_threshold).astype(np.float64)
                state[name] = (np.where(now > 0, node.v_reset, v), current)
            else:
                assert kind in ("Input", "Output"), kind
            found[name].append(now)
    return {name: np.stack(values) for name, values in found.items()}


def fired(network: nn.Module, x: Tensor) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The spikes of every neuron by its place, and the logits."""
    seen: dict[str, np.ndarray] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _x, out, name=name: seen.update({name: out[0].numpy()}))
        for name, module in network.named_modules()
        if isinstance(module, Neuron)
    ]
    with torch.no_grad():
        logits = network(x).numpy()
    for hook in hooks:
        hook.remove()
    return seen, logits


def compared(here: Trained, path: Path, x: Tensor) -> int:
    """Assert that the file's graph gives the network's spikes, all of them, and its logits; how many spikes there were."""
    graph = nir.read(path)
    spikes, logits = fired(here.network.double(), x)
    values = interpreted(graph, x.numpy(), int(graph.metadata["time_steps"]), float(graph.metadata["dt"]))
    here.network.float()
    total = 0
    for name, wanted in spikes.items():
        own = [n for n in sorted(values) if n[6:] == name.replace(".", "_") and type(graph.nodes[n]).__name__.endswith("IF")]
        if own:  # a neuron that nothing reads is not in the graph
            found = np.concatenate([values[n] for n in own], axis=2)
            if found.shape == wanted.shape:  # of parts that are zero there is no node
                assert np.array_equal(found, wanted), name
            total += int(wanted.sum())
    (last,) = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    assert np.allclose(values[last][..., 0, 0], logits, rtol=0, atol=1e-5 * np.abs(logits).max())
    return total


@pytest.mark.parametrize("case", CASES)
def test_spikes_are_the_same(case: str, make: Make, tmp_path: Path) -> None:
    space, model, more = CASES[case]
    here = make(space, model, **more)
    exporter().write(here, tmp_path / "n.nir")
    assert compared(here, tmp_path / "n.nir", samples(here.sample, 5, 1)) > 100
    x = samples(here.sample, 6, 2, torch.float32)
    with torch.no_grad():
        wanted = here.network(x)
    found = exporter().read(tmp_path / "n.nir")(x)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().mean() / wanted.abs().mean()) < 1e-5


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(["toy", "spiking-cells"]))
def test_any_member(make: Make, tmp_path_factory: pytest.TempPathFactory, seed: int, space: str) -> None:
    here = make(space, {"neuron": LOW, "cells": 2}, seed=seed)
    path = tmp_path_factory.mktemp("any") / "n.nir"
    exporter().write(here, path)
    compared(here, path, samples(here.sample, 2, seed))


def test_a_membrane_that_meets_the_threshold_fires(make: Make, tmp_path: Path) -> None:
    """Two spikes in four steps, 1/2 each on the membrane, meet 0.5 exactly: ``>=`` and ``>`` must not be confused."""
    here = make("toy", {"neuron": {"name": "lif", "v_th": 0.5, "tau": 2.0}, "time_steps": 4}, seed=12)
    exporter().write(here, tmp_path / "n.nir")
    for node in nir.read(tmp_path / "n.nir").nodes.values():
        if isinstance(node, nir.LIF):
            assert node.v_threshold.dtype == np.float32
            assert (node.v_threshold < 0.5).all()
            assert (np.nextafter(node.v_threshold, np.float32(1)) == 0.5).all()
    one = nir.NIRGraph(
        {
            "a": nir.Input(np.array([1])),
            "b": nir.LIF(
                *(np.full(1, v, np.float32) for v in (2e-4, 1.0, 0.0, np.nextafter(np.float32(0.5), np.float32(0)), 0.0))
            ),
            "c": nir.Output(np.array([1])),
        },
        [("a", "b"), ("b", "c")],
    )
    nir.write(tmp_path / "one.nir", one)
    assert import_nir(tmp_path / "one.nir", 1, 1e-4)(torch.ones(1, 1, 1)).item() == 1


def test_what_the_metadata_say(make: Make, tmp_path: Path) -> None:
    here = make("toy", {"neuron": {"name": "lif", "tau": 4.0, "v_th": 0.2}})
    exporter(dt=1e-3).write(here, tmp_path / "n.nir")
    graph = nir.read(tmp_path / "n.nir")
    assert (graph.metadata["time_steps"], graph.metadata["dt"]) == ("3", "0.001")
    assert json.loads(graph.metadata["genotype"])["digest"] == here.network.genotype.digest
    assert json.loads(graph.metadata["mean"]) == [0.1, 0.1]
    lifs = [node for node in graph.nodes.values() if isinstance(node, nir.LIF)]
    assert lifs
    assert all(np.allclose(node.tau, 4e-3) and (node.r == 1).all() for node in lifs)
    assert set(map(type, graph.nodes.values())) <= {nir.Input, nir.Output, nir.Conv2d, nir.LIF, nir.Scale, nir.Threshold}
    (last,) = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    assert sum(behind == last for _, behind in graph.edges) == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"neuron": "relu"}, r"no form for: ReLU at encoder.neuron; "),
        ({"neuron": {"name": "lif", "reset": "soft"}}, r"a soft reset \(LIF at encoder.neuron\); .* and \d+ more"),
        ({"neuron": {"name": "plif", "reset": "none"}}, r"a membrane without reset \(PLIF at "),
        ({"neuron": LOW, "attention": "cbam", "attention_location": "end"}, r"CBAM at body.cells.0.attention"),
        (
            {"neuron": LOW, "batch_norm": "bntt"},
            r"a norm for each time step \(BatchNormThroughTime at encoder|BatchNormThroughTime at body",
        ),
        ({"neuron": LOW, "encoder": "poisson"}, r"Poisson at encoder.coding"),
    ],
)
def test_what_has_no_form_is_named_with_its_place(model: dict[str, Any], words: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words) as caught:
        exporter().write(make("toy", model), tmp_path / "n.nir")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def refusal(here: Trained, path: Path) -> str:
    """Why the network is refused; empty when it is written."""
    try:
        exporter().write(here, path)
    except OutputError as error:
        return str(error)
    return ""


def test_maxima_of_currents_are_refused(make: Make, tmp_path: Path) -> None:
    """Where neurons stand in front of what reads them, a pooling reads a sum of currents."""
    refusals = 0
    for seed in range(6):
        here = make("darts-cells", {"neuron": LOW, "cells": 2, "time_steps": 2}, seed=seed)
        why = refusal(here, tmp_path / f"{seed}.nir")
        if why:
            assert "the maximum of values that are no spikes (max_pool2d in body.cells." in why
            assert any("max_pool" in edge.op for _, cell in here.network.genotype.cells for edge in cell.edges)
            refusals += 1
    assert refusals


class Unusual(nn.Module):
    """What an operation of a plug-in might do: values that are read twice, added to themselves, split otherwise, or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4)
        self.narrow, self.mean = nn.Conv2d(4, 2, 1, bias=False), nn.AvgPool2d(2, 1, 1)
        self.grouped, self.classifier = nn.Conv2d(8, 4, 3, 2, groups=4), nn.Linear(4, 3)
        self.late = nn.BatchNorm2d(2)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        x = x_TBCHW.flatten(0, 1)
        twice = self.conv(x)
        both = self.norm(twice) + twice + twice
        narrow = self.narrow(twice)
        parts = torch.cat([self.narrow(both), 0.5 * (narrow + narrow)], dim=1)
        nothing = self.late(self.narrow(both.new_zeros(both.shape)))
        left = torch.cat([parts + both, self.norm(parts * 0.0)], dim=1)
        wide = left + torch.cat([nothing, x * 3.0, both], dim=1)
        pooled = nn.functional.avg_pool2d(self.mean(wide), 3, 2, 1)
        y = self.grouped(pooled[..., ::2, ::1]).contiguous()
        return self.classifier(torch.unflatten(y, 0, x_TBCHW.shape[:2]).mean((-2, -1)))


@pytest.mark.parametrize("size", [(9, 9), (8, 11)])
def test_code_that_no_bundled_operation_has(size: tuple[int, int]) -> None:
    sample = Shape(2, 2, *size)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module: Any = Unusual()
        for norm in (module.norm, module.late):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.normal_()
            norm.bias.normal_()
        module.eval()
    nodes = lowered(module, sample, 1e-4)
    network = NirNetwork(exporter().graph(nodes, {}), 2, 1e-4, "it")
    x = samples(sample, 3, 0, torch.float32)
    with torch.no_grad():
        wanted = module(x)
    assert torch.allclose(network(x), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
