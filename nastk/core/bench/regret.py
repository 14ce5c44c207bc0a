"""Trajectories: what a user would have picked after so many evaluations, and what it falls short of the best. Torch-free."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import SearchSpace
from nastk.core.errors import DataError, NastkError

if TYPE_CHECKING:
    from nastk.core.run.benchmark import Benchmark
    from nastk.core.run.trial import Report

Objective = Literal["test", "validation"]
OBJECTIVES: tuple[Objective, ...] = ("test", "validation")
Value = Callable[[Genotype], float]
"""What a genotype is worth: a share in [0, 1], more is better."""
MOST_MEMBERS = 200_000
"""Members of a space up to which the best one is looked for in the table itself."""
NOTHING = 0.0
"""The worth of having found nothing: before the first trial that did not fail."""


class Change(NamedTuple):
    """A new incumbent: after how many evaluations, after how many simulated seconds (0 where unknown), what it is worth."""

    evaluations: int
    seconds: float
    value: float


@frozen
class Trajectory:
    """One seed of one strategy: its incumbents in order, and what it took."""

    seed: int
    changes: tuple[Change, ...]
    evaluations: int
    """Trials that were looked up, failed ones too; what was remembered is free."""
    failed: int
    seconds: float | None
    """Simulated seconds of training of all of them; ``None`` where the table has none."""

    @property
    def final(self) -> float:
        """The worth of the last incumbent; 0 when every trial failed."""
        return self.changes[-1].value if self.changes else NOTHING

    def at(self, moments_M: NDArray[Any], axis: Literal["evaluations", "seconds"] = "evaluations") -> NDArray[np.float64]:
        """The worth of the incumbent at each moment, ``(M,)``; 0 before the first."""
        when = np.array([getattr(change, axis) for change in self.changes], dtype=np.float64)
        values = np.array([NOTHING, *(change.value for change in self.changes)])
        found: NDArray[np.float64] = values[np.searchsorted(when, moments_M, side="right")]
        return found


def trajectory(seed: int, reports: Iterable[Report], value: Value, limit: float | None = None) -> Trajectory:
    """The trajectory of a search from its reports in order.

    The incumbent is what a user would pick: the best on validation data among the trials of the longest training so far;
    of equals the first. ``value`` is asked for incumbents alone. A failed trial counts as an evaluation and is never
    picked. With ``limit``, only trials that end within so many simulated seconds count.
    """
    changes: list[Change] = []
    best: tuple[float, float] = (-1.0, -1.0)
    count, failed, seconds, timed = 0, 0, 0.0, True
    for report in reports:
        figures = report.figures
        spent = figures.get("seconds")
        timed = timed and (spent is not None or report.failure is not None)
        if limit is not None and seconds + (spent or 0.0) > limit:
            break
        seconds += spent or 0.0
        count += 1
        if report.failure is not None:
            failed += 1
            continue
        rank = figures.get("epochs", report.proposal.epochs), report.accuracy
        if rank > best:
            best = rank
            changes.append(Change(count, seconds, value(report.proposal.genotype)))
    return Trajectory(seed, tuple(changes), count, failed, seconds if timed and count else None)


def value_of(benchmark: Benchmark, objective: Objective) -> Value:
    """What a member is worth in a table: its test accuracy, or its validation accuracy after the longest training."""
    if objective == "test":
        return benchmark.test
    longest = benchmark.epochs[-1]
    return lambda genotype: float(benchmark.look_up(genotype, longest)["accuracy"])


def optimum(benchmark: Benchmark, space: SearchSpace, objective: Objective) -> float | None:
    """The best value of all members of the table, a share; ``None`` for a space of more than 200,000 members.

    Raises :class:`DataError` when no member of the space is in the table.
    """
    if space.size > MOST_MEMBERS:
        return None
    value = value_of(benchmark, objective)
    best = -1.0
    for choice in itertools.product(*(range(len(decision.options)) for decision in space.decisions)):
        try:
            best = max(best, value(space.decode(choice)))
        except NastkError:  # with searched parts, not every member is in the table
            continue
    if best < 0:
        raise DataError("No member of the space is in the table.")
    return best


def curves(
    runs: Sequence[Trajectory], moments_M: NDArray[Any], best: float, axis: Literal["evaluations", "seconds"] = "evaluations"
) -> NDArray[np.float64]:
    """Simple regret of each run at each moment, ``(K, M)``: what the incumbent falls short of ``best``."""
    found: NDArray[np.float64] = best - np.stack([run.at(moments_M, axis) for run in runs])
    return found
