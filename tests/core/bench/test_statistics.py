"""Intervals and tests against numpy and scipy, brute force, and their own promises under a true null hypothesis."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.bench.statistics import against, holm, summarise
from nastk.core.errors import NastkError

SHARES = st.integers(0, 20).map(lambda n: n / 20)
SAMPLES = st.lists(SHARES, min_size=2, max_size=20)
P = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(SAMPLES)
def test_a_summary_is_numpys_and_scipys(values: list[float]) -> None:
    found = summarise(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert found.median == pytest.approx(np.median(values))
    assert found.best == max(values)
    if len(set(values)) > 1:
        low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_a_single_seed_has_no_deviation_and_needs_no_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    found = summarise([0.5])
    assert (found.mean, found.median, found.best) == (0.5, 0.5, 0.5)
    assert found.deviation is found.low is found.high is None


@settings(deadline=None, max_examples=60)
@given(SAMPLES, SAMPLES)
def test_a_comparison_is_scipys_and_its_share_of_wins_a_count(baseline: list[float], other: list[float]) -> None:
    (found,) = against(baseline, [other])
    wins = sum((a > b) + 0.5 * (a == b) for a in other for b in baseline)
    assert found.better == pytest.approx(wins / (len(baseline) * len(other)))
    assert found.holm == found.p
    if len({*baseline, *other}) > 1:
        assert found.p == pytest.approx(scipy.stats.mannwhitneyu(other, baseline, alternative="two-sided").pvalue)
    else:
        assert (found.better, found.p) == (0.5, 1.0)


@settings(deadline=None, max_examples=60)
@given(SAMPLES, SAMPLES)
def test_the_test_is_two_sided(first: list[float], second: list[float]) -> None:
    (there,), (back,) = against(first, [second]), against(second, [first])
    assert there.p == pytest.approx(back.p)
    assert there.better == pytest.approx(1 - back.better)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.9, 0.8]) == pytest.approx([0.03, 1.0, 1.0])
    assert holm([]) == []


@settings(deadline=None, max_examples=150)
@given(P, st.integers(1, 99).map(lambda n: n / 100))
def test_holm_refuses_what_the_step_down_procedure_refuses(p: list[float], level: float) -> None:
    order = sorted(range(len(p)), key=p.__getitem__)
    refused = set()
    for rank, i in enumerate(order):  # the procedure as Holm states it
        if min(1.0, (len(p) - rank) * p[i]) > level:
            break
        refused.add(i)
    found = holm(p)
    assert {i for i, q in enumerate(found) if q <= level} == refused
    assert all(a <= q <= min(1.0, len(p) * a) or q == pytest.approx(a) for a, q in zip(p, found, strict=True))


def finals(rng: np.random.Generator, seeds: int) -> list[float]:
    """What searches find: skewed, bounded, full of ties, as the best of some draws is."""
    return np.round(np.sort(rng.beta(6, 2, (seeds, 12)), axis=1)[:, -2], 2).tolist()


def test_under_the_null_one_claim_in_twenty_is_false() -> None:
    rng = np.random.default_rng(0)
    p = [against(finals(rng, 25), [finals(rng, 25)])[0].p for _ in range(800)]
    assert 0.035 < np.mean(np.array(p) <= 0.05) < 0.065
    assert 0.08 < np.mean(np.array(p) <= 0.1) < 0.12


def test_under_the_null_holm_keeps_the_false_claims_of_all_strategies_together() -> None:
    rng = np.random.default_rng(1)
    trials = [against(finals(rng, 20), [finals(rng, 20) for _ in range(4)]) for _ in range(200)]
    some = np.mean([min(c.holm for c in found) <= 0.05 for found in trials])
    uncorrected = np.mean([min(c.p for c in found) <= 0.05 for found in trials])
    assert some < 0.08
    assert uncorrected > 0.09  # what it is for


def test_the_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(2)
    truth = np.mean(finals(rng, 100_000))
    found = [summarise(finals(rng, 50)) for _ in range(1000)]
    inside = np.mean([f.low is not None and f.high is not None and f.low <= truth <= f.high for f in found])
    assert 0.93 < inside < 0.97


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    baseline = finals(rng, 30)
    same, better = against(baseline, [finals(rng, 30), [value + 0.1 for value in finals(rng, 30)]])
    assert better.holm < 1e-3 < same.holm
    assert better.better > 0.8


def test_without_scipy_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(NastkError, match=r'A statistic needs scipy, .*pip install "nastk\[bench\]"'):
        summarise([0.1, 0.2])
