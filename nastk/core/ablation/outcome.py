"""What a study came to: every number, summed up and compared. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from nastk.core.ablation.effects import Effect, effects
from nastk.core.ablation.ledger import Entry
from nastk.core.ablation.metrics import Metric
from nastk.core.ablation.plan import Plan, Role, StudyCell
from nastk.core.ablation.statistics import TESTS, Described, Paired, Test, compared, described

SCHEMA = 1
INTERVALS = (
    "interval of a mean: 95 % bootstrap (BCa, 9,999 draws); of a difference: 95 % by Student's t. A pair are two runs of one seed"
)

DETECTABLE = (
    "detectable: the smallest true difference that a paired t-test shows with a power of 0.8 at 0.05, "
    "if pairs differ as much as these do."
)


@frozen
class Row:
    """A cell under one metric, in the metric's unit."""

    label: str
    role: Role
    digest: str
    values: Mapping[int, float]
    """By seed."""
    described: Described
    against: Paired | None
    """Minus the baseline, pair by pair; ``None`` for the baseline itself."""


@frozen
class MetricOutcome:
    """One metric over all cells."""

    metric: Metric
    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]

    @property
    def comparisons(self) -> int:
        """How many comparisons with the baseline were tested together."""
        return sum(row.against is not None and row.against.p is not None for row in self.rows)


@frozen
class StudyResult:
    """What :func:`nastk.ablate` gives."""

    directory: Path
    baseline: str
    seeds: tuple[int, ...]
    test: Test
    metrics: tuple[MetricOutcome, ...]
    failed: tuple[tuple[str, int, str], ...]
    """Cell, seed and reason of every run that failed."""
    missing: int
    """Runs that are not done and have not failed: above 0 while a study goes on."""
    notes: tuple[str, ...]

    def of(self, path: str) -> MetricOutcome:
        """A metric by its path; ``KeyError`` when it is none of the study's."""
        return {found.metric.path: found for found in self.metrics}[path]

    def document(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {"schema": SCHEMA, **attrs.asdict(self), "directory": str(self.directory)}


def outcome(plan: Plan, entries: Sequence[Entry], directory: Path) -> StudyResult:
    """Sum up what is in a ledger. Raises :class:`NastkError` without scipy."""
    labels = {cell.digest: cell.label for cell in plan.cells}
    here = [entry for entry in entries if entry.cell in labels and entry.seed in plan.study.seeds]
    done = {(entry.cell, entry.seed): entry.figures for entry in here if entry.state == "done"}
    failed = tuple((labels[e.cell], e.seed, e.reason) for e in here if e.state == "failed")
    return StudyResult(
        directory=directory,
        baseline=plan.baseline.label,
        seeds=plan.study.seeds,
        test=plan.study.settings.test,
        metrics=tuple(_metric(plan, metric, done) for metric in plan.study.metrics),
        failed=failed,
        missing=len(plan.cells) * len(plan.study.seeds) - len(done) - len(failed),
        notes=(f"{INTERVALS}.", f"p: {TESTS[plan.study.settings.test]}; corrected over the cells by Holm's method.", DETECTABLE),
    )


def _metric(plan: Plan, metric: Metric, done: Mapping[tuple[str, int], Mapping[str, float]]) -> MetricOutcome:
    def numbers(cell: StudyCell) -> dict[int, float]:
        found = {seed: done.get((cell.digest, seed), {}).get(metric.path) for seed in plan.study.seeds}
        return {seed: value * metric.scale for seed, value in found.items() if value is not None}

    values = {cell.digest: numbers(cell) for cell in plan.cells}
    base = values[plan.baseline.digest]
    others = [cell for cell in plan.cells if cell.role != "baseline"]
    pairs = [[values[cell.digest][seed] - base[seed] for seed in base if seed in values[cell.digest]] for cell in others]
    test = plan.study.settings.test
    against = dict(zip((cell.digest for cell in others), compared(pairs, test), strict=True))
    rows = tuple(
        Row(
            cell.label,
            cell.role,
            cell.digest,
            values[cell.digest],
            described([*values[cell.digest].values()]),
            against.get(cell.digest),
        )
        for cell in plan.cells
    )
    grid = [(cell.values, values[cell.digest]) for cell in plan.cells if cell.in_grid]
    found = effects(plan.study.factors, plan.baseline.values, grid, test) if grid else ()
    return MetricOutcome(metric, rows, found)
