"""Rows of dots with intervals, as a study is drawn: every seed, the mean, and the difference to the baseline. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nastk.core.ablation.conclusions import number, signed
from nastk.core.ablation.outcome import MetricOutcome, Row
from nastk.core.report.amounts import short
from nastk.core.report.axes import Scale, domain, drawing, place, ticks
from nastk.core.report.charts import figure
from nastk.core.report.markup import Child, Html, tag

NAMES, PANEL, GAP, ROW = 182.0, 290.0, 26.0, 30.0
HEAD, FOOT = 26.0, 24.0
LONGEST = 26
"""Letters of a label; a longer one is cut in the picture, not in its words."""


def metric_chart(found: MetricOutcome) -> Html | None:
    """Two panels, a row a cell: left the seeds (dots) with their mean and its 95 % interval, right the mean paired difference
    to the baseline with its 95 % interval, and a line at none. ``None`` while there is no number.
    """
    rows = found.rows
    if not any(row.values for row in rows):
        return None
    height = HEAD + ROW * len(rows) + FOOT
    own = [v for row in rows for v in (*row.values.values(), row.described.low, row.described.high) if v is not None]
    apart = [v for row in rows if row.against for v in (row.against.mean, row.against.low, row.against.high) if v is not None]
    left = Scale(*domain(own), NAMES, NAMES + PANEL)
    right = Scale(*domain([0.0, *apart]), NAMES + PANEL + GAP, NAMES + 2 * PANEL + GAP)
    bottom = HEAD + ROW * len(rows)
    parts: list[Child] = [_panel(left, found.metric.heading, bottom), _panel(right, _difference(found), bottom)]
    parts.append(tag("line", x1=place(right(0.0)), x2=place(right(0.0)), y1=place(HEAD), y2=place(bottom), class_="zero"))
    for nth, row in enumerate(rows):
        parts.append(_row(row, HEAD + ROW * (nth + 0.5), left, right))
    alt = f"{found.metric.path} by cell, {found.metric.better} is better: " + "; ".join(map(_said, rows))
    picture = drawing(parts, alt, NAMES + 2 * PANEL + GAP + 14, height, class_="intervals")
    note = "Dots: seeds. Diamonds: means. Bars: 95 % intervals, of the mean by bootstrap, of the difference by Student's t."
    scroll = tag("div", picture, class_="scroll", tabindex="0", role="region", aria_label=f"Picture of {found.metric.path}")
    return figure("The cells, and their differences to the baseline", [scroll, tag("p", note, class_="note")], "wide")


def _difference(found: MetricOutcome) -> str:
    return "difference to the baseline" + (f", {found.metric.points}" if found.metric.points else "")


def _panel(x: Scale, name: str, bottom: float) -> Html:
    parts: list[Child] = [tag("text", name, x=place((x.start + x.end) / 2), y="14", class_="name middle")]
    for value in ticks(x.low, x.high, 5):
        at = place(x(value))
        parts.append(tag("line", x1=at, x2=at, y1=place(HEAD), y2=place(bottom), class_="rule"))
        parts.append(tag("text", short(value), x=at, y=place(bottom + 16), class_="tick middle"))
    return tag("g", parts, aria_hidden="true")


def _row(row: Row, y: float, left: Scale, right: Scale) -> Html:
    look = "s0" if row.role == "baseline" else "s1"
    label = row.label if len(row.label) <= LONGEST else row.label[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    parts: list[Child] = [tag("title", _said(row)), tag("text", label, x=place(NAMES - 8), y=place(y + 4), class_="tick end")]
    parts += [
        tag("circle", cx=place(left(value)), cy=place(y + 8), r="3", class_=f"dot {look}")
        for value in sorted(row.values.values())
    ]
    parts += _mean(row.described.mean, row.described.low, row.described.high, y, left, look)
    if row.against is not None:
        parts += _mean(row.against.mean, row.against.low, row.against.high, y, right, look)
    return tag("g", parts)


def _mean(mean: float | None, low: float | None, high: float | None, y: float, x: Scale, look: str) -> Sequence[Child]:
    if mean is None:
        return ()
    parts = []
    if low is not None and high is not None:
        parts.append(tag("line", x1=place(x(low)), x2=place(x(high)), y1=place(y), y2=place(y), class_=f"interval {look}"))
    diamond = tag("path", d="M0-5L5 0L0 5L-5 0Z", transform=f"translate({place(x(mean))} {place(y)})", class_=f"mean {look}")
    return [*parts, diamond]


def _said(row: Row) -> str:
    own = row.described
    text = f"{row.label}, n = {own.n}, mean {number(own.mean)}"
    if own.low is not None:
        text += f" ({number(own.low)} to {number(own.high)})"
    if row.against is not None and row.against.mean is not None:
        text += f", difference {signed(row.against.mean)}"
    return text
