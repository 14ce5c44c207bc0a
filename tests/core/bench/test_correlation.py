"""Estimators against a table: rank correlations by their definitions, intervals, and which members are asked about."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.bench import correlation
from nastk.core.bench.correlation import correlate, interval, kendall, spearman
from nastk.core.bench.estimators import members
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NastkError, NotInSpace
from nastk.core.model.estimator import Estimator, Measurement
from nastk.core.run.benchmark import Benchmark
from nastk.core.types import Shape
from nastk.testing import build_space

SPACE = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1})
SMALL = build_space("toy", {"neuron": "relu", "time_steps": 1})


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "RESAMPLES", 100)


def convolutions(genotype: Genotype) -> int:
    return sum("conv_3x3" in edge.op for _, cell in genotype.cells for edge in cell.edges)


class Table(Benchmark):
    """Worth more with every convolution; it knows all but the cells without one."""

    epochs = (1,)
    shape, classes = Shape(1, 2, 4, 4), 7

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        del genotype, epochs
        raise AssertionError("validation is not asked for")

    def test(self, genotype: Genotype) -> float:
        if not convolutions(genotype):
            raise NotInSpace("unknown")
        return 0.1 * convolutions(genotype)


class Says(Estimator):
    """An estimator that says what a function of the genotype says."""

    unit = "score"

    def __init__(self, says: Any) -> None:
        self.says, self.asked = says, []

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        self.asked.append((genotype, sample, classes))
        return Measurement(self.says(genotype), "score")


class Part:
    """Stands for a part of a configuration."""

    def __init__(self, name: str, says: Any) -> None:
        self.name, self.estimator = name, Says(says)

    def build(self) -> Says:
        return self.estimator


def refusing(genotype: Genotype) -> float:
    if convolutions(genotype) == 1:
        raise NastkError("too few")
    return convolutions(genotype)


@pytest.mark.usefixtures("few_resamples")
def test_each_estimator_is_tried_on_the_same_members() -> None:
    parts = [
        Part("good", convolutions),
        Part("bad", lambda g: -convolutions(g)),
        Part("flat", lambda _: 1),
        Part("shy", refusing),
    ]
    heard: list[tuple[int, int]] = []
    rows = correlate(Table(), SPACE, parts, 40, 3, lambda *done: heard.append(done))
    good, bad, flat, shy = rows
    assert [row.estimator for row in rows] == ["good", "bad", "flat", "shy"]
    assert (good.kendall, good.spearman) == pytest.approx((1, 1))
    assert (bad.kendall, bad.kendall_low, bad.spearman_high) == pytest.approx((-1, -1, -1))
    assert all(math.isnan(number) for number in (flat.kendall, flat.kendall_low, flat.spearman, flat.spearman_high))
    assert (good.n, good.failed) == (40, 0)
    ones = sum(convolutions(genotype) == 1 for genotype, *_ in parts[0].estimator.asked)
    assert (shy.n, shy.failed) == (40 - ones, ones)
    assert ones > 0
    assert shy.kendall == pytest.approx(1)
    assert all(part.estimator.asked == parts[0].estimator.asked for part in parts)
    assert {tuple(rest) for _, *rest in parts[0].estimator.asked} == {(Table.shape, Table.classes)}
    assert heard == [(n, 160) for n in range(1, 161)]
    (again,) = correlate(Table(), SPACE, [Part("shy", refusing)], 40, 3, lambda *_: None)
    assert evolve(again, seconds=shy.seconds) == shy, "the same members, the same resamples"


def test_members_are_distinct_known_and_of_the_seed() -> None:
    drawn = members(Table(), SPACE, 200, 0)
    assert len({member.genotype for member in drawn}) == len(drawn) == 200
    assert all(member.accuracy == Table().test(member.genotype) for member in drawn)
    assert drawn == members(Table(), SPACE, 200, 0)
    assert drawn[:50] == members(Table(), SPACE, 50, 0)
    assert drawn != members(Table(), SPACE, 200, 1)


def test_of_a_small_space_all_members_are_taken() -> None:
    known = sum(
        bool(convolutions(SMALL.decode(choice)))
        for choice in itertools.product(*(range(len(d.options)) for d in SMALL.decisions))
    )
    assert len(members(Table(), SMALL, SMALL.size + 5, 0)) == known


def test_a_table_that_knows_no_member_is_refused() -> None:
    class Empty(Table):
        def test(self, genotype: Genotype) -> float:
            raise NotInSpace(f"unknown: {genotype.digest}")

    with pytest.raises(DataError, match="Of 5 members of the space the table knows 0"):
        correlate(Empty(), SPACE, [], 5, 0, lambda *_: None)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(NastkError, match=r"nastk\[bench\]"):
        correlate(Table(), SPACE, [Part("good", convolutions)], 5, 0, lambda *_: None)


def tau_b(a: list[int], b: list[int]) -> float:
    """Concordant less discordant pairs, over the geometric mean of the pairs that each does not tie."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in pairs]
    return sum(p * q for p, q in signs) / math.sqrt(sum(p != 0 for p, _ in signs) * sum(q != 0 for _, q in signs))


def ranks(a: list[int]) -> list[float]:
    """From 1; ties have the mean of theirs."""
    return [sum(other < one for other in a) + (sum(other == one for other in a) + 1) / 2 for one in a]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_correlations_are_by_their_definitions(pairs: list[tuple[int, int]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    found = [statistic(np.array(a, float), np.array(b, float)) for statistic in (kendall, spearman)]
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert all(map(math.isnan, found))
    else:
        assert found == pytest.approx([tau_b(a, b), np.corrcoef(ranks(a), ranks(b))[0, 1]], abs=1e-9)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of a mean, where the truth is known: 95 % intervals of 40 normal pairs miss it in 1 to 12 % of cases."""
    draws = np.random.default_rng(0)
    missed = 0
    for trial in range(100):
        a = draws.normal(size=40)
        whole, low, high = interval(lambda x, _: float(x.mean()), a, a, trial)
        assert low <= whole <= high
        missed += not low <= 0 <= high
    assert 1 <= missed <= 12


@pytest.mark.usefixtures("few_resamples")
def test_the_interval_is_of_pairs_and_repeats_with_its_seed() -> None:
    a = np.arange(30.0)
    assert interval(kendall, a, a**2, 0) == pytest.approx((1, 1, 1)), "a pair is drawn whole"
    noisy = a + np.random.default_rng(1).normal(scale=9, size=30)
    whole, low, high = interval(spearman, a, noisy, 0)
    assert low < whole < high < 1
    assert (whole, low, high) == interval(spearman, a, noisy, 0) != interval(spearman, a, noisy, 1)
