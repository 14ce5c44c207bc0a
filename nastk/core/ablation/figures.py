"""Pictures of a study: every seed as a dot, means with their intervals, and differences to the baseline beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

from nastk.core.ablation.outcome import MetricOutcome, Row
from nastk.core.draw.draw import CYCLE, DPI, GREY, INK, LINE, STYLE

BASELINE, OTHER = CYCLE[0], CYCLE[1]
WIDTH, ROW_INCHES, MARGIN_INCHES = 9.0, 0.42, 1.5


def draw_metric(found: MetricOutcome, form: Literal["png", "svg"]) -> bytes:
    """A picture of two panels, a row a cell: left the seeds (small dots), mean and bootstrap interval; right the mean paired
    difference to the baseline with Student's interval, and a line at none. Equal results give equal bytes.
    """
    import matplotlib as mpl

    chosen: Any = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"} | STYLE
    with mpl.rc_context(chosen):
        return _drawn(found, form)


def _drawn(found: MetricOutcome, form: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = found.rows
    figure = Figure(figsize=(WIDTH, MARGIN_INCHES + ROW_INCHES * len(rows)), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    own, difference = figure.subplots(1, 2, sharey=True)
    for y, row in enumerate(rows):
        _own(own, y, row)
        _difference(difference, y, row)
    difference.axvline(0.0, color=GREY, linewidth=1.2, zorder=1)
    own.set_yticks(range(len(rows)), [row.label for row in rows])
    own.set_ylim(len(rows) - 0.5, -0.5)
    own.set_xlabel(f"{found.metric.heading}\ndots: seeds; diamond: mean, 95 % bootstrap interval", color=INK)
    unit = f", {found.metric.points}" if found.metric.points else ""
    difference.set_xlabel(f"difference to the baseline{unit}\nmean of pairs, 95 % interval", color=INK)
    for axes in (own, difference):
        axes.grid(axis="x", color="#EBEBEB", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(color=LINE, labelcolor=INK)
    title = f"{found.metric.path}: {found.metric.better} is better"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    stream = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None, "Title": title}
    figure.savefig(stream, format=form, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def _own(axes: Any, y: int, row: Row) -> None:
    colour = BASELINE if row.role == "baseline" else OTHER
    values: Sequence[float] = sorted(row.values.values())
    axes.plot(values, [y + 0.18] * len(values), "o", color=colour, alpha=0.45, markersize=4, markeredgewidth=0)
    _mean(axes, y, row.described.mean, row.described.low, row.described.high, colour)


def _difference(axes: Any, y: int, row: Row) -> None:
    if row.against is not None:
        _mean(axes, y, row.against.mean, row.against.low, row.against.high, OTHER)


def _mean(axes: Any, y: int, mean: float | None, low: float | None, high: float | None, colour: str) -> None:
    if mean is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=2.0, solid_capstyle="round")
    axes.plot([mean], [y], "D", color=colour, markersize=6)
