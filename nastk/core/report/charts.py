"""Charts as SVG that follows the page's colours: lines, small multiples, points with a front, bars. Torch-free.

A series is told by its dashes and markers too, not by its colour alone. What a line shows stands beside it as plain numbers, for
a script that shows them under the pointer; without a script nothing is missing but that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from nastk.core.report.amounts import amount, percent, short
from nastk.core.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Form,
    Scale,
    domain,
    drawing,
    frame,
    path,
    place,
    ticks,
)
from nastk.core.report.markup import Child, Html, tag
from nastk.core.report.timeline import Point, thinned

COLOURS = 8
"""Looks of series that the style sheet has; more series begin again."""
MOST_POINTS, MOST_SMALL = 400, 100
MARKED = 10
"""Markers on a line at most."""
SMALL_WIDTH, SMALL_HEIGHT = 190.0, 112.0


@frozen
class Series:
    """A named line: points in order of x."""

    name: str
    points: Sequence[Point]
    look: int | None = None
    """Number of its colour, dashes and marker; ``None``: its place in the chart."""
    dots: bool = False
    """Whether its points stand alone, without a line."""


@frozen
class Mark:
    """A point of a scatter: where, what it is, and the number of its colour."""

    x: float
    y: float
    name: str
    look: int = 0


def line_chart(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    *,
    form: Form = "number",
    zero: bool = False,
    limits: tuple[float, float] | None = None,
) -> Html | None:
    """Lines over whole steps; ``None`` where no series has a point."""
    lines = _prepared(series, MOST_POINTS)
    if not lines:
        return None
    xs = [x for one in lines for x, _ in one.points]
    low, high = min(xs), max(xs)
    x = Scale(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)
    y = Scale(*domain((v for one in lines for _, v in one.points), zero=zero, limits=limits), HEIGHT - BOTTOM, TOP)
    drawn = [_line(one, x, y) for one in lines]
    plot = " ".join(f"{value:.6g}" for value in (x.low, x.high, x.start, x.end, y.start, y.end))
    steps = [(value, short(value)) for value in ticks(x.low, x.high, whole=True)]
    parts = [frame(x, y, x_label, y_label, y_form=form, x_ticks=steps), drawn]
    said = "; ".join(f"{one.name} from {_said(one.points[0][1], form)} to {_said(one.points[-1][1], form)}" for one in lines)
    alt = f"{title}, over {x_label} {short(low)} to {short(high)}: {said}"
    picture = drawing(parts, alt, class_="plot", data_plot=plot, data_form=form, data_x=x_label)
    named = len(lines) > 1 or lines[0].name not in title.lower()
    return figure(title, [legend([(one.name, _look(one)) for one in lines]) if named else None, picture])


def small_chart(title: str, series: Sequence[Series], most: float = 1.0) -> Html | None:
    """A small picture of lines between 0 and ``most``, for one of many; ``None`` where no series has a point."""
    lines = _prepared(series, MOST_SMALL)
    if not lines:
        return None
    xs = [x for one in lines for x, _ in one.points]
    low, high = min(xs), max(xs)
    x = Scale(low, high if high > low else low + 1, 26.0, SMALL_WIDTH - 8)
    y = Scale(0.0, most, SMALL_HEIGHT - 18, 20.0)
    parts: list[Child] = [tag("text", title, x="26", y="12", class_="name")]
    for value in (0.0, most):
        at = place(y(value))
        parts.append(tag("line", x1=place(x.start), x2=place(x.end), y1=at, y2=at, class_="rule"))
        parts.append(tag("text", short(value), x="22", y=place(y(value) + 4), class_="tick end"))
    for value, anchor in ((low, "start"), (high, "end")):
        parts.append(tag("text", short(value), x=place(x(value)), y=place(SMALL_HEIGHT - 4), class_=f"tick {anchor}"))
    parts += [_line(one, x, y, small=True) for one in lines]
    last = sorted(((one.points[-1][1], one.name) for one in lines), reverse=True)
    alt = f"{title}, at the end: " + ", ".join(f"{name} {value:.3f}" for value, name in last)
    return drawing([tag("title", alt), *parts], alt, SMALL_WIDTH, SMALL_HEIGHT, class_="small")


def scatter(
    marks: Sequence[Mark], title: str, x_label: str, y_label: str, *, looks: Mapping[int, str], form: Form = "share"
) -> Html | None:
    """Points, ``y`` the more the better and ``x`` the less, with the front of those that no other one beats in both."""
    if len(marks) < 2:
        return None
    x = Scale(*domain(mark.x for mark in marks), LEFT, WIDTH - RIGHT)
    y = Scale(*domain((mark.y for mark in marks), limits=(0.0, 1.0) if form == "share" else None), HEIGHT - BOTTOM, TOP)
    best = front(marks)
    stairs: list[Point | None] = []
    for mark in best:
        if stairs and stairs[-1] is not None:
            stairs.append((x(mark.x), stairs[-1][1]))
        stairs.append((x(mark.x), y(mark.y)))
    dots, ahead = [], set(best)
    for mark in marks:
        said = f"{mark.name}: {_said(mark.y, form)} at {amount(mark.x)}"
        look = f"dot s{mark.look % COLOURS}" + (" best" if mark in ahead else "")
        dots.append(tag("circle", tag("title", said), cx=place(x(mark.x)), cy=place(y(mark.y)), r="4.5", class_=look))
    parts = [frame(x, y, x_label, y_label, y_form=form), tag("path", d=path(stairs), class_="front"), dots]
    names = ", ".join(f"{mark.name} ({_said(mark.y, form)}, {amount(mark.x)})" for mark in best[:8])
    alt = f"{title}: {len(marks)} points, {len(best)} on the front: {names}"
    keys = [(name, look) for look, name in looks.items() if any(mark.look == look for mark in marks)]
    note = tag("p", f"Line: the front, {len(best)} of {len(marks)} points that no other one beats in both.", class_="note")
    return figure(title, [legend(keys, dots=True) if len(keys) > 1 else None, drawing(parts, alt, class_="plot"), note])


def front(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that no other one beats: none has at most its ``x`` and at least its ``y``, one of them better. By ``x``."""
    found: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.x, -mark.y)):
        if not found or mark.y > found[-1].y or (mark.x, mark.y) == (found[-1].x, found[-1].y):
            found.append(mark)
    return found


def bar_chart(groups: Sequence[str], series: Sequence[Series], title: str, x_label: str, y_label: str) -> Html | None:
    """Bars side by side: for each group one of each series, whose points are ``(number of the group, height)``."""
    shown = _prepared(series, MOST_POINTS)
    if not shown:
        return None
    y = Scale(*domain((v for one in shown for _, v in one.points), zero=True), HEIGHT - BOTTOM, TOP)
    x = Scale(-0.5, len(groups) - 0.5, LEFT, WIDTH - RIGHT)
    room = 0.8 / len(shown)
    bars: list[Child] = []
    for nth, one in enumerate(shown):
        for group, value in one.points:
            left, right = x(group - 0.4 + nth * room), x(group - 0.4 + (nth + 0.92) * room)
            top = min(y(value), y(0.0))
            height = abs(y(value) - y(0.0))
            said = tag("title", f"{one.name}, {groups[int(group)]}: {amount(value)}")
            place_of = {"x": place(left), "y": place(top), "width": place(max(1.0, right - left)), "height": place(height)}
            bars.append(tag("rect", said, **place_of, class_=f"bar s{_look(one)}"))
    every = -(-len(groups) // 12)
    names = [(float(i), name) for i, name in enumerate(groups) if i % every == 0]
    parts = [frame(x, y, x_label, y_label, x_ticks=names), bars]
    told = "; ".join(f"{one.name} " + ", ".join(f"{groups[int(g)]} {amount(v)}" for g, v in one.points) for one in shown)
    keys = [(one.name, _look(one)) for one in shown]
    return figure(title, [legend(keys) if len(keys) > 1 else None, drawing(parts, f"{title}: {told}", class_="plot")])


def legend(names: Sequence[tuple[str, int]], dots: bool = False) -> Html:
    """What each look stands for, lines or dots; the page's script makes switches of the entries for lines."""
    keys = [tag("li", _swatch(look, dots), name, class_="key", data_name=name) for name, look in names]
    return tag("ul", keys, class_="legend")


def _swatch(look: int, dot: bool) -> Html:
    """A piece of a line, or a dot, as a legend shows it."""
    if dot:
        circle = tag("circle", cx="6", cy="6", r="4.5", class_=f"dot s{look % COLOURS}")
        return tag("svg", circle, viewBox="0 0 12 12", width="12", height="12", aria_hidden="true")
    line = tag("path", d="M1 6H27", class_=f"line s{look % COLOURS}")
    return tag("svg", line, _marker(look, 14.0, 6.0), viewBox="0 0 28 12", width="28", height="12", aria_hidden="true")


def figure(title: str, parts: Sequence[Child], class_: str = "chart") -> Html:
    """A picture with its title."""
    return tag("figure", tag("figcaption", title), parts, class_=class_)


def _prepared(series: Sequence[Series], most: int) -> list[Series]:
    """Those that have points, each with a look of its own."""
    looks = (nth if one.look is None else one.look for nth, one in enumerate(series))
    return [
        evolve(one, points=thinned(one.points, most), look=look) for look, one in zip(looks, series, strict=True) if one.points
    ]


def _look(one: Series) -> int:
    return (one.look or 0) % COLOURS


def _line(one: Series, x: Scale, y: Scale, small: bool = False) -> Html:
    look = _look(one)
    places = [(x(a), y(b)) for a, b in one.points]
    parts = [] if one.dots else [tag("path", d=path(places), class_=f"line s{look}")]
    if small:
        return tag("g", tag("title", one.name), parts, class_="series", data_name=one.name)
    parts += [_marker(look, *at) for at in (places if one.dots else thinned(places, MARKED))]
    xs, ys = (" ".join(f"{value:.5g}" for value in column) for column in zip(*one.points, strict=True))
    return tag("g", parts, class_="series", data_name=one.name, data_x=xs, data_y=ys)


def _marker(look: int, x: float, y: float) -> Html:
    """A circle, square, diamond or triangle."""
    class_, kind = f"marker s{look % COLOURS}", look % 4
    if kind == 0:
        return tag("circle", cx=place(x), cy=place(y), r="2.8", class_=class_)
    d = {1: "M-2.6-2.6H2.6V2.6H-2.6Z", 2: "M0-3.6L3.6 0L0 3.6L-3.6 0Z", 3: "M0-3.4L3.4 2.6H-3.4Z"}[kind]
    return tag("path", d=d, transform=f"translate({place(x)} {place(y)})", class_=class_)


def _said(value: float, form: Form) -> str:
    return percent(value) if form == "share" else amount(value)
