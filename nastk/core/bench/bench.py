"""Many seeds of strategies in a table, random search beside them; and estimators of a network's worth against the table."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nastk.core.bench.entering import asked_estimators, check_numbers, check_objective, check_seconds, names, prepared
from nastk.core.bench.outcome import BenchResult, Optimum, Score
from nastk.core.bench.regret import Objective, Trajectory, optimum
from nastk.core.bench.statistics import against, stats, summarise
from nastk.core.bench.tournament import HOUR, Progress, tournament, unheard
from nastk.core.config import Part, unstructure
from nastk.core.errors import NastkError
from nastk.core.run.manifest import manifest
from nastk.core.run.tabular import TabularRun

if TYPE_CHECKING:
    from nastk.core.bench.correlation import Row

BASELINE = "random-search"
BUDGET, SEEDS, CELLS = 100, 50, 500


def bench(
    benchmark: str | Mapping[str, Any],
    strategies: str | Sequence[str] = (),
    *,
    budget: int = BUDGET,
    seeds: int = SEEDS,
    dataset: str | None = None,
    objective: Objective = "test",
    set: Sequence[str] = (),
    workers: int | None = None,
    seconds: float | None = None,
    estimators: str | Sequence[str] = (),
    cells: int = CELLS,
    progress: Progress = unheard,
) -> BenchResult:
    """Search a table with each strategy under the seeds 0 to ``seeds - 1``; random search is always among them.

    ``benchmark`` is a name, or a table with a name and settings. ``strategies`` and ``estimators`` are names, or a text of
    them with commas. A search ends after ``budget`` evaluations, or ``seconds`` of simulated training. ``objective`` is
    what an incumbent is worth: its ``test`` accuracy, or its ``validation`` accuracy after the longest training;
    incumbents are chosen on validation data in any case. ``set`` are ``path=value`` texts as those of ``nastk run``; a
    setting of a strategy is given to all that have it. ``workers`` are processes (default: one a core; 1: this one).
    ``cells`` are the members of the table that estimators are tried on. ``progress`` is told how many searches are done,
    and of how many. Raises :class:`NastkError` for all that a user can mend.
    """
    named, estimated = names(strategies, "strategy"), names(estimators, "estimator")
    if not named and not estimated:
        raise NastkError("Name what to compare: a strategy (--strategy regularized-evolution) or an estimator (--estimators).")
    workers = workers if workers is not None else os.cpu_count() or 1
    check_numbers(budget=budget, seeds=seeds, workers=workers, seconds=seconds, cells=cells)
    check_objective(objective)
    part = {"name": benchmark} if isinstance(benchmark, str) else dict(benchmark)
    if dataset is not None:
        part["dataset"] = dataset
    playing = named if BASELINE in named or not named else [*named, BASELINE]
    asked, others = asked_estimators(estimated, set)
    runs = prepared(part, playing or [BASELINE], budget, None if seconds is None else seconds / HOUR, others)
    if seconds is not None:
        check_seconds(runs[0])
    if seeds > 1 and named:
        stats()  # said before hours of work, not after
    entered = runs[: len(playing)]  # none where estimators alone are asked for: then a run lends its table
    start = time.perf_counter()
    played = tournament(entered, seeds, objective, workers, progress) if entered else []
    spent = time.perf_counter() - start
    whole = manifest(runs[0].config, runs[0].device)
    return BenchResult(
        benchmark=part["name"],
        dataset=None if (table := runs[0].config.benchmark) is None else getattr(table.config, "dataset", None),
        objective=objective,
        optimum=_optimum(runs[0], objective, played),
        budget=budget,
        seconds=seconds,
        seeds=seeds,
        baseline=BASELINE if len(playing) > 1 else None,
        scores=_scores(entered, played),
        estimators=_estimated(runs[0], asked, cells, progress),
        manifest={name: entry for name, entry in whole.items() if name not in ("schema", "config")},
        workers=workers,
        wall_seconds=spent,
    )


def _optimum(run: TabularRun, objective: Objective, played: Sequence[Sequence[Trajectory]]) -> Optimum:
    best = optimum(run.benchmark, run.space, objective)
    if best is not None:
        return Optimum(best, "table")
    return Optimum(max(change.value for runs in played for one in runs for change in one.changes), "best seen")


def _scores(runs: Sequence[TabularRun], played: Sequence[Sequence[Trajectory]]) -> tuple[Score, ...]:
    """One a strategy, the others tested against random search where there are several seeds."""
    values = {run.config.strategy.name: [one.final for one in ended] for run, ended in zip(runs, played, strict=True)}
    others = [name for name, found in values.items() if name != BASELINE and len(found) > 1]
    tested = dict(zip(others, against(values[BASELINE], [values[name] for name in others]), strict=True)) if others else {}
    scores = []
    for run, ended in zip(runs, played, strict=True):
        name = run.config.strategy.name
        config = {key: entry for key, entry in unstructure(run.config).items() if key != "seed"}
        scores.append(Score(name, config, tuple(ended), summarise(values[name]), tested.get(name)))
    return tuple(scores)


def _estimated(run: TabularRun, parts: Sequence[Part], cells: int, progress: Progress) -> tuple[Row, ...]:
    if not parts:
        return ()
    from nastk.core.bench.correlation import correlate

    return tuple(correlate(run.benchmark, run.space, parts, cells, 0, progress))
