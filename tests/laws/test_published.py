"""Published cells and rules: DARTS V1 and V2 to the parameter, the SpikeDHS cell and its way to derive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.layout import fixed_path
from nastk.core.model.network import Network
from nastk.core.types import Shape
from nastk.plugins.spaces.darts_cells import DartsCells
from nastk.testing import build_space

CIFAR = Shape(1, 3, 32, 32)
C, LAYERS = 36, 20


def darts() -> DartsCells:
    space: DartsCells = build_space("darts-cells", {"channels": C, "cells": LAYERS, "neuron": "relu", "time_steps": 1})
    return space


def by_arithmetic(genotype: Genotype) -> int:
    """Parameters of the DARTS network, after ``model.py`` of Liu et al.: bias-free convolutions, affine batch norms."""

    def operation(op: str, c: int, stride: int) -> int:
        kind, _, kernel = op.rpartition("_")
        k2 = int(kernel[0]) ** 2 if kernel[0].isdigit() else 0
        block = c * k2 + c * c + 2 * c  # depthwise, pointwise, norm
        return {"sep_conv": 2 * block, "dil_conv": block, "skip": 0 if stride == 1 else c * c + 2 * c}.get(kind, 0)

    total = 3 * 3 * C * 9 + 2 * 3 * C  # stem of 3 C channels
    before, last, width = 3 * C, 3 * C, C
    for layer in range(LAYERS):
        reduction = layer in (LAYERS // 3, 2 * LAYERS // 3)
        width *= 2 if reduction else 1
        total += (before + last) * width + 2 * 2 * width  # 1x1 convolutions or factorised reductions, and their norms
        for edge in genotype.cell("reduce" if reduction else "normal").edges:
            total += operation(edge.op, width, 2 if reduction and edge.src < 2 else 1)
        before, last = last, 4 * width
    return total + last * 10 + 10


@pytest.mark.parametrize(("name", "parameters"), [("DARTS_V1", 3_169_414), ("DARTS_V2", 3_349_342)])
def test_darts_cells_to_the_parameter(name: str, parameters: int) -> None:
    """3.3 million are published for both; the count without auxiliary head is that of the authors' code."""
    space = darts()
    genotype = space.published(name)
    assert genotype in space
    assert space.decode(space.encode(genotype)) == genotype
    assert Genotype.from_json(genotype.to_json()) == genotype
    with torch.device("meta"):
        net = Network(genotype, CIFAR, 10)
    assert sum(p.numel() for p in net.parameters()) == by_arithmetic(genotype) == parameters


def test_darts_cells_have_the_published_edges() -> None:
    cell = darts().published("DARTS_V2").cell("normal")
    assert {(e.src, e.op) for e in cell.into(5)} == {(0, "skip_connect"), (2, "dil_conv_3x3")}
    assert cell.outputs == (2, 3, 4, 5)
    with pytest.raises(KeyError):
        darts().published("DARTS_V3")


DHS_OPERATIONS = ("skip_connect", "snn_b3", "snn_b5")
DHS_CELL = ((1, 1), (0, 1), (3, 2), (2, 1), (7, 1), (8, 1))  # (edge, operation), edges numbered node by node
DHS_PATH = (0, 0, 1, 1, 1, 2, 2, 2)


def dhs_space(**settings: object) -> CellSpace:
    model = {"channels": 2, "cells": 8}
    space: CellSpace = build_space("spiking-cells", model, preset="dhs", nodes=3, sharing="shared", **settings)
    return space


def dhs_cell() -> Cell:
    ends = [(src, node) for node in (2, 3, 4) for src in range(node)]
    return Cell(2, [Edge(*ends[edge], DHS_OPERATIONS[op]) for edge, op in DHS_CELL], (2, 3, 4))


def test_the_published_cell_of_spikedhs_is_a_member() -> None:
    space = dhs_space(decode="dhs")
    path = "".join(map(str, DHS_PATH))
    assert path == fixed_path(8)
    genotype = Genotype("spiking-cells", {"shared": dhs_cell()}, space.full().parts)
    assert genotype in space
    assert genotype.part("layers") == path
    assert space.derive(space.one_hot(genotype)) == genotype
    assert [(e.src, e.dst, e.op) for e in genotype.cell("shared").into(4)] == [(2, 4, "snn_b3"), (3, 4, "snn_b3")]
    searched = dhs_space(layer_level="searched")
    assert Genotype("spiking-cells", {"shared": dhs_cell()}, {**dict(searched.full().parts), "layers": path}) in searched
    assert Network(genotype, Shape(1, 3, 8, 8), 10)(torch.rand(1, 2, 3, 8, 8)).shape == (2, 2, 10)


def test_a_skip_can_win_an_edge_but_not_earn_it() -> None:
    """At the third node (sources 0 to 3): the skip of edge 0 is the strongest weight of all, yet the edge goes."""
    full = dhs_space().full().cell("shared")
    row = {(e.src, e.dst): i for i, e in enumerate(full.edges)}
    weights = np.full((9, 3), 0.1)
    weights[row[0, 4]] = [0.98, 0.01, 0.01]
    weights[row[1, 4]] = [0.50, 0.45, 0.05]
    weights[row[2, 4]] = [0.20, 0.10, 0.70]
    weights[row[3, 4]] = [0.60, 0.20, 0.20]
    found = {mode: dhs_space(decode=mode).derive({"shared": weights}).cell("shared").into(4) for mode in ("dhs", "darts")}
    assert found["dhs"] == (Edge(1, 4, "skip_connect"), Edge(2, 4, "snn_b5"))
    assert found["darts"] == (Edge(0, 4, "skip_connect"), Edge(2, 4, "snn_b5"))


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2"])
def test_the_genotype_files_hold_the_published_cells(name: str) -> None:
    text = (Path(__file__).parents[2] / "examples" / "genotypes" / f"{name.lower()}.json").read_text(encoding="utf-8")
    genotype = Genotype.from_json(text)
    assert genotype in darts()
    assert genotype == darts().published(name)
