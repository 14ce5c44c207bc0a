"""What a report says at its top: the title, one line of verdict, and several runs beside each other. Torch-free."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from nastk.core.ablation.conclusions import conclusions
from nastk.core.report.amounts import DASH, amount, number_at, percent, span
from nastk.core.report.charts import Mark, scatter
from nastk.core.report.gather import RunData, StudyData
from nastk.core.report.markup import Html, table, tag
from nastk.core.report.sections import grid, section

PAID = {
    ("parameters",): "parameters",
    ("nos", "test", "total"): "spikes an image (test)",
    ("energy_nj", "value"): "energy, nJ an image",
}
"""Numbers of a result that an accuracy is paid with."""


def title_of(runs: Sequence[RunData], studies: Sequence[StudyData]) -> str:
    """What a report is about, in few words."""
    if len(runs) == 1 and not studies:
        return what(runs[0])
    if len(studies) == 1 and not runs:
        return f"Study {studies[0].path.resolve().name}"
    counted = ((len(runs), "run"), (len(studies), "study"))
    plural = {"run": "runs", "study": "studies"}
    return " and ".join(f"{n} {word if n == 1 else plural[word]}" for n, word in counted if n)


def what(run: RunData) -> str:
    """A run by its names: strategy, space, data."""
    searched = run.name("strategy") if run.result.get("strategy", "") is not None else ""
    first = f"{searched or 'a given genotype'} in {run.name('space') or '?'}"
    return f"{first} on {run.data or '?'}"


def verdict_of(runs: Sequence[RunData], studies: Sequence[StudyData]) -> list[str]:
    """What it came to: a sentence or two for each thing that the report is about."""
    sentences = [study_verdict(study) for study in studies]
    if len(runs) == 1:
        return [*sentences, run_verdict(runs[0])]
    groups = grouped(runs)
    for group in groups:
        found = [run.accuracy for run in group if run.accuracy is not None]
        if len(found) > 1:
            spread = f"{percent(statistics.mean(found))} ± {100 * statistics.stdev(found):.2f} points"
            sentences.append(f"{what(group[0])}: test accuracy {spread} over {len(found)} seeds.")
    tested = [run for run in runs if run.accuracy is not None]
    if tested:
        best = max(tested, key=lambda run: run.accuracy or 0.0)
        sentences.append(f"The most accurate of {len(tested)} tested runs is {best.path}, {percent(best.accuracy)}.")
    if open_ := len(runs) - len(tested):
        sentences.append(f"{open_} of {len(runs)} runs {'has' if open_ == 1 else 'have'} no test accuracy yet.")
    return sentences


def run_verdict(run: RunData) -> str:
    """What one run came to."""
    if run.accuracy is None:
        stage = run.timeline.stages[-1] if run.timeline.stages else None
        where = f" in {stage.name}, {stage.done} of {stage.total} {stage.unit}" if stage else " before its first stage"
        return f"{run.state.capitalize()}{where}: there is no test accuracy yet."
    parameters, spikes = number_at(run.result, "parameters"), number_at(run.result, "nos", "test", "total")
    costs = [f"{amount(parameters)} parameters"] if parameters is not None else []
    costs += [f"{amount(spikes)} spikes an image"] if spikes is not None else []
    low, high = number_at(run.result, "test", "ci95", 0), number_at(run.result, "test", "ci95", 1)
    interval = "" if low is None or high is None else f" (95 % interval {percent(low)} to {percent(high)})"
    paid = f" with {' and '.join(costs)}" if costs else ""
    return f"Test accuracy {percent(run.accuracy)}{interval}{paid}. One run of one seed: it says nothing about the spread."


def study_verdict(study: StudyData) -> str:
    """What a study came to, in its first metric."""
    result, first = study.result, study.result.metrics[0]
    cells = [row for row in first.rows if row.against is not None]
    name = f"Study {study.path.resolve().name}, {len(first.rows)} cells and {len(result.seeds)} seeds"
    shown = [row for row in cells if row.against is not None and row.against.clear]
    if result.missing:
        name += f", {result.missing} runs not done yet"
    if not shown:
        said = next(iter(conclusions(result)), "") if first.comparisons else f"{first.metric.path}: nothing can be compared yet."
        if "too few seeds" in said:
            return f"{name}: {first.metric.path}: too few seeds to conclude anything about any cell."
        return f"{name}: {said if 'nothing' in said else f'{first.metric.path}: no cell is shown to differ from the baseline.'}"
    better: list[str] = []
    worse: list[str] = []
    for row in shown:
        assert row.against is not None
        good = ((row.against.mean or 0.0) > 0) == (first.metric.better == "higher")
        (better if good else worse).append(row.label)
    words = [f"{', '.join(labels)} {word} than the baseline" for labels, word in ((better, "better"), (worse, "worse")) if labels]
    return f"{name}: {first.metric.path}: {'; '.join(words)} ({result.baseline})."


def grouped(runs: Sequence[RunData]) -> list[list[RunData]]:
    """The runs by their settings, the seed apart; in order."""
    found: dict[str, list[RunData]] = {}
    for run in runs:
        found.setdefault(run.setting, []).append(run)
    return list(found.values())


def overview_section(runs: Sequence[RunData]) -> Html | None:
    """Several runs beside each other: their results, their seeds summed up, and their front."""
    if len(runs) < 2:
        return None
    rows = [
        (
            str(run.path),
            what(run),
            DASH if run.seed is None else str(run.seed),
            run.state,
            percent(run.accuracy),
            *(amount(number_at(run.result, *path)) for path in PAID),
            span(number_at(run.result, "search", "seconds")),
        )
        for run in runs
    ]
    head = ("run", "what", "seed", "state", "test accuracy", *PAID.values(), "search")
    together = table("Results of all runs", head, rows, "figures named")
    return section("overview", "All runs", 2, together, _seeds(runs), grid(_fronts(runs)))


def _seeds(runs: Sequence[RunData]) -> Html:
    """Mean and deviation of the runs that differ in their seed alone."""
    rows = []
    for group in grouped(runs):
        seeds = ", ".join(str(run.seed) for run in group)
        cells = [_spread([run.accuracy for run in group], 100.0)]
        cells += [_spread([number_at(run.result, *path) for run in group]) for path in PAID]
        tested = sum(run.accuracy is not None for run in group)
        rows.append((", ".join(str(run.path) for run in group), what(group[0]), seeds, str(tested), *cells))
    head = ("runs", "what", "seeds", "n", "test accuracy, %", *PAID.values())
    note = tag("p", "Mean ± standard deviation (n - 1) of the runs whose settings differ in the seed alone.", class_="note")
    return tag("div", table("Seeds", head, rows, "figures named"), note)


def _spread(values: Sequence[float | None], scale: float = 1.0) -> str:
    found = [scale * value for value in values if value is not None]
    if not found:
        return DASH
    mean = amount(statistics.mean(found))
    return mean if len(found) == 1 else f"{mean} ± {amount(statistics.stdev(found))}"


def _fronts(runs: Sequence[RunData]) -> list[Html | None]:
    looks = {run.setting: i for i, run in enumerate(group[0] for group in grouped(runs))}
    names: Mapping[int, str] = {looks[run.setting]: f"{what(run)} ({looks[run.setting] + 1})" for run in runs}
    charts = []
    for path, name in PAID.items():
        marks = [
            Mark(cost, run.accuracy, f"{run.path}", looks[run.setting])
            for run in runs
            if run.accuracy is not None and (cost := number_at(run.result, *path)) is not None
        ]
        charts.append(scatter(marks, f"Test accuracy and {name}", name, "test accuracy", looks=names))
    return charts
