"""What a report says of a study: conclusions, tables and pictures of every metric, effects, fronts. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nastk.core.ablation.conclusions import conclusions, number, signed
from nastk.core.ablation.outcome import MetricOutcome, Row
from nastk.core.ablation.statistics import Paired
from nastk.core.ablation.tables import EFFECTS, HEADINGS
from nastk.core.report.amounts import DASH, table_at
from nastk.core.report.charts import Mark, scatter
from nastk.core.report.gather import StudyData
from nastk.core.report.intervals import metric_chart
from nastk.core.report.markup import Html, joined, table, tag
from nastk.core.report.sections import Part, grid, repeat_section, section

QUALITY = "test.accuracy"


def study_sections(study: StudyData, prefix: str, level: int) -> list[Part]:
    """All of a study, the conclusions first."""
    result = study.result
    seeds = ", ".join(map(str, result.seeds))
    open_ = f"{result.missing} runs are not done." if result.missing else "No run is missing."
    about = tag("p", f"Baseline: {result.baseline}. Seeds: {seeds}. {open_}", class_="note")
    concluded = tag("ul", [tag("li", sentence) for sentence in conclusions(result)])
    failed = [tag("li", f"{label}, seed {seed}: {' '.join(why.split())}") for label, seed, why in result.failed]
    repeat = "nastk ablate study.toml"
    found: list[tuple[str, str, Sequence[Html | None]]] = [
        ("conclusions", "What can be concluded, and what cannot", [about, concluded]),
        *((f"metric-{nth + 1}", _heading(one), _metric(one)) for nth, one in enumerate(result.metrics)),
        ("fronts", "Accuracy and what it costs", [grid(_fronts(result.metrics))]),
        ("seeds", "Every number", [_numbers(one, result.seeds) for one in result.metrics]),
        ("failed", "Failed runs", [tag("ul", failed) if failed else None]),
        ("methods", "Methods", [tag("ul", [tag("li", note) for note in result.notes])]),
    ]
    parts: list[Part] = [
        (f"{prefix}-{key}", name, section(f"{prefix}-{key}", name, level, *inside)) for key, name, inside in found
    ]
    settings = repeat_section(study.manifest, table_at(study.manifest, "study"), prefix, level, repeat)
    return [*parts, (f"{prefix}-repeat", "To repeat it", settings)]


def _heading(found: MetricOutcome) -> str:
    return f"{found.metric.heading} ({found.metric.better} is better)"


def _metric(found: MetricOutcome) -> list[Html | None]:
    rows = table(f"{found.metric.heading} by cell", HEADINGS, [_cells(row) for row in found.rows], "figures")
    effects = None
    if found.effects:
        cells = [(effect.name, *_compared(effect.paired)) for effect in found.effects]
        effects = table(f"Effects of the factors on {found.metric.heading}", EFFECTS, cells, "figures")
    return [metric_chart(found), rows, effects]


def _cells(row: Row) -> tuple[object, ...]:
    own = row.described
    label = f"{row.label} (baseline)" if row.role == "baseline" else row.label
    spread = "" if own.deviation is None else f" ± {number(own.deviation)}"
    compared = _compared(row.against)[1:]
    return (label, str(own.n), number(own.mean) + spread, _between(own.low, own.high), number(own.median), *compared)


def _compared(paired: Paired | None) -> tuple[object, ...]:
    """Pairs, difference, interval, effect sizes, p-values, what could have been shown; what is clear stands out."""
    if paired is None:
        return (DASH,) * 8
    difference = tag("strong", signed(paired.mean)) if paired.clear else signed(paired.mean)
    values = (DASH if p is None else f"{p:.2g}" for p in (paired.p, paired.holm))
    sizes = (number(paired.d_z), number(paired.g))
    return (str(paired.n), difference, _between(paired.low, paired.high), *sizes, *values, number(paired.detectable))


def _between(low: float | None, high: float | None) -> str:
    return DASH if low is None or high is None else f"{number(low)} to {number(high)}"


def _fronts(metrics: Sequence[MetricOutcome]) -> list[Html | None]:
    """The means of the cells: accuracy against every metric of which less is better."""
    quality = next((found for found in metrics if found.metric.path == QUALITY), None)
    if quality is None:
        return []
    worth = {row.digest: row.described.mean for row in quality.rows}
    charts = []
    for found in metrics:
        if found.metric.better != "lower":
            continue
        marks = [
            Mark(row.described.mean, mean / quality.metric.scale, row.label, 0 if row.role == "baseline" else 1)
            for row in found.rows
            if row.described.mean is not None and (mean := worth.get(row.digest)) is not None
        ]
        looks = {0: "baseline", 1: "another cell"}
        title = f"Means of the cells: accuracy and {found.metric.path}"
        charts.append(scatter(marks, title, found.metric.heading, "test accuracy", looks=looks))
    return charts


def _numbers(found: MetricOutcome, seeds: Sequence[int]) -> Html:
    rows = [(row.label, *(number(row.values.get(seed)) for seed in seeds)) for row in found.rows]
    whole = table(f"{found.metric.heading} by seed", ("cell", *(f"seed {seed}" for seed in seeds)), rows, "figures")
    return tag("details", tag("summary", joined([found.metric.heading, " by seed"])), whole)
