"""How well an estimator ranks the members of a table: rank correlation with their test accuracy, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core.bench.estimators import Estimates, Member, estimates, members
from nastk.core.bench.statistics import CONFIDENCE, stats
from nastk.core.cell.space import SearchSpace
from nastk.core.config import Part
from nastk.core.run.benchmark import Benchmark
from nastk.core.seeds import key

RESAMPLES = 1000
"""Resamples of the members, with replacement, behind each interval."""

Values = NDArray[np.float64]


@frozen
class Row:
    """An estimator against the test accuracies of a table.

    Kendall's tau-b and Spearman's rho with the percentile bootstrap's 95 % interval, over members of the table. ``nan`` where
    there is nothing to rank: one member, or one value for all.
    """

    estimator: str
    n: int
    """Members for which it has a number."""
    kendall: float
    kendall_low: float
    kendall_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    seconds: float
    """Mean time of a network."""
    failed: int
    """Members that it refuses; they are left out."""


def correlate(
    benchmark: Benchmark,
    space: SearchSpace,
    parts: Sequence[Part],
    cells: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> list[Row]:
    """Each estimator on the same ``cells`` members of the table, in order; ``progress(done, total)`` counts numbers.

    The members are drawn uniformly without repetition, the same ones for a seed. A positive correlation says that more is
    better; a cost such as ``latency`` may well have one. Raises :class:`~nastk.core.errors.NastkError` without scipy.
    """
    stats()  # said before the work, not after
    drawn = members(benchmark, space, cells, seed)
    return [row(found, drawn, seed) for found in estimates(benchmark, drawn, parts, progress)]


def row(found: Estimates, drawn: Sequence[Member], seed: int) -> Row:
    """The correlations of one estimator's numbers with the accuracies."""
    pairs = [(value, member.accuracy) for value, member in zip(found.values, drawn, strict=True) if value is not None]
    values_N, accuracies_N = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    tau = interval(kendall, values_N, accuracies_N, seed)
    rho = interval(spearman, values_N, accuracies_N, seed)
    return Row(found.name, len(pairs), *tau, *rho, found.seconds, len(drawn) - len(pairs))


def kendall(a_N: Values, b_N: Values) -> float:
    """Kendall's tau-b, ties counted; ``nan`` where one of both has a single value."""
    return float(stats().kendalltau(a_N, b_N).statistic) if _ranks(a_N, b_N) else float("nan")


def spearman(a_N: Values, b_N: Values) -> float:
    """Spearman's rho, ties at their mean rank; ``nan`` where one of both has a single value."""
    return float(stats().spearmanr(a_N, b_N).statistic) if _ranks(a_N, b_N) else float("nan")


def _ranks(a_N: Values, b_N: Values) -> bool:
    """Whether both have at least two values."""
    return len(a_N) > 1 and float(np.ptp(a_N)) > 0 and float(np.ptp(b_N)) > 0


def interval(statistic: Callable[[Values, Values], float], a_N: Values, b_N: Values, seed: int) -> tuple[float, float, float]:
    """The statistic of pairs, and the percentile bootstrap's 95 % interval: pairs are drawn again with replacement."""
    whole = statistic(a_N, b_N)
    if np.isnan(whole):
        return whole, whole, whole
    draws = np.random.default_rng(key(seed, "bench", "bootstrap"))
    resamples = (draws.integers(len(a_N), size=len(a_N)) for _ in range(RESAMPLES))
    found = [statistic(a_N[index], b_N[index]) for index in resamples]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(found, [tail, 100 - tail])
    return whole, float(low), float(high)
