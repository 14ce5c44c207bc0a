"""Regret curves: the mean of each strategy on a logarithmic axis, a band about it, its name at its end."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nastk.core.bench.regret import Trajectory, curves
from nastk.core.bench.statistics import CONFIDENCE, stats
from nastk.core.draw.draw import CYCLE, DPI, INK, LINE, STYLE

if TYPE_CHECKING:
    from nastk.core.bench.outcome import BenchResult

MOMENTS = 400
LABEL_POINTS = 10.0
EMPTY = (0.01, 10.0)
"""Percentage points of the axis where every seed was at the optimum from the start."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
"""Lines differ in dashes too, for prints without colour."""


def draw_regret(result: BenchResult, form: Literal["png", "svg"]) -> bytes:
    """A picture of 1280 by 800 pixels (PNG) or the same as SVG.

    Mean simple regret over evaluations, in percentage points; over simulated seconds where the searches are limited by
    them. The band is the 95 % interval of the mean (Student). Where all seeds are at the optimum the line leaves the
    picture: zero has no place on a logarithmic axis. Equal results give equal bytes.
    """
    import matplotlib as mpl

    chosen: Any = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"} | STYLE
    with mpl.rc_context(chosen):
        return _drawn(result, form)


def _drawn(result: BenchResult, form: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis: Literal["evaluations", "seconds"] = "evaluations" if result.seconds is None else "seconds"
    moments_M = _moments(result)
    figure = Figure(figsize=(8.0, 5.0), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.1, 0.125, 0.655, 0.74))
    ends, least, most = [], math.inf, 0.0
    for i, score in enumerate(result.scores):
        colour = CYCLE[i % len(CYCLE)]
        mean_M, half_M = _mean_and_half(score.runs, moments_M, result.optimum.value, axis)
        kept = mean_M > 0
        axes.plot(moments_M, np.where(kept, mean_M, np.nan), color=colour, linestyle=DASHES[i % len(DASHES)], linewidth=2.0)
        low_M = np.where(kept, np.maximum(mean_M - half_M, 1e-9), np.nan)
        axes.fill_between(moments_M, low_M, mean_M + half_M, color=colour, alpha=0.18, linewidth=0)
        if kept.any():
            last = mean_M[kept][-1]
            ends.append((last, score.strategy, colour))
            shown = mean_M[kept & (moments_M >= _first_shown(result, moments_M))]
            least, most = min(least, last / 1.6), max(most, float(shown.max(initial=last)) * 1.3)
    axes.set_yscale("log")
    axes.set_xlim(moments_M[0], moments_M[-1])
    axes.set_ylim(*((least, most) if ends else EMPTY))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _label(axes, ends)
    n = result.seeds
    axes.set_title(_title(result), loc="left", fontsize=12, fontweight="bold", color=INK, pad=22)
    subtitle = f"mean of {n} seeds" + (f", band: {100 * CONFIDENCE:.0f} % interval of the mean" if n > 1 else "")
    axes.text(0.0, 1.02, subtitle, transform=axes.transAxes, fontsize=9, color=INK)
    axes.set_xlabel("evaluations" if axis == "evaluations" else "simulated training, seconds", color=INK)
    axes.set_ylabel(f"{result.objective} regret, percentage points", color=INK)
    axes.grid(axis="y", color="#EBEBEB", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=INK)
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None, "Title": _title(result)}
    figure.savefig(stream, format=form, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def _title(result: BenchResult) -> str:
    return f"{result.benchmark}, {result.dataset}" if result.dataset else result.benchmark


def _moments(result: BenchResult) -> NDArray[np.float64]:
    if result.seconds is None:
        return np.arange(1, result.budget + 1, dtype=np.float64)
    return np.linspace(0.0, result.seconds, MOMENTS)


def _first_shown(result: BenchResult, moments_M: NDArray[Any]) -> float:
    """The first moment at which every seed of every strategy has an incumbent: before it, regret says nothing."""
    axis = 0 if result.seconds is None else 1
    firsts = [run.changes[0][axis] for score in result.scores for run in score.runs if run.changes]
    return float(min(max(firsts, default=0.0), moments_M[-1]))


def _mean_and_half(
    runs: Sequence[Trajectory], moments_M: NDArray[Any], best: float, axis: Literal["evaluations", "seconds"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean regret in percentage points and half the width of its interval, each ``(M,)``."""
    regret_KM = 100 * curves(runs, moments_M, best, axis)
    mean_M = regret_KM.mean(axis=0)
    n = len(runs)
    if n < 2:
        return mean_M, np.zeros_like(mean_M)
    t = float(stats().t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return mean_M, t * regret_KM.std(axis=0, ddof=1) / math.sqrt(n)


def _label(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right end of their lines, moved apart where they would overlap."""
    height = axes.get_window_extent().height
    gap = 1.35 * LABEL_POINTS * DPI / 72 / height
    placed: list[tuple[float, str, str]] = []
    for value, name, colour in sorted(ends):
        y = float(axes.transAxes.inverted().transform(axes.transData.transform((1.0, value)))[1])
        placed.append((max(y, placed[-1][0] + gap) if placed else y, name, colour))
    for y, name, colour in placed:
        axes.text(1.015, y, name, transform=axes.transAxes, color=colour, fontsize=LABEL_POINTS, va="center", fontweight="bold")
