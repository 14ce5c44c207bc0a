"""The space ``nas-bench-201``: its members, and that a cell computes what the paper's figure shows."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.cell.graph import Genotype, canonical
from nastk.core.model.cellnet import CellModule
from nastk.core.model.network import Network
from nastk.core.run.runfile import configure
from nastk.core.types import Shape
from nastk.plugins.spaces.nas_bench_201 import NasBench201, from_arch_string
from nastk.testing import build_space, genotypes

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)
RELU = {"neuron": "relu", "time_steps": 1, "channels": 4, "cells": 3}
SPIKING = {"neuron": {"name": "plif", "v_th": 0.1}, "time_steps": 2, "channels": 4, "cells": 3}
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
CONV_INTO_NOTHING = "|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"


def space(model: dict[str, Any] | None = None, **options: Any) -> NasBench201:
    found: NasBench201 = build_space("nas-bench-201", model or RELU, **options)
    return found


def network(genotype: Genotype) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network(genotype, SAMPLE, 4)


def images(seed: int = 0, batch: int = 6) -> Tensor:
    return 2 * torch.randn(1, batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_it_has_the_members_of_the_paper() -> None:
    assert space().size == 5**6 == 15_625
    full = space().full().cell("shared")
    assert (full.inputs, full.nodes, full.outputs) == (1, 4, (3,))
    assert {(edge.src, edge.dst) for edge in full.edges} == {(s, d) for d in (1, 2, 3) for s in range(d)}
    assert full.edges[0].candidates == ("none", "skip_connect", "conv_1x1", "conv_3x3", "avg_pool_3x3")


def test_a_run_has_relu_networks_unless_told_otherwise() -> None:
    config = configure(space="nas-bench-201")
    built = config.space.build(config.model)
    parts = dict(built.full().parts)
    assert (parts["neuron"], parts["time_steps"], parts["membrane"], parts["norm"]) == ("relu", 1, "pre", "operation")
    spiking = configure(space={"name": "nas-bench-201", "membrane": "node"}, neuron="plif")
    parts = dict(spiking.space.build(spiking.model).full().parts)
    assert (parts["neuron"], parts["membrane"], parts["norm"]) == ("plif", "node", "node")


def test_with_seventeen_cells_the_reductions_stand_where_the_paper_has_them() -> None:
    """Five cells, a reduction, five cells, a reduction, five cells."""
    assert space({**RELU, "cells": 17}).full().part("layers") == "0" * 5 + "1" * 6 + "2" * 6


def reference(cell: CellModule, x_TBCHW: Tensor) -> Tensor:
    """The cell of the paper: a convolution is ReLU-conv-norm, skip and pooling read the sum; all nodes are sums."""
    values = [x_TBCHW[0]]
    for node in (1, 2, 3):
        total = torch.zeros_like(values[0])
        for edge in cell.cell.into(node):
            x = values[edge.src]
            module = cell.edges[f"{edge.src}_{edge.dst}"].ops[edge.op]  # type: ignore[index]
            if edge.op.startswith("conv"):
                total = total + module.block[1](module.block[0](torch.relu(x)))
            elif edge.op == "avg_pool_3x3":
                pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
                total = total + F.batch_norm(pooled, module.norm.running_mean, module.norm.running_var)
            elif edge.op == "skip_connect":
                total = total + x
        values.append(total)
    return values[3][None]


@settings(deadline=None, max_examples=25)
@given(genotypes(space()), st.integers(0, 1000))
def test_a_cell_computes_what_the_paper_says(genotype: Genotype, seed: int) -> None:
    cell = next(m for m in network(genotype).double().eval().modules() if isinstance(m, CellModule))
    x = torch.randn(1, 2, 4, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        assert (cell.run([x]) - reference(cell, x)).abs().max() <= 1e-10


def train_step(genotype: Genotype) -> tuple[float, float]:
    """The loss before and after ten steps of SGD on one batch."""
    net = network(genotype).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = images(), torch.arange(6) % 4
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x).mean(0), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(p.isfinite().all() for p in net.parameters())
    return losses[0], losses[-1]


@pytest.mark.parametrize(("model", "membrane"), [(RELU, "pre"), (RELU, "node"), (SPIKING, "pre"), (SPIKING, "node")])
def test_a_member_trains(model: dict[str, Any], membrane: str) -> None:
    found = space(model, membrane=membrane)
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    first, last = train_step(from_arch_string(text, found))
    assert last < 0.9 * first


@pytest.mark.parametrize("text", [EMPTY, CONV_INTO_NOTHING])
@pytest.mark.parametrize(("model", "membrane"), [(RELU, "pre"), (SPIKING, "node")])
def test_a_cell_without_arrivals_builds_trains_and_equals_its_canonical_form(
    text: str, model: dict[str, Any], membrane: str
) -> None:
    genotype = from_arch_string(text, space(model, membrane=membrane))
    train_step(genotype)
    without = evolve(genotype, cells={"shared": canonical(genotype.cell("shared"))})
    a, b = network(genotype).eval(), network(without).eval()
    b.inherit(a)
    with torch.no_grad():
        assert torch.equal(a(images()), b(images()))
        if text == EMPTY:
            assert a(images()).std(dim=1).max() == 0  # the image does not reach the output


def test_spikes_alone_leave_the_nodes_of_a_spiking_cell() -> None:
    found = space(SPIKING, membrane="node")
    rng, seen = random.Random(0), []
    for _ in range(5):
        net = network(found.sample(rng)).train()
        for cell in (m for m in net.modules() if isinstance(m, CellModule)):
            cell.register_forward_hook(lambda _m, _x, out: seen.append(out))
        with torch.no_grad():
            net(images())
    assert len(seen) == 15
    assert all(((out == 0) | (out == 1)).all() for out in seen)
    assert sum(float(out.sum()) for out in seen) > 0
