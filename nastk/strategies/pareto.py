"""Pareto fronts: non-dominated sorting, crowding, hypervolume. Of costs: less is better in every objective."""

from __future__ import annotations

import math
from collections.abc import Sequence

Costs = Sequence[float]
"""What one candidate costs in each objective, all finite."""


def dominates(a: Costs, b: Costs) -> bool:
    """Whether ``a`` is nowhere worse than ``b``, and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def fronts(costs: Sequence[Costs]) -> list[list[int]]:
    """The fast non-dominated sort of Deb et al. (2002): indices by front, those that nothing dominates first."""
    dominated: list[list[int]] = [[] for _ in costs]
    above = [0] * len(costs)
    for i, a in enumerate(costs):
        for j, b in enumerate(costs[:i]):
            if dominates(a, b):
                dominated[i].append(j)
                above[j] += 1
            elif dominates(b, a):
                dominated[j].append(i)
                above[i] += 1
    found = []
    front = [i for i, count in enumerate(above) if not count]
    while front:
        found.append(front)
        below = []
        for i in front:
            for j in dominated[i]:
                above[j] -= 1
                if not above[j]:
                    below.append(j)
        front = sorted(below)
    return found


def crowding(costs: Sequence[Costs]) -> list[float]:
    """The crowding distance of each member of a front, section III-B of Deb et al. (2002); infinite at the ends."""
    distance = [0.0] * len(costs)
    for objective in zip(*costs, strict=True):
        order = sorted(range(len(costs)), key=objective.__getitem__)
        low, high = objective[order[0]], objective[order[-1]]
        distance[order[0]] = distance[order[-1]] = math.inf
        if high > low:
            for before, i, after in zip(order, order[1:], order[2:], strict=False):
                distance[i] += (objective[after] - objective[before]) / (high - low)
    return distance


def hypervolume(costs: Sequence[Costs], reference: Costs) -> float:
    """The volume that is dominated by the points and dominates the reference point; any number of objectives.

    By slices along the last objective, which is exact and fast enough for some tens of points.
    """
    inside = sorted((tuple(p) for p in costs if all(x < r for x, r in zip(p, reference, strict=True))), key=lambda p: p[-1])
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - inside[0][0])
    ends = [point[-1] for point in inside[1:]] + [reference[-1]]
    return sum(
        (end - point[-1]) * hypervolume([p[:-1] for p in inside[: i + 1]], reference[:-1])
        for i, (point, end) in enumerate(zip(inside, ends, strict=True))
        if end > point[-1]
    )
