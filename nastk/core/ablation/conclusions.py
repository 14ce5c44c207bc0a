"""What can and what cannot be concluded, in words. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nastk.core.ablation.effects import Effect
from nastk.core.ablation.outcome import MetricOutcome, Row, StudyResult
from nastk.core.ablation.statistics import ALPHA, Paired, least_p, seeds_needed

NONE = "-"


def number(value: float | None) -> str:
    """Four digits; whole numbers from a thousand on, with their separators; a dash for none."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def signed(value: float | None) -> str:
    """The same with a sign."""
    return f"+{number(value)}" if value is not None and value >= 0 else number(value)


def conclusions(result: StudyResult) -> list[str]:
    """One sentence or two for each metric, each cell, each effect; and what is missing."""
    found: list[str] = []
    for metric in result.metrics:
        found += _of_metric(metric)
    if result.failed:
        found.append(f"{len(result.failed)} runs failed and are not in the numbers: they are no random choice, so look at why.")
    if result.missing:
        found.append(f"{result.missing} runs are not done yet: all of this may change.")
    return found


def _of_metric(found: MetricOutcome) -> list[str]:
    name = found.metric.path
    if not found.comparisons:
        return [f"{name}: nothing can be compared; a comparison needs two seeds that both cells have."]
    pairs = max(row.against.n for row in found.rows if row.against is not None and row.against.p is not None)
    if least_p(pairs) * found.comparisons > ALPHA:
        return [f"{name}: {_too_few(pairs, found)}"]
    power = f"{pairs} pairs can show a difference: the smallest p-value the test can give is {_short(least_p(pairs))}."
    rows = [f"{name}, {_row(row, found)}" for row in found.rows if row.against is not None]
    return [f"{name}: {power}", *rows, *_effects(found)]


def _too_few(pairs: int, found: MetricOutcome) -> str:
    """Why nothing can be concluded, and how large an effect would have to be."""
    least, comparisons, unit = least_p(pairs), found.comparisons, found.metric.points
    needed = [row.against.detectable for row in found.rows if row.against is not None and row.against.detectable]
    size = ""
    if needed:
        low, high = number(min(needed)), number(max(needed))
        between = low if low == high else f"{low} to {high}"
        size = f" By the spread of these pairs a paired t-test would ask for true differences of {between}{_unit(unit)}."
    return (
        f"too few seeds to conclude anything about any cell. With {pairs} pairs the smallest p-value the test can give is "
        f"{_short(least)}, {_short(min(1.0, least * comparisons))} corrected for {comparisons} comparisons, whatever the effect "
        f"is; at least {seeds_needed(comparisons)} seeds are needed.{size}"
    )


def _row(row: Row, found: MetricOutcome) -> str:
    paired = row.against
    assert paired is not None
    if paired.p is None:
        return f"{row.label}: no comparison, {paired.n} pairs."
    unit = found.metric.points
    if paired.clear and paired.mean:
        better = (paired.mean > 0) == (found.metric.better == "higher")
        verdict = "better" if better else "worse"
        return f"{row.label}: {verdict} than the baseline, {_difference(paired, unit)}."
    return f"{row.label}: no difference from the baseline is shown, {_difference(paired, unit)}. {_missed(paired, unit, found)}"


def _missed(paired: Paired, unit: str, found: MetricOutcome) -> str:
    """What would have been seen, so that nobody reads "not shown" as "none"."""
    if least_p(paired.n) * found.comparisons > ALPHA:
        return "With so few pairs of this cell no difference of any size could have been shown."
    if not paired.detectable:
        return "All pairs are equal."
    return (
        f"That is not to say there is none: at this n a true one of {number(paired.detectable)}{_unit(unit)} "
        "would be seen four times in five (one test at 0.05), smaller ones less often."
    )


def _effects(found: MetricOutcome) -> list[str]:
    if not found.effects:
        return []
    clear = [effect for effect in found.effects if effect.paired.clear]
    sentences = [f"{found.metric.path}, {_kind(effect)}: {_difference(effect.paired, found.metric.points)}." for effect in clear]
    if silent := len(found.effects) - len(clear):
        sentences.append(f"{found.metric.path}: {silent} of {len(found.effects)} effects of the factors are not shown.")
    return sentences


def _kind(effect: Effect) -> str:
    return f"{effect.name} changes it" if effect.kind == "main" else f"{effect.name} do more than they add up to"


def _difference(paired: Paired, unit: str) -> str:
    assert paired.mean is not None
    assert paired.low is not None
    assert paired.high is not None
    assert paired.holm is not None
    return (
        f"difference {signed(paired.mean)}{_unit(unit)} (95 % interval {number(paired.low)} to {number(paired.high)}, "
        f"n = {paired.n} pairs, p = {_short(paired.holm)} after Holm)"
    )


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _short(value: float) -> str:
    return f"{value:.2g}"


def as_list(sentences: Sequence[str]) -> str:
    """The sentences as a Markdown list."""
    return "".join(f"- {sentence}\n" for sentence in sentences)
