"""Pictures as PNG and SVG: cells and curves. Matplotlib is imported when a picture is drawn, pyplot never.

Equal arguments give equal bytes (with the same matplotlib): no date, a fixed hash salt, and none of the user's style settings.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from nastk.core.cell.graph import Cell, Edge
from nastk.core.draw.cell_layout import LABEL_PT, Layout, Route, layout, printable, text_width
from nastk.core.errors import OutputError

DPI = 160
INK, SLATE, GREY, LINE = "#1a1a1a", "#3A3F47", "#595959", "#9a9a9a"
# Okabe and Ito, "Color Universal Design" (2008)
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
STYLE: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",  # words stay words: small files, and they can be searched
    "svg.hashsalt": "nastk",
    "axes.formatter.useoffset": False,
}


@frozen
class Family:
    """A kind of operations: its name in the legend, its colour for lines and borders, the tint of its boxes."""

    name: str
    colour: str
    tint: str
    dashes: tuple[float, ...] = ()


CONV = Family("convolution", "#0067A8", "#DCEBF7")
SEPARABLE = Family("separable convolution", "#007F5F", "#D6F0E6")
DILATED = Family("dilated convolution", "#B8468C", "#F8E1EE")
POOL = Family("pooling", "#C28400", "#FCEBC8")
SKIP = Family("skip", "#2B99D1", "#E6F5FD", (5.0, 2.0))
ATTENTION = Family("attention", "#9E2F00", "#FCE3D4")
ABSENT = Family("none", "#7A7A7A", "#F4F4F4", (1.0, 2.0))
OTHER = Family("other", "#3D3D3D", "#E8E8E8")
MIXTURE = Family("mixture", "#3F2A7A", "#E7E3F5")
FAMILIES = (CONV, SEPARABLE, DILATED, POOL, SKIP, ATTENTION, ABSENT, OTHER, MIXTURE)

_WORDS = (
    (ABSENT, r"none|zero|zeroize"),
    (SKIP, r"skip|identity|id|residual|shortcut"),
    (POOL, r"\w*pool\w*"),
    (ATTENTION, r"att|attn|\w*attention\w*|se|ssa|eca|bam|cbam|tcja|tcsa|sma"),
    (DILATED, r"dil|dilated|atrous"),
    (SEPARABLE, r"sep|separable|dw|depthwise|mbconv"),
    (CONV, r"\w*conv\w*"),
)


def family(edge: Edge) -> Family:
    """The family of an edge's operation, by the words of its name: ``sep_conv_3x3`` is a separable convolution."""
    if len(edge.candidates) > 1:
        return MIXTURE
    words = re.split(r"[^a-z0-9]+", edge.op.lower())
    return next((kind for kind, pattern in _WORDS if any(re.fullmatch(pattern, word) for word in words)), OTHER)


def draw_cell(cell: Cell, title: str, stem: Path, subtitle: str = "") -> tuple[Path, Path]:
    """Draw a cell to ``stem.png`` (1600 pixels wide, more for very deep cells) and ``stem.svg``; both paths are returned.

    An edge with several candidates shows their number. ``OutputError`` when the files cannot be written.
    """
    with _style():
        from matplotlib.figure import Figure

        plan = layout(cell)
        kinds = [kind for kind in FAMILIES if any(family(edge) == kind for edge in cell.edges)]
        mixtures = {edge.candidates for edge in cell.edges if len(edge.candidates) > 1}
        notes = _wrap("candidates: " + ", ".join(map(printable, mixtures.pop())), plan.width - 1.0) if len(mixtures) == 1 else []
        half = -(-len(kinds) // 2)
        legend = [kinds] if sum(map(_swatch, kinds)) < plan.width - 0.5 else [kinds[:half], kinds[half:]]
        foot = 0.46 + 0.26 * len(legend) + 0.18 * len(notes)
        head = 1.0 if subtitle else 0.8
        height = foot + plan.height + head
        figure = Figure(figsize=(plan.width, height), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, xticks=[], yticks=[])
        axes.set(xlim=(0, plan.width), ylim=(0, height))
        pen = _Pen(axes, foot)
        pen.routes(plan)
        pen.spots(plan, cell.inputs)
        pen.text(plan.width / 2, height - 0.36 - foot, title, 13, INK, room=plan.width - 0.8, weight="bold")
        if subtitle:
            pen.text(plan.width / 2, height - 0.62 - foot, subtitle, 9, GREY, room=plan.width - 0.8)
        for row, part in enumerate(reversed(legend)):
            pen.legend(part, plan.width / 2, 0.3 + 0.26 * row + 0.18 * len(notes) - foot)
        for row, note in enumerate(notes):
            pen.text(plan.width / 2, 0.12 + 0.18 * (len(notes) - 1 - row) + 0.06 - foot, note, 7.5, GREY)
        return _save(figure, stem, title)


def draw_curves(
    series: Mapping[str, Sequence[tuple[float, float]]], title: str, xlabel: str, ylabel: str, stem: Path
) -> tuple[Path, Path]:
    """Draw named lines through ``(x, y)`` points to ``stem.png`` (1280 pixels wide) and ``stem.svg``; both paths are returned.

    A value that is not finite leaves a gap. ``OutputError`` when the files cannot be written.
    """
    with _style():
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        figure = Figure(figsize=(8.0, 4.5), dpi=DPI, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15))
        axes = figure.add_subplot()
        for i, (name, points) in enumerate(series.items()):
            kept = [(x, y if math.isfinite(y) else math.nan) for x, y in points if math.isfinite(x)]
            look: dict[str, Any] = {"color": CYCLE[i % len(CYCLE)], "marker": MARKERS[i % len(MARKERS)], "markersize": 4.5}
            style = ("-", "--", ":")[i // len(CYCLE) % 3]
            sparse = max(1, len(kept) // 12)
            x, y = [x for x, _ in kept], [y for _, y in kept]
            axes.plot(x, y, style, linewidth=1.8, label=_literal(name), markevery=sparse, **look)
        axes.set_title(_literal(title), loc="left", fontsize=12, fontweight="bold", color=INK, pad=12)
        axes.set_xlabel(_literal(xlabel), color=INK)
        axes.set_ylabel(_literal(ylabel), color=INK)
        axes.grid(axis="y", color="#E3E3E3", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(color=LINE, labelcolor=INK)
        if len(series) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0.0)
        return _save(figure, stem, title)


class _Pen:
    """Draws on axes whose unit is the inch, everything ``foot`` inches up."""

    def __init__(self, axes: Any, foot: float) -> None:
        self.axes = axes
        self.foot = foot

    def text(self, x: float, y: float, text: str, size: float, colour: str, room: float = math.inf, **look: Any) -> None:
        """One line of text by its middle, made smaller where it would not fit ``room``."""
        size *= min(1.0, room / max(1e-6, 1.08 * text_width(text, size)))
        # letters stand on one base line whatever their descenders
        y += self.foot - 0.36 * size / 72
        look = {"ha": "center", "va": "baseline", "parse_math": False, **look}
        self.axes.text(x, y, printable(text), fontsize=size, color=colour, zorder=6, **look)

    def routes(self, plan: Layout) -> None:
        """Lines with their heads, then the labels above all lines."""
        from matplotlib.patches import FancyBboxPatch

        ranked = sorted(plan.routes, key=lambda route: route.edge is not None)
        for rank, route in enumerate(ranked):
            self.line(route, 2 + rank / len(ranked))
        for route in plan.routes:
            if route.edge is None or route.box is None:
                continue
            kind, box, round_ = family(route.edge), route.box, 0.07
            corner = (box.x - box.width / 2, box.y - box.height / 2 + self.foot)
            shape = f"round,pad=0,rounding_size={round_}"
            look: dict[str, Any] = {"facecolor": kind.tint, "edgecolor": kind.colour, "linewidth": 1.0, "zorder": 5}
            self.axes.add_patch(FancyBboxPatch(corner, box.width, box.height, boxstyle=shape, **look))
            self.text(box.x, box.y, route.text, LABEL_PT, INK)

    def line(self, route: Route, z: float) -> None:
        """A curve with a white rim, so that crossings can be read, and a head that points into the circle it meets."""
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path as Curve

        kind = family(route.edge) if route.edge else None
        colour, width = (kind.colour, 1.5) if kind else (LINE, 0.9)
        length, half = (0.12, 0.048) if kind else (0.09, 0.036)
        points = [(x, y + self.foot) for x, y in route.curve]
        (x, y), (before_x, before_y) = points[-1], points[-2]
        away = math.hypot(before_x - x, before_y - y)
        u = ((before_x - x) / away, (before_y - y) / away)
        neck = (x + length * u[0], y + length * u[1])
        points[-1] = (x + 0.8 * length * u[0], y + 0.8 * length * u[1])  # the line ends within its head
        curve = Curve(points, [Curve.MOVETO] + [Curve.CURVE4] * (len(points) - 1))
        dashes = (0, kind.dashes) if kind and kind.dashes else "solid"
        for ink, thick, dash in (("white", width + 2.0, "solid"), (colour, width, dashes)):
            look: dict[str, Any] = {"edgecolor": ink, "linewidth": thick, "linestyle": dash, "zorder": z, "capstyle": "butt"}
            self.axes.add_patch(PathPatch(curve, fill=False, **look))
        wings = [(neck[0] - half * u[1], neck[1] + half * u[0]), (x, y), (neck[0] + half * u[1], neck[1] - half * u[0])]
        self.axes.add_patch(Polygon(wings, closed=True, facecolor=colour, linewidth=0, zorder=3))

    def spots(self, plan: Layout, inputs: int) -> None:
        """The nodes: inputs and the output dark, inner nodes light."""
        from matplotlib.patches import Circle

        for i, spot in enumerate(plan.spots):
            inner = inputs <= i < len(plan.spots) - 1
            fill = "white" if inner else SLATE
            look: dict[str, Any] = {"facecolor": fill, "edgecolor": SLATE, "linewidth": 1.4, "zorder": 4}
            self.axes.add_patch(Circle((spot.x, spot.y + self.foot), spot.radius, **look))
            if inner or spot.label == "in":
                self.text(spot.x, spot.y, spot.label, 9.5, INK if inner else "white")
            else:
                self.text(spot.x, spot.y, f"${spot.label}$", 9.5, "white", parse_math=True)

    def legend(self, kinds: Sequence[Family], x: float, y: float) -> None:
        """One row of families about ``x``."""
        from matplotlib.patches import FancyBboxPatch

        x -= (sum(map(_swatch, kinds)) - 0.3) / 2
        for kind in kinds:
            look: dict[str, Any] = {"facecolor": kind.tint, "edgecolor": kind.colour, "linewidth": 1.0}
            shape = "round,pad=0,rounding_size=0.04"
            self.axes.add_patch(FancyBboxPatch((x, y - 0.07 + self.foot), 0.26, 0.14, boxstyle=shape, **look))
            self.text(x + 0.34, y, kind.name, 8, INK, ha="left")
            x += _swatch(kind)


def _swatch(kind: Family) -> float:
    """The width of a family in the legend, with the gap after it."""
    return 0.36 + 0.94 * text_width(kind.name, 8) + 0.3


def _literal(text: str) -> str:
    """Text in which a dollar sign is a dollar sign, not the begin of mathematics."""
    return printable(text).replace("$", r"\$")


def _wrap(text: str, room: float) -> list[str]:
    """The text in lines that fit ``room`` inches at 7.5 points."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, 7.5) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults and our style, whatever the user has set; the user's settings come back afterwards."""
    import matplotlib as mpl

    chosen: Any = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"} | STYLE
    with mpl.rc_context(chosen):
        yield


def _save(figure: Any, stem: Path, title: str) -> tuple[Path, Path]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": printable(title)})
    paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path, data in zip(paths, (png, svg), strict=True):
            path.write_bytes(data.getvalue())
    except OSError as error:
        raise OutputError(f"The picture {stem} cannot be written: {error}.") from error
    return paths
