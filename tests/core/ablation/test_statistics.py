"""Statistics of studies: against SciPy and enumeration, over simulated studies, and whatever the order of the seeds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy import stats as scipy_stats

from nastk.core.ablation.design import Factor
from nastk.core.ablation.effects import effects
from nastk.core.ablation.statistics import EXACT, compared, described, least_p, seeds_needed, smallest_effect

NUMBERS = strategies.lists(strategies.floats(-5, 5).map(lambda x: round(x, 3)), min_size=2, max_size=7)


@given(NUMBERS, strategies.randoms(use_true_random=False))
@settings(deadline=None, max_examples=25)
def test_the_order_of_the_seeds_changes_nothing(values: list[float], random: object) -> None:
    other = list(values)
    random.shuffle(other)  # type: ignore[attr-defined]  # a random.Random
    assert described(values) == described(other)
    for test in ("permutation", "wilcoxon"):
        assert compared([values], test) == compared([other], test)


@given(NUMBERS)
@settings(deadline=None, max_examples=40)
def test_the_permutation_test_goes_through_all_signs(values: list[float]) -> None:
    """By hand: twice the share of sign changes whose mean is as far out on the side where it is rarer."""
    (found,) = compared([values])
    sums = np.array(
        [math.fsum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product((1, -1), repeat=len(values))]
    )
    seen, near = math.fsum(values), 1e-9
    tail = min((sums >= seen - near).mean(), (sums <= seen + near).mean())
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert found.p is None or found.p >= least_p(len(values)) - 1e-12


def test_numbers_against_scipy() -> None:
    values = [0.3, -0.1, 0.8, 0.45, 0.2, 0.9]
    (found,) = compared([values])
    reference = scipy_stats.ttest_1samp(values, 0.0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(reference))
    assert found.d_z == pytest.approx(np.mean(values) / np.std(values, ddof=1))
    assert found.g == pytest.approx(found.d_z * (1 - 3 / 19))
    (ranked,) = compared([values], "wilcoxon")
    assert ranked.p == pytest.approx(scipy_stats.wilcoxon(values).pvalue)
    own = described(values)
    assert own.low is not None
    assert own.high is not None
    assert own.low < np.mean(values) < own.high
    assert (own.n, own.median) == (6, pytest.approx(0.375))


def test_holm_is_over_the_family() -> None:
    strong, weak = [1.0, 1.1, 0.9, 1.2, 0.8, 1.3, 1.0, 1.05], [0.1, -0.2, 0.3, -0.1, 0.2, -0.3, 0.05, -0.02]
    alone, family = compared([strong]), compared([strong, weak, weak])
    assert alone[0].holm == alone[0].p == pytest.approx(2 / 256)
    assert family[0].holm == pytest.approx(6 / 256)
    assert family[0].clear
    assert not family[1].clear


def test_too_few_pairs() -> None:
    none, one, equal = compared([[], [0.5], [0.2, 0.2, 0.2]])
    assert (none.n, none.mean, none.p) == (0, None, None)
    assert (one.mean, one.p, one.holm) == (0.5, None, None)
    assert equal.d_z is None
    assert equal.p == equal.holm == pytest.approx(0.25), "the family has one test"
    assert described([]).mean is None
    assert described([2.0]).low is None
    assert least_p(3) == 0.25
    assert seeds_needed(1) == 6
    assert least_p(seeds_needed(4)) * 4 <= 0.05 < least_p(seeds_needed(4) - 1) * 4


def test_many_pairs_are_drawn_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(0.5, 1, EXACT + 8).tolist()
    first, second = compared([values]), compared([values])
    assert first == second
    reference = scipy_stats.ttest_1samp(values, 0.0).pvalue
    assert first[0].p == pytest.approx(reference, abs=0.02)


@pytest.mark.parametrize("n", [3, 5, 10, 30])
def test_the_smallest_effect_has_the_power_that_is_said(n: int) -> None:
    """Simulated: a paired t-test finds it in four of five studies."""
    values_MN = np.random.default_rng(n).normal(smallest_effect(n), 1.0, (20_000, n))
    found = scipy_stats.ttest_1samp(values_MN, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.015)


def study(random: np.random.Generator, seeds: int, effect: float) -> list[list[float]]:
    """Differences of three cells to a baseline under common seeds; the first cell has the effect, two have none."""
    shared_S = random.normal(0, 1, seeds)
    noise = 0.7
    base_S = shared_S + random.normal(0, noise, seeds)
    means = (effect, 0.0, 0.0)
    return [(shared_S + mean + random.normal(0, noise, seeds) - base_S).tolist() for mean in means]


@pytest.mark.parametrize("test", ["permutation", "wilcoxon"])
def test_false_positives_are_one_in_twenty(test: str) -> None:
    """Under the null, over 400 studies of eight seeds: one test errs about 5 %, any of a family no more often."""
    random = np.random.default_rng(3)
    single = family = 0
    for _ in range(400):
        found = compared(study(random, 8, 0.0), test)  # type: ignore[arg-type]
        single += found[0].p is not None and found[0].p <= 0.05
        family += any(one.clear for one in found)
    low, high = scipy_stats.binom(400, 0.05).interval(0.999)
    assert low <= single <= high
    assert family <= high


def test_a_planted_effect_is_found_and_a_planted_null_is_not() -> None:
    """Twenty studies of ten seeds; at least nineteen are right on both."""
    random = np.random.default_rng(11)
    hits = nulls = 0
    for _ in range(20):
        planted, *others = compared(study(random, 10, 2.5))
        hits += planted.clear
        nulls += not any(one.clear for one in others)
    assert hits >= 19
    assert nulls >= 19


def test_effects_of_a_grid_are_found_and_interactions_told_apart() -> None:
    """y = seed + 2 a + 3 b + 4 ab + little noise: contrasts are exact up to the noise."""
    random = np.random.default_rng(5)
    factors = [Factor("m.a", (0, 1)), Factor("m.b", (0, 1, 2)), Factor("m.c", (0, 1))]
    cells = []
    for a, b, c in itertools.product((0, 1), (0, 1, 2), (0, 1)):
        numbers = {seed: seed + 2 * a + 3 * b + 4 * a * (b == 2) + random.normal(0, 0.01) for seed in range(10)}
        cells.append(({"m.a": a, "m.b": b, "m.c": c}, numbers))
    found = {effect.name: effect for effect in effects(factors, {"m.a": 0, "m.b": 0, "m.c": 0}, cells)}
    assert len(found) == 1 + 2 + 1 + 2 + 1 + 2
    wanted = {
        "a 1 instead of a 0": 2 + 4 / 3,
        "b 1 instead of b 0": 3.0,
        "b 2 instead of b 0": 8.0,
        "a 1 instead of a 0 with b 2 instead of b 0": 4.0,
        "a 1 instead of a 0 with b 1 instead of b 0": 0.0,
        "c 1 instead of c 0": 0.0,
    }
    for name, mean in wanted.items():
        assert found[name].paired.mean == pytest.approx(mean, abs=0.02), name
    clear = {name for name, effect in found.items() if effect.paired.clear}
    assert clear == {name for name, mean in wanted.items() if mean}
    shuffled = effects(factors, {"m.a": 0, "m.b": 0, "m.c": 0}, cells[::-1])
    assert shuffled == tuple(found.values())


def test_an_incomplete_grid_has_no_effects() -> None:
    factors = [Factor("a", (0, 1)), Factor("b", (0, 1))]
    cells = [({"a": a, "b": b}, {0: 1.0, 1: 2.0}) for a, b in itertools.product((0, 1), (0, 1))]
    assert effects(factors, {}, cells)
    assert effects(factors, {}, cells[:3]) == ()
    assert effects(factors, {}, [*cells[:3], (cells[3][0], {})]) == ()
