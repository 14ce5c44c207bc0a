"""Genotypes with a cell for each layer at another depth: which cell stands where."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nastk
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.layout import fixed_path
from nastk.core.cell.resize import tiled
from nastk.core.run.runfile import configure


def by_layer(path: str) -> Genotype:
    """A genotype whose cell of layer ``i`` has the operation ``i``."""
    cells = {str(i): Cell(1, [Edge(0, 1, str(i))], (1,)) for i in range(len(path))}
    return Genotype("any", cells, {"layers": path, "channels": 2})


def slots(genotype: Genotype) -> list[int]:
    """Where the cell of each layer comes from."""
    return [int(genotype.cell(str(i)).edges[0].op) for i in range(len(genotype.cells))]


@pytest.mark.parametrize(
    ("cells", "layers", "wanted"),
    [
        (8, 14, [0, 1, 0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 6, 7]),
        (8, 20, [0, 1, 0, 1, 0, 1, 2, 3, 4, 3, 4, 3, 4, 5, 6, 7, 6, 7, 6, 7]),
        (14, 8, [0, 1, 4, 5, 6, 9, 10, 11]),
        (6, 9, [0, 1, 0, 2, 3, 3, 4, 5, 5]),
        (3, 6, [0, 0, 1, 0, 2, 0]),  # no normal cell behind the first third
        (2, 3, [0, 0, 1]),  # none at all
        (3, 1, [1]),
    ],
)
def test_by_hand(cells: int, layers: int, wanted: list[int]) -> None:
    found = tiled(by_layer(fixed_path(cells)), layers)
    assert slots(found) == wanted
    assert found.part("layers") == fixed_path(layers)
    assert found.part("channels") == 2


def reductions(path: str) -> list[int]:
    return [i for i, (before, here) in enumerate(pairwise("0" + path)) if here > before]


@given(st.integers(6, 24), st.integers(6, 40))
@settings(deadline=None, max_examples=80)
def test_every_third_is_filled_from_the_same_third(cells: int, layers: int) -> None:
    source, target = fixed_path(cells), fixed_path(layers)
    found = slots(tiled(by_layer(source), layers))
    assert len(found) == layers
    assert reductions(target) == [layers // 3, 2 * layers // 3]
    for layer, origin in enumerate(found):
        assert (layer in reductions(target)) == (origin in reductions(source))
        assert target[layer] == source[origin]
    for scale in "012":  # in turn, from the first on
        pool = [i for i in range(cells) if source[i] == scale and i not in reductions(source)]
        taken = [origin for layer, origin in enumerate(found) if target[layer] == scale and layer not in reductions(target)]
        assert taken == [pool[i % len(pool)] for i in range(len(taken))]


@given(st.integers(1, 30))
@settings(deadline=None, max_examples=30)
def test_the_same_depth_changes_nothing(cells: int) -> None:
    genotype = by_layer(fixed_path(cells))
    assert tiled(genotype, cells) == genotype


@pytest.mark.parametrize("path", ["000000", "001111", "0123", "0112233"])
def test_a_path_that_was_searched(path: str) -> None:
    found = slots(tiled(by_layer(path), 12))
    assert len(found) == 12
    assert set(found) <= set(range(len(path)))


def test_train_makes_a_deeper_network_of_few_cells(tmp_path: Path) -> None:
    tables: dict[str, Any] = {
        "space": {"name": "spiking-cells", "sharing": "per_cell", "wiring": "edge", "nodes": 1},
        "dataset": {"name": "synthetic", "size": 8, "train_images": 80, "test_images": 16},
        "train": {"epochs": 1, "batch": 32},
        "device": "cpu",
    }
    config = configure(tables, model={"channels": 2, "cells": 3})
    space = config.space.build(config.model)
    genotype = space.decode([*(0, 2), *(3, 7), *(5, 1), *(0 for _ in space.parts)])
    run = nastk.train(genotype, tables, out=tmp_path / "run", model={"cells": 5})
    found = Genotype.from_json((run / "genotype.json").read_text())
    assert [found.cell(str(i)) for i in range(5)] == [genotype.cell(str(i)) for i in (0, 1, 0, 2, 0)]
    assert (found.part("layers"), found.part("channels")) == ("01122", 2)
