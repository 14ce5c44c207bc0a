"""Cells as SVG in the page's colours, from the places that :mod:`nastk.core.draw.cell_layout` gives. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from nastk.core.cell.graph import NONE, Cell, Genotype
from nastk.core.draw.cell_layout import Layout, Route, Spot, layout, node_labels
from nastk.core.draw.draw import FAMILIES, Family, family
from nastk.core.report.axes import drawing, place
from nastk.core.report.charts import figure
from nastk.core.report.markup import Child, Html, tag

INCH = 96.0
"""Units of the drawing for an inch of the layout."""
MARGIN = 0.12
"""Inches around what is drawn."""
EDGE_MARKS, END_MARKS = ("after_every", "both"), ("end", "both")
"""Locations of attention by where it is marked."""


def cell_figures(genotype: Genotype) -> list[Html]:
    """A picture of every cell of a genotype, with its attention where it stands."""
    attention = str(genotype.part("attention", "none"))
    location = str(genotype.part("attention_location", "after_every")) if attention != NONE else ""
    return [_figure(name, cell, attention, location) for name, cell in genotype.cells]


def described(name: str, cell: Cell, attention: str = NONE) -> str:
    """A cell in words: which operation leads from where to where."""
    labels = [plain_label(label) for label in node_labels(cell)]
    nodes = []
    for node in cell.inner:
        arrivals = ", ".join(f"{edge.label} from {labels[edge.src]}" for edge in cell.into(node)) or "nothing"
        nodes.append(f"node {labels[node]} gets {arrivals}")
    ends = ", ".join(labels[node] for node in cell.outputs)
    gate = "" if attention == NONE else f"; attention {attention}"
    return f"{name} cell: {'; '.join(nodes)}; its output is made of {ends}{gate}"


def _figure(name: str, cell: Cell, attention: str, location: str) -> Html:
    plan = layout(cell)
    low, high = _reach(plan)
    top = high + MARGIN
    gated = {edge for edge in cell.edges if edge.attention != NONE or (location in EDGE_MARKS and edge.op != NONE)}
    at_end = location in END_MARKS
    parts: list[Child] = [_route(route, top) for route in sorted(plan.routes, key=lambda route: route.edge is not None)]
    parts += [_label(route, top, route.edge in gated) for route in plan.routes]
    parts += [_spot(spot, i, cell, plan, top) for i, spot in enumerate(plan.spots)]
    if at_end:
        parts.append(_gate(plan.spots[-1].x + plan.spots[-1].radius + 0.1, plan.spots[-1].y, top))
    alt = described(name, cell, attention)
    picture = drawing(parts, alt, plan.width * INCH, (high - low + 2 * MARGIN) * INCH, class_="cell")
    scroll = tag("div", picture, class_="scroll", tabindex="0", role="region", aria_label=f"Picture of the {name} cell")
    kinds = [kind for kind in FAMILIES if any(family(edge) == kind for edge in cell.edges)]
    return figure(f"{name} cell", [scroll, _legend(kinds, attention if gated or at_end else "")], "wide")


def _reach(plan: Layout) -> tuple[float, float]:
    """The lowest and the highest inch that a line, a label or a circle comes to."""
    heights = [y for route in plan.routes for _, y in route.points()]
    heights += [route.box.y + side * route.box.height / 2 for route in plan.routes if route.box for side in (-1, 1)]
    heights += [spot.y + side * spot.radius for spot in plan.spots for side in (-1, 1)]
    return min(heights), max(heights)


def _legend(kinds: Sequence[Family], attention: str) -> Html:
    entries = [tag("li", tag("span", class_=f"box {_class(kind)}", aria_hidden="true"), kind.name) for kind in kinds]
    if attention:
        diamond = tag("path", d="M7 1L13 7L7 13L1 7Z", class_="gate")
        sign = tag("svg", diamond, viewBox="0 0 14 14", width="14", height="14", aria_hidden="true")
        entries.append(tag("li", sign, f"attention: {attention.replace('|', ' or ')}"))
    return tag("ul", entries, class_="legend")


def _route(route: Route, top: float) -> Html:
    """A line with a rim, so that crossings can be read, and a head that points into the circle it meets."""
    kind = _class(family(route.edge)) if route.edge else "f-output"
    points = [(x * INCH, (top - y) * INCH) for x, y in route.curve]
    (x, y), (before_x, before_y) = points[-1], points[-2]
    length, half = (11.5, 4.6) if route.edge else (8.6, 3.4)
    away = math.hypot(before_x - x, before_y - y) or 1.0
    u, v = (before_x - x) / away, (before_y - y) / away
    points[-1] = (x + 0.8 * length * u, y + 0.8 * length * v)
    first, rest = points[0], points[1:]
    d = f"M{_at(first)}C{' '.join(map(_at, rest))}"
    neck = (x + length * u, y + length * v)
    wings = ((neck[0] - half * v, neck[1] + half * u), (x, y), (neck[0] + half * v, neck[1] - half * u))
    head = tag("polygon", points=" ".join(f"{place(a)},{place(b)}" for a, b in wings), class_=f"head {kind}")
    said = None if route.edge is None else tag("title", route.edge.label)
    return tag("g", said, tag("path", d=d, class_="rim"), tag("path", d=d, class_=f"wire {kind}"), head)


def _label(route: Route, top: float, marked: bool) -> Html | None:
    if route.edge is None or route.box is None:
        return None
    box, kind = route.box, _class(family(route.edge))
    left, upper = (box.x - box.width / 2) * INCH, (top - box.y - box.height / 2) * INCH
    sides = {"x": place(left), "y": place(upper), "width": place(box.width * INCH), "height": place(box.height * INCH)}
    text = tag("text", route.text, x=place(box.x * INCH), y=place((top - box.y) * INCH + 4), class_="op middle")
    gate = _gate(box.x + box.width / 2 + 0.09, box.y, top) if marked else None
    return tag("g", tag("title", route.edge.label), tag("rect", **sides, rx="6", class_=f"box {kind}"), text, gate)


def _gate(x: float, y: float, top: float) -> Html:
    """The mark of attention."""
    spot = f"translate({place(x * INCH)} {place((top - y) * INCH)})"
    return tag("path", tag("title", "attention"), d="M0-6L6 0L0 6L-6 0Z", transform=spot, class_="gate")


def _spot(spot: Spot, nth: int, cell: Cell, plan: Layout, top: float) -> Html:
    inner = cell.inputs <= nth < len(plan.spots) - 1
    x, y = place(spot.x * INCH), (top - spot.y) * INCH
    circle = tag("circle", cx=x, cy=place(y), r=place(spot.radius * INCH), class_="node inner" if inner else "node outer")
    base, _, sub = spot.label.partition("_")
    lowered = tag("tspan", sub.strip("{}"), dy="4", class_="sub") if sub else None
    text = tag("text", base, lowered, x=x, y=place(y + 4), class_=f"at middle {'inner' if inner else 'outer'}")
    return tag("g", circle, text)


def plain_label(label: str) -> str:
    """A node's label as plain text: ``c(k-2)`` for ``c_{k-2}``."""
    return label.replace("_", "").replace("{", "(").replace("}", ")")


def _class(kind: Family) -> str:
    return "f-" + re.sub(r"[^a-z]+", "-", kind.name)


def _at(point: tuple[float, float]) -> str:
    return f"{place(point[0])} {place(point[1])}"
