"""The tables of a study: Markdown with its conclusions, LaTeX with booktabs, and every number as CSV. Torch-free."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import attrs

from nastk.core.ablation.conclusions import NONE, as_list, conclusions, number, signed
from nastk.core.ablation.outcome import Row, StudyResult
from nastk.core.ablation.statistics import Described, Paired

HEADINGS = (
    "cell",
    "n",
    "mean ± sd",
    "95 % interval",
    "median",
    "difference",
    "95 % interval",
    "d_z",
    "g",
    "p",
    "p (Holm)",
    "detectable",
)
EFFECTS = ("effect", "n", "difference", "95 % interval", "d_z", "g", "p", "p (Holm)", "detectable")
_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}


def markdown(result: StudyResult, title: str) -> str:
    """``table.md``: one table a metric, the effects of a grid below it, conclusions, failures and methods."""
    parts = [f"# {title}\n", f"Baseline: {result.baseline}. Seeds: {', '.join(map(str, result.seeds))}.\n"]
    for found in result.metrics:
        better = f"{found.metric.heading} ({found.metric.better} is better)"
        parts += [f"## {better}\n", _table(HEADINGS, [_cells(row) for row in found.rows])]
        if found.effects:
            parts.append(_table(EFFECTS, [[effect.name, *_compared(effect.paired)] for effect in found.effects]))
    parts += ["## What can be concluded, and what cannot\n", as_list(conclusions(result))]
    if result.failed:
        parts += ["## Failed runs\n", as_list([f"{label}, seed {seed}: {_line(why)}" for label, seed, why in result.failed])]
    return "\n".join([*parts, "## Methods\n", as_list(result.notes)])


def latex(result: StudyResult) -> str:
    """``table.tex``: one ``tabular`` a metric, for the package booktabs."""
    parts = [f"% Baseline: {result.baseline}. {' '.join(result.notes)}\n% \\usepackage{{booktabs}}\n"]
    for found in result.metrics:
        rows = [" & ".join(map(_tex, _cells(row))) + r" \\" for row in found.rows]
        head = " & ".join(map(_tex, HEADINGS)) + r" \\"
        lines = [
            f"% {found.metric.heading}, {found.metric.better} is better",
            rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}",
            *(r"\toprule", head, r"\midrule", *rows, r"\bottomrule"),
            r"\end{tabular}",
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def comma_separated(result: StudyResult) -> str:
    """``table.csv``: a line for each metric and cell, unrounded; then the numbers themselves, ``seed N``."""
    stream = io.StringIO()
    of_cell = [a.name for a in attrs.fields(Described)]
    of_pair = [a.name for a in attrs.fields(Paired)]
    head = ["metric", "unit", "cell", "role", *of_cell, *(f"difference_{name}" for name in of_pair)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*head, *(f"seed {seed}" for seed in result.seeds)])
    for found in result.metrics:
        for row in found.rows:
            pair = ["" if row.against is None else getattr(row.against, name) for name in of_pair]
            numbers = [row.values.get(seed, "") for seed in result.seeds]
            own = [getattr(row.described, name) for name in of_cell]
            writer.writerow([found.metric.path, found.metric.unit, row.label, row.role, *own, *pair, *numbers])
    return stream.getvalue()


def _cells(row: Row) -> list[str]:
    own = row.described
    spread = "" if own.deviation is None else f" ± {number(own.deviation)}"
    label = f"{row.label} (baseline)" if row.role == "baseline" else row.label
    mean = NONE if own.mean is None else f"{number(own.mean)}{spread}"
    compared = _compared(row.against)
    return [label, str(own.n), mean, _between(own.low, own.high), number(own.median), *compared[1:]]


def _compared(paired: Paired | None) -> list[str]:
    if paired is None:
        return [NONE] * 8
    interval = _between(paired.low, paired.high)
    return [
        str(paired.n),
        signed(paired.mean),
        interval,
        *map(number, (paired.d_z, paired.g)),
        *map(_p, (paired.p, paired.holm)),
        number(paired.detectable),
    ]


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"


def _between(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{number(low)} to {number(high)}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _tex(text: str) -> str:
    return re.sub(r"[\\~^±&%$#_{}]", lambda found: _ESCAPES.get(found[0], "\\" + found[0]), text)


def _line(text: str) -> str:
    return " ".join(text.split())
