"""The frame of a chart: from numbers to places, round numbers for its ticks, and the SVG of grid and labels. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import frozen

from nastk.core.report.amounts import short
from nastk.core.report.markup import Html, joined, tag

WIDTH, HEIGHT = 480.0, 270.0
"""Of a chart, in units of its drawing; a page shows it larger or smaller."""
LEFT, RIGHT, TOP, BOTTOM = 66.0, 14.0, 10.0, 42.0
Form = Literal["number", "share"]


@frozen
class Scale:
    """A line from numbers to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def place(value: float) -> str:
    """A coordinate with one digit, as short as it gets."""
    return f"{value:.1f}".removesuffix(".0")


def ticks(low: float, high: float, most: int = 6, whole: bool = False) -> list[float]:
    """At most ``most`` round numbers in ``[low, high]``, a round step apart; ``whole`` ones where asked for.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / max(1, most - 1)
    power = math.floor(math.log10(rough)) if rough > 0 else 0
    steps = [m * 10.0**p for p in (power, power + 1) for m in (1.0, 2.0, 2.5, 5.0)]
    if whole:
        steps = [step for step in steps if step >= 1 and step == int(step)] or [1.0]
    for step in steps:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(i * step, 12) for i in range(first, last + 1)]
    return [low, high]


def domain(
    values: Iterable[float], *, zero: bool = False, pad: float = 0.06, limits: tuple[float, float] | None = None
) -> tuple[float, float]:
    """The range of an axis: that of the values with some room, from zero where asked for, never beyond ``limits``."""
    found = list(values)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    room = pad * (high - low) or 0.05 * abs(high) or 1.0
    below = low if zero and low == 0 else low - room
    above = high + room
    if limits is not None:
        below, above = max(limits[0], below), min(limits[1], above)
    return (below, above) if above > below else (below - 0.5, above + 0.5)


def frame(
    x: Scale, y: Scale, x_label: str, y_label: str, *, y_form: Form = "number", x_ticks: Sequence[tuple[float, str]] | None = None
) -> Html:
    """Grid, ticks and labels of both axes; ``x_ticks`` are places and their names, round numbers unless given."""
    if x_ticks is None:
        x_ticks = [(value, label(value)) for value in ticks(x.low, x.high)]
    parts: list[Html] = []
    for value in ticks(y.low, y.high):
        at = place(y(value))
        parts.append(tag("line", x1=place(x.start), x2=place(x.end), y1=at, y2=at, class_="rule"))
        parts.append(tag("text", label(value, y_form), x=place(x.start - 6), y=place(y(value) + 4), class_="tick end"))
    for value, name in x_ticks:
        at = place(x(value))
        parts.append(tag("line", x1=at, x2=at, y1=place(y.start), y2=place(y.start + 4), class_="axis"))
        parts.append(tag("text", name, x=at, y=place(y.start + 17), class_="tick middle"))
    parts.append(tag("line", x1=place(x.start), x2=place(x.end), y1=place(y.start), y2=place(y.start), class_="axis"))
    middle_x, middle_y = place((x.start + x.end) / 2), place((y.start + y.end) / 2)
    parts.append(tag("text", x_label, x=middle_x, y=place(y.start + 35), class_="name middle"))
    parts.append(tag("text", y_label, x="0", y="0", transform=f"translate(12 {middle_y}) rotate(-90)", class_="name middle"))
    return tag("g", parts, aria_hidden="true")


def label(value: float, form: Form = "number") -> str:
    """A tick's number."""
    return f"{100 * value:.4g} %" if form == "share" else short(value)


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """The ``d`` of a line through points; ``None`` leaves a gap."""
    found, begun = [], False
    for point in points:
        if point is not None:
            found.append(f"{'L' if begun else 'M'}{place(point[0])} {place(point[1])}")
        begun = point is not None
    return "".join(found)


def drawing(parts: Iterable[object], alt: str, width: float = WIDTH, height: float = HEIGHT, **attributes: object) -> Html:
    """A whole picture, said in words by ``alt``."""
    box = f"0 0 {place(width)} {place(height)}"
    return tag("svg", joined(parts), viewBox=box, role="img", aria_label=alt, **attributes)
