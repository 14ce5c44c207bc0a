"""Where the parts of a drawn cell go: a pure function from a cell to positions, in inches. Needs no torch, no matplotlib.

Nodes stand in columns by depth, labels in bands between the columns. A line turns only in the lanes beside a band, and
runs level through bands and columns, so it meets no label but its own and no node but its ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from nastk.core.cell.graph import Cell, Edge
from nastk.core.draw.layered import LABEL_HEIGHT, RADIUS, Layered, rows, spread

Point = tuple[float, float]

LABEL_PT = 8.0
WIDTH = 10.0
MARGIN = 0.35
LANE = (0.30, 1.10)  # least and greatest room for a line to turn, on each side of a band
STEEP = 0.25  # of a lane, at least, to its climb
LAST = 0.6  # of a lane, for the two before the output, where no labels are
LONGEST = 28  # characters of a label
PORT = math.radians(26)  # between the ends of two lines on a circle, where there is room
REACH = math.radians(58)  # the steepest end of a line
WIDE, NARROW = frozenset("mwMWGOQ@%&+<>=~#"), frozenset("ijl|.,:;'!I()[] ftr-/\\\"")


@frozen
class Box:
    """An upright box by its centre, inches, ``y`` upwards."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two boxes share more than an edge."""
        return (
            abs(self.x - other.x) * 2 < self.width + other.width and abs(self.y - other.y) * 2 < self.height + other.height
        )

    def distance(self, point: Point) -> float:
        """From a point to the box; 0 inside it."""
        away_x = abs(point[0] - self.x) - self.width / 2
        away_y = abs(point[1] - self.y) - self.height / 2
        return math.hypot(max(away_x, 0.0), max(away_y, 0.0))


@frozen
class Spot:
    """A node's circle: ``label`` is ``c_{k-2}``, ``in_0``, ``in``, ``c_k``, or an inner node's number."""

    label: str
    x: float
    y: float
    radius: float = RADIUS


@frozen
class Route:
    """One line: of an operation, or (``edge`` is None) from an output to ``c_k``.

    ``curve`` is a chain of cubic Bezier pieces, ``3 n + 1`` points; ``box`` has the place of ``text``.
    """

    edge: Edge | None
    curve: tuple[Point, ...]
    text: str = ""
    box: Box | None = None

    def points(self, steps: int = 16) -> Iterator[Point]:
        """Points along the curve, ``steps`` for each piece, then its end."""
        for start in range(0, len(self.curve) - 1, 3):
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = self.curve[start : start + 4]
            for step in range(steps):
                t = step / steps
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                yield a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy
        yield self.curve[-1]


@frozen
class Layout:
    """All places of a drawn cell. ``spots`` has the nodes in order, then ``c_k``; ``routes`` the edges, then the outputs."""

    width: float
    height: float
    spots: tuple[Spot, ...]
    routes: tuple[Route, ...]


def layout(cell: Cell) -> Layout:
    """The drawing of a cell without its drawing: where circles, lines and labels go.

    Deterministic; the fewest crossings that a search over orders finds. The width is 10 inches, more where deep cells need it.
    """
    texts = [edge_text(edge) for edge in cell.edges]
    widths = [max(0.3, text_width(text, LABEL_PT) + 0.12) for text in texts]
    graph = Layered(cell, widths)
    down = rows(graph)
    low = max(v + half for v, half in zip(down, graph.half, strict=True))
    high = min(v - half for v, half in zip(down, graph.half, strict=True))
    y = [low - v for v in down]
    width, sides = _columns(graph, y)
    middle = [(left + right) / 2 for left, right in sides]
    spots = [Spot(label, middle[2 * d], y[i]) for i, (label, d) in enumerate(zip(node_labels(cell), graph.depth, strict=True))]
    leave, meet = _ports(graph, spots, y)
    routes = []
    for i, chain in enumerate(graph.chains):
        first = 2 * graph.depth[chain[0]]
        levels = [(sides[first + k], y[item]) for k, item in enumerate(chain)][1:-1]
        if graph.band[i] is None:
            levels.pop()  # nothing stands in the last band
        curve = _curve(spots[chain[0]], leave[i], levels, spots[chain[-1]], meet[i])
        band = graph.band[i]
        if band is None:
            routes.append(Route(None, curve))
        else:
            box = Box(middle[band], y[chain[band - first]], widths[i], LABEL_HEIGHT)
            routes.append(Route(cell.edges[i], curve, texts[i], box))
    return Layout(width, low - high, tuple(spots), tuple(routes))


def text_width(text: str, points: float) -> float:
    """A safe estimate of a text's width in DejaVu Sans, in inches: no font is opened."""
    ems = sum(0.4 if c in NARROW else 1.0 if c in WIDE or not c.isascii() else 0.71 if c.isupper() else 0.63 for c in text)
    return ems * points / 72


def printable(text: str) -> str:
    """The text with what no font and no XML can show replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def edge_text(edge: Edge) -> str:
    """What stands on an edge: the operation, or the number of a mixture's candidates."""
    text = printable(edge.label) if len(edge.candidates) == 1 else f"{len(edge.candidates)} candidates"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def node_labels(cell: Cell) -> tuple[str, ...]:
    """The labels of the cell's nodes in order, then that of its output."""
    named = {1: ["in"], 2: ["c_{k-2}", "c_{k-1}"]}
    inputs = named.get(cell.inputs) or [f"in_{i}" if i < 10 else f"in_{{{i}}}" for i in range(cell.inputs)]
    return (*inputs, *(str(node - cell.inputs) for node in cell.inner), "c_k")


def _columns(graph: Layered, y: Sequence[float]) -> tuple[float, list[tuple[float, float]]]:
    """The width of the drawing, and the left and right side of each layer."""
    wide = [2 * RADIUS if at % 2 == 0 else max([graph.width[i] for i in order] or [0.0]) for at, order in enumerate(graph.layers)]
    # room to turn, so that a line that climbs past a circle does not graze it; no labels stand in the last two lanes
    climb = [max([abs(y[a] - y[b]) for a in order for b in graph.down[a]] or [0.0]) for order in graph.layers[:-1]]
    least = [max(LANE[0], STEEP * high) * (1.0 if at < len(climb) - 2 else LAST) for at, high in enumerate(climb)]
    width = max(WIDTH, 2 * MARGIN + sum(wide) + sum(least))
    grow = min(LANE[1] / LANE[0], (width - 2 * MARGIN - sum(wide)) / sum(least))
    lanes = [lane * grow for lane in least]
    x = (width - sum(wide) - sum(lanes)) / 2
    sides = []
    for w, lane in zip(wide, [*lanes, 0.0], strict=True):
        sides.append((x, x + w))
        x += w + lane
    return width, sides


def _ports(graph: Layered, spots: Sequence[Spot], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """For each line the angle (from the level, upwards) at which it leaves its source, and that at which it meets its target."""
    angles = ([0.0] * len(graph.chains), [0.0] * len(graph.chains))
    for side, end, beside in ((0, 0, 1), (1, -1, -2)):
        for node, spot in enumerate(spots):
            rise = {i: y[chain[beside]] - spot.y for i, chain in enumerate(graph.chains) if chain[end] == node}
            lines = sorted(rise, key=rise.__getitem__)
            step = min(PORT, 2 * REACH / max(1, len(lines) - 1))
            if not lines:
                continue
            placed = spread([math.atan2(rise[i], 0.8) for i in lines], [step] * (len(lines) - 1))
            for rank, (i, angle) in enumerate(zip(lines, placed, strict=True)):
                least, most = -REACH + rank * step, REACH - (len(lines) - 1 - rank) * step
                angles[side][i] = min(max(angle, least), most)
    return angles


def _curve(source: Spot, leave: float, levels: Sequence[tuple[Point, float]], target: Spot, meet: float) -> tuple[Point, ...]:
    """From circle to circle, level from the left to the right side of each layer between."""
    start = (source.x + RADIUS * math.cos(leave), source.y + RADIUS * math.sin(leave))
    end = (target.x - RADIUS * math.cos(meet), target.y + RADIUS * math.sin(meet))
    stops = [(start, (math.cos(leave), math.sin(leave)))]
    for (left, right), y in levels:
        stops += [((left, y), (1.0, 0.0)), ((right, y), (1.0, 0.0))]
    stops.append((end, (math.cos(meet), -math.sin(meet))))
    curve = [start]
    for (p, u), (q, v) in pairwise(stops):
        pull = 0.5 * (q[0] - p[0])
        curve += [(p[0] + pull * u[0], p[1] + pull * u[1]), (q[0] - pull * v[0], q[1] - pull * v[1]), q]
    return tuple(curve)
