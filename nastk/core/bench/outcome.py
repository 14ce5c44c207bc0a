"""What a benchmark of strategies came to: typed, and as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs import frozen

from nastk.core.bench.regret import Objective, Trajectory
from nastk.core.bench.statistics import INTERVAL, TEST, Comparison, Summary

if TYPE_CHECKING:
    from nastk.core.bench.correlation import Row

SCHEMA = 1


@frozen
class Optimum:
    """What regret is measured from: the best value of the table, a share; of a table too large, the best that any seed saw."""

    value: float
    source: Literal["table", "best seen"]


@frozen
class Score:
    """What a strategy came to over its seeds."""

    strategy: str
    config: Mapping[str, Any]
    """The whole configuration of its runs, as a run file has it; the seed apart."""
    runs: tuple[Trajectory, ...]
    """One a seed, from seed 0 on."""
    value: Summary
    """Of the last incumbents, shares."""
    against: Comparison | None
    """Against the baseline; ``None`` for the baseline itself, and for single seeds."""

    @property
    def finals(self) -> list[float]:
        """The worth of the last incumbent of each seed."""
        return [run.final for run in self.runs]


@frozen
class BenchResult:
    """What :func:`nastk.bench` gives."""

    benchmark: str
    dataset: str | None
    """What the table's candidates were trained on, where it is a setting of the benchmark."""
    objective: Objective
    optimum: Optimum
    budget: int
    """Evaluations of a search."""
    seconds: float | None
    """Simulated seconds of a search, where they are limited."""
    seeds: int
    baseline: str | None
    """The strategy that the others are tested against; ``None`` when there is a single one."""
    scores: tuple[Score, ...]
    estimators: tuple[Row, ...]
    manifest: Mapping[str, Any]
    """Command, machine, versions, commit."""
    workers: int
    wall_seconds: float

    def score(self, strategy: str) -> Score:
        """The score of a strategy; ``KeyError`` when it did not play."""
        return {score.strategy: score for score in self.scores}[strategy]

    def document(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "schema": SCHEMA,
            **self.manifest,
            "benchmark": self.benchmark,
            "dataset": self.dataset,
            "objective": self.objective,
            "optimum": attrs.asdict(self.optimum),
            "budget": {"evaluations": self.budget, "seconds": self.seconds},
            "seeds": self.seeds,
            "baseline": self.baseline,
            "methods": {"interval": INTERVAL, "test": TEST},
            "workers": self.workers,
            "wall_seconds": self.wall_seconds,
            "strategies": [_plain(score, self.optimum.value) for score in self.scores],
            "estimators": [{k: _finite(v) for k, v in attrs.asdict(row).items()} for row in self.estimators],
        }


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(score: Score, best: float) -> dict[str, Any]:
    return {
        "strategy": score.strategy,
        "config": dict(score.config),
        "value": attrs.asdict(score.value),
        "mean_regret": best - score.value.mean,
        "against_baseline": None if score.against is None else attrs.asdict(score.against),
        "runs": [
            {
                "seed": run.seed,
                "final": run.final,
                "regret": best - run.final,
                "evaluations": run.evaluations,
                "failed": run.failed,
                "seconds": run.seconds,
                "changes": [list(change) for change in run.changes],
            }
            for run in score.runs
        ],
    }
