"""What estimators say of members of a table: the members, their test accuracy, and each estimator's numbers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import SearchSpace
from nastk.core.config import Part
from nastk.core.errors import DataError, NastkError, NotInSpace
from nastk.core.run.benchmark import Benchmark
from nastk.core.seeds import rng

DRAWS_A_CELL = 20
"""Draws from the space for each member that is wanted, before the search for new ones is given up."""


@frozen
class Member:
    """A network that the table knows, and its test accuracy, a share."""

    genotype: Genotype
    accuracy: float


@frozen
class Estimates:
    """What one estimator says of members, in their order."""

    name: str
    values: tuple[float | None, ...]
    """``None`` where it refuses the network."""
    seconds: float
    """Mean time of a network."""


def members(benchmark: Benchmark, space: SearchSpace, cells: int, seed: int) -> list[Member]:
    """So many different members of the table, drawn uniformly from the space; all of a smaller space's.

    Raises :class:`DataError` when the table knows less than two of those that were drawn.
    """
    found: dict[Genotype, float] = {}
    for genotype in _drawn(space, cells, seed):
        if len(found) == cells:
            break
        if genotype not in found:
            try:
                found[genotype] = benchmark.test(genotype)
            except NotInSpace:  # with searched parts, others may be there
                continue
    if len(found) < 2:
        raise DataError(f"Of {cells} members of the space the table knows {len(found)}: ask for more, or for another space.")
    return [Member(genotype, accuracy) for genotype, accuracy in found.items()]


def _drawn(space: SearchSpace, cells: int, seed: int) -> Iterator[Genotype]:
    draws = rng(seed, "bench", "cells")
    if cells >= space.size:
        for choice in itertools.product(*(range(len(decision.options)) for decision in space.decisions)):
            yield space.decode(choice)
    for _ in range(DRAWS_A_CELL * cells):
        yield space.sample(draws)


def estimates(
    benchmark: Benchmark, drawn: Sequence[Member], parts: Sequence[Part], progress: Callable[[int, int], None]
) -> list[Estimates]:
    """Each estimator on each member, for samples and classes of the table's data. ``progress`` hears of every number."""
    total = len(parts) * len(drawn)
    found: list[Estimates] = []
    for part in parts:
        estimator = part.build()
        values: list[float | None] = []
        start = time.perf_counter()
        for member in drawn:
            try:
                values.append(float(estimator.estimate(member.genotype, benchmark.shape, benchmark.classes).value))
            except NastkError:
                values.append(None)
            progress(len(found) * len(drawn) + len(values), total)
        found.append(Estimates(part.name, tuple(values), (time.perf_counter() - start) / len(drawn)))
    return found
