"""What many seeds say about a strategy: mean and interval, and whether it differs from random search. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen

from nastk.core.extras import needed

CONFIDENCE = 0.95
INTERVAL = "95 % interval of the mean by Student's t"
TEST = "Mann-Whitney U test, two-sided, against the baseline; p-values by Holm's method over the strategies"


@frozen
class Summary:
    """One number a seed, summed up. What needs two seeds is ``None`` for a single one."""

    n: int
    mean: float
    deviation: float | None
    """Standard deviation of the seeds (n - 1)."""
    low: float | None
    high: float | None
    """The 95 % interval of the mean."""
    median: float
    best: float


@frozen
class Comparison:
    """A strategy against the baseline."""

    better: float
    """Share of pairs of seeds in which it beats the baseline, a tie as half; 0.5 is no difference."""
    p: float
    """Two-sided p-value of one test."""
    holm: float
    """The p-value for all strategies together."""


def summarise(values: Sequence[float]) -> Summary:
    """Mean, standard deviation, interval of the mean, median and best (the largest) of one number a seed.

    The interval is Student's: the mean of tens of seeds is near enough to normal, and it needs no draws of its own.
    Raises :class:`NastkError` without scipy.
    """
    found = np.asarray(values, dtype=np.float64)
    n, mean = len(found), float(found.mean())
    deviation = low = high = None
    if n > 1:
        deviation = float(found.std(ddof=1))
        half = float(stats().t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
        low, high = mean - half, mean + half
    return Summary(n, mean, deviation, low, high, float(np.median(found)), float(found.max()))


def against(baseline: Sequence[float], others: Sequence[Sequence[float]]) -> list[Comparison]:
    """Each of the others against the baseline, one number a seed, more is better; corrected for their number.

    The test is Mann-Whitney's: seed k of one strategy has nothing to do with seed k of another, so there are no pairs to
    compare, and accuracies of a table are neither normal nor free of ties. Raises :class:`NastkError` without scipy.
    """
    found = [_mann_whitney(values, baseline) for values in others]
    corrected = holm([p for _, p in found])
    return [Comparison(better, p, q) for (better, p), q in zip(found, corrected, strict=True)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm, Scandinavian Journal of Statistics 1979): adjusted p-values, in order.

    Refusing all that are at most 0.05 makes a false claim with a probability of at most 5 %.
    """
    adjusted = [0.0] * len(p)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


def stats() -> Any:
    """``scipy.stats``. Raises :class:`BrokenPlugin`, which says how to install it."""
    return needed("scipy.stats", "bench", "A statistic")


def _mann_whitney(values: Sequence[float], baseline: Sequence[float]) -> tuple[float, float]:
    """The share of pairs that ``values`` wins, and the p-value."""
    if len({*values, *baseline}) == 1:  # nothing to rank
        return 0.5, 1.0
    u, p = stats().mannwhitneyu(values, baseline, alternative="two-sided")
    return float(u) / (len(values) * len(baseline)), float(p)
