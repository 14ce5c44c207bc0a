"""Main effects and pairwise interactions of the factors of a full grid, as paired contrasts. Torch-free."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core.ablation.design import Factor, labels
from nastk.core.ablation.statistics import Paired, Test, compared


@frozen
class Effect:
    """What a level of a factor changes, or two together beyond what each does alone."""

    kind: str
    """``main`` or ``interaction``."""
    name: str
    paired: Paired


def effects(
    factors: Sequence[Factor],
    reference: Mapping[str, Any],
    cells: Sequence[tuple[Mapping[str, Any], Mapping[int, float]]],
    test: Test = "permutation",
) -> tuple[Effect, ...]:
    """All of a grid whose ``cells`` are (values, number by seed), against the reference level of each factor.

    *Main effect* of a level: its cells minus those of the reference level, the mean over all levels of the other factors.
    *Interaction* of two levels: what their main changes do not add up to, ``(ab - ar) - (rb - rr)``, the mean over the other
    factors. One number a seed, of the seeds that every cell has; tested together, Holm's correction over all of them.
    """
    seeds = sorted(set.intersection(*(set(values) for _, values in cells))) if cells else []
    grid = _grid(factors, cells, seeds)
    if grid is None:
        return ()
    levels = [range(len(factor.levels)) for factor in factors]
    at = [_level(factor, reference) for factor in factors]
    found: list[tuple[str, str, NDArray[np.float64]]] = []
    for i, factor in enumerate(factors):
        mean_LS = _margin(grid, (i,))
        for a in levels[i]:
            if a != at[i]:
                found.append(("main", _name((factor, a, at[i])), mean_LS[a] - mean_LS[at[i]]))
    for i, j in itertools.combinations(range(len(factors)), 2):
        mean_LMS, r, s = _margin(grid, (i, j)), at[i], at[j]
        for a, b in itertools.product(levels[i], levels[j]):
            if a != r and b != s:
                beyond_S = mean_LMS[a, b] - mean_LMS[a, s] - mean_LMS[r, b] + mean_LMS[r, s]
                found.append(("interaction", f"{_name((factors[i], a, r))} with {_name((factors[j], b, s))}", beyond_S))
    tested = compared([difference.tolist() for _, _, difference in found], test)
    return tuple(Effect(kind, name, paired) for (kind, name, _), paired in zip(found, tested, strict=True))


def _grid(
    factors: Sequence[Factor], cells: Sequence[tuple[Mapping[str, Any], Mapping[int, float]]], seeds: Sequence[int]
) -> NDArray[np.float64] | None:
    """``(levels of each factor ..., seeds)``; ``None`` where a combination or every seed is missing."""
    grid = np.full((*(len(factor.levels) for factor in factors), len(seeds)), np.nan)
    for values, numbers in cells:
        place = tuple(factor.levels.index(values[factor.path]) for factor in factors)
        grid[place] = [numbers[seed] for seed in seeds]
    return None if not seeds or np.isnan(grid).any() else grid


def _margin(grid: NDArray[np.float64], kept: tuple[int, ...]) -> NDArray[np.float64]:
    """The mean over the factors that are not kept: ``(levels ..., seeds)``."""
    others = tuple(axis for axis in range(grid.ndim - 1) if axis not in kept)
    mean: NDArray[np.float64] = grid.mean(axis=others)
    return mean


def _level(factor: Factor, reference: Mapping[str, Any]) -> int:
    """The place of the reference level: the baseline's where it is one of the factor's."""
    wanted = reference.get(factor.path)
    return factor.levels.index(wanted) if wanted in factor.levels else 0


def _name(change: tuple[Factor, int, int]) -> str:
    factor, level, reference = change
    one, other = labels([{factor.path: factor.levels[place]} for place in (level, reference)])
    return f"{one} instead of {other}"
