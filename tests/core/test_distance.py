"""The distance of architectures: a metric of sets of edges, by scipy's distances; and the command."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.core.cell.distance import distances
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.errors import NastkError
from nastk.testing import build_space

OPS = ("none", "skip_connect", "conv_3x3", "conv_5x5", "avg_pool_3x3")
WEIGHTS = st.dictionaries(st.sampled_from(OPS[1:]), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
COMPLETE = build_space("spiking-cells", {"cells": 3}, wiring="complete", sharing="per_cell", nodes=2)


def cell(*ops: str) -> Cell:
    """One node with an edge from each of as many inputs."""
    return Cell(len(ops), [Edge(i, len(ops), op) for i, op in enumerate(ops)], (len(ops),))


def genotype(**cells: Cell) -> Genotype:
    return Genotype("any", cells, {})


@st.composite
def genotypes(draw: st.DrawFn, names: str = "xyz") -> Genotype:
    ops = st.lists(st.sampled_from(OPS[1:]), max_size=3, unique=True).map(lambda found: "|".join(found) or "none")
    made = st.lists(ops, min_size=3, max_size=3).map(lambda found: cell(*found))
    return genotype(**draw(st.dictionaries(st.sampled_from(names), made, min_size=1)))


def test_by_hand() -> None:
    one = genotype(a=cell("conv_3x3", "conv_3x3"), b=cell("skip_connect", "none"))
    other = genotype(a=cell("conv_3x3", "conv_5x5"), b=cell("skip_connect|conv_3x3", "none"), c=cell("skip_connect"))
    assert distances(one, other) == {"a": 1.0, "b": 0.5, "c": 1.0}
    assert nastk.distance(one, other) == pytest.approx(2.5 / 3)
    weights = {"conv_3x3": 0.5, "conv_5x5": 0.1}
    assert distances(one, other, weights) == {"a": pytest.approx(0.3), "b": 0.25, "c": 1.0}


@given(genotypes(), genotypes(), genotypes(), WEIGHTS)
@settings(deadline=None, max_examples=100)
def test_it_is_a_pseudo_metric_between_0_and_1(a: Genotype, b: Genotype, c: Genotype, weights: dict[str, float]) -> None:
    assert nastk.distance(a, a, weights) == 0
    there, back = nastk.distance(a, b, weights), nastk.distance(b, a, weights)
    assert there == back
    assert 0 <= there <= 1
    assert there <= nastk.distance(a, c, weights) + nastk.distance(c, b, weights) + 1e-12


@given(st.integers(0, 10**6), WEIGHTS)
@settings(deadline=None, max_examples=30)
def test_a_cell_by_scipy(seed: int, weights: dict[str, float]) -> None:
    spatial = pytest.importorskip("scipy.spatial.distance", reason="scipy is not installed")
    rng = random.Random(seed)
    first, second = COMPLETE.sample(rng), COMPLETE.sample(rng)
    assert COMPLETE.full().cell("0").edges[0].candidates == OPS
    scale = np.array([weights.get(op, 1.0) for op in OPS[1:]])
    found = distances(first, second, weights)
    for name in ("0", "1", "2"):
        a, b = (hot[hot.sum(-1) > 0] for hot in (COMPLETE.one_hot(g)[name][:, 1:] for g in (first, second)))
        near = np.minimum(spatial.cdist(a * scale, b * scale, "cityblock") / 2, 1.0)
        assert found[name] == pytest.approx(max(near.min(0).max(), near.min(1).max()))


def test_order_and_edges_that_carry_nothing_do_not_count() -> None:
    one = genotype(a=cell("conv_3x3", "skip_connect", "none"))
    assert nastk.distance(one, genotype(a=cell("skip_connect", "conv_3x3"))) == 0
    assert nastk.distance(genotype(a=cell("none")), genotype(a=cell("none", "none"))) == 0
    assert nastk.distance(one, genotype(a=cell("none"))) == 1


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5, float("nan")])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(NastkError, match=r"The weight of 'conv_3x3' in a distance must be above 0 and at most 1"):
        nastk.distance(genotype(), genotype(), {"conv_3x3": weight})


def test_the_command(tmp_path: Path) -> None:
    for name, ops in {"a": ("conv_3x3",), "b": ("conv_5x5",)}.items():
        (tmp_path / f"{name}.json").write_text(genotype(x=cell(*ops)).to_json())
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    plain = CliRunner().invoke(app, ["distance", *files, "--weight", "conv_5x5=0.5"])
    assert (plain.exit_code, plain.output) == (0, "0.7500\n")
    told = CliRunner().invoke(app, ["distance", *files, "--json"])
    assert json.loads(told.output) == {"distance": 1.0, "cells": {"x": 1.0}}
    wrong = CliRunner().invoke(app, ["distance", *files, "--weight", "conv_5x5"])
    assert wrong.exit_code == 2
    assert "--weight takes an operation and a number" in wrong.output
