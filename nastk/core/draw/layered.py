"""Rows for a layered drawing of a cell: few crossings, straight lines, nothing too close. Torch-free.

After Sugiyama et al., "Methods for visual understanding of hierarchical system structures" (1981), with the labels of
lines as members of layers of their own, as in Gansner et al., "A technique for drawing directed graphs" (1993).
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise, permutations, product

from nastk.core.cell.graph import Cell

Orders = list[list[int]]

RADIUS = 0.22  # of a node's circle; all lengths are inches
LABEL_HEIGHT = 0.25
STARTS = 64
STIFF = 6.0  # how much a line keeps to its own mean height, against 1 for a neighbour


def depths(cell: Cell) -> list[int]:
    """The longest path from the inputs to each node, at least 1 for inner nodes."""
    depth = [0] * cell.inputs
    for node in cell.inner:
        depth.append(max([1, *(1 + depth[edge.src] for edge in cell.into(node))]))
    return depth


def spread(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones (least squares) whose steps are at least ``gaps``: isotonic regression."""
    shift = [0.0, *accumulate(gaps)][: len(wanted)]
    blocks: list[tuple[float, int]] = []  # sum and count, of rising means
    for want, offset in zip(wanted, shift, strict=True):
        blocks.append((want - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            total, count = blocks.pop()
            blocks[-1] = (blocks[-1][0] + total, blocks[-1][1] + count)
    means = [total / count for total, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, shift, strict=True)]


class Layered:
    """The cell with its lines cut at each layer: even layers are columns of nodes, odd ones the bands between them.

    Items ``0 .. nodes-1`` are the cell's nodes and its output ``c_k``; the others are where lines pass. ``chains`` has the
    items of each line: of the edges in order, then of the outputs. ``band`` has the layer of each line's label, ``half`` and
    ``width`` the half height and the width of each item. ``widths`` are those of the edges' labels.
    """

    def __init__(self, cell: Cell, widths: Sequence[float]) -> None:
        self.depth = depths(cell)
        self.depth.append(1 + max(self.depth))
        self.nodes = len(self.depth)
        self.layers: Orders = [[] for _ in range(2 * self.depth[-1] + 1)]
        self.half: list[float] = []
        self.width: list[float] = []
        self.up: defaultdict[int, list[int]] = defaultdict(list)
        self.down: defaultdict[int, list[int]] = defaultdict(list)
        self.weight: dict[tuple[int, int], float] = {}
        for at in self.depth:
            self._item(2 * at, RADIUS)
        self.band: list[int | None] = [*self._bands(cell), *[None] * len(cell.outputs)]
        ends = [(e.src, e.dst) for e in cell.edges] + [(node, self.nodes - 1) for node in cell.outputs]
        sizes = [*widths, *[0.0] * len(cell.outputs)]
        self.chains = [self._chain(*end, width, band) for end, width, band in zip(ends, sizes, self.band, strict=True)]

    def _item(self, layer: int, half: float, width: float = 0.0) -> int:
        self.layers[layer].append(len(self.half))
        self.half.append(half)
        self.width.append(width)
        return len(self.half) - 1

    def _bands(self, cell: Cell) -> list[int | None]:
        """The band of each edge's label: short edges have no choice, longer ones go where few labels are."""
        chosen: list[int | None] = [None] * len(cell.edges)
        load = [0] * self.depth[-1]
        reach = [range(self.depth[edge.src], self.depth[edge.dst]) for edge in cell.edges]
        for i in sorted(range(len(chosen)), key=lambda i: len(reach[i])):
            gap = min(reach[i], key=lambda g: (load[g], -g))
            load[gap] += 1
            chosen[i] = 2 * gap + 1
        return chosen

    def _chain(self, src: int, dst: int, width: float, band: int | None) -> list[int]:
        inside = [
            self._item(layer, LABEL_HEIGHT / 2, width) if layer == band else self._item(layer, 0.0)
            for layer in range(2 * self.depth[src] + 1, 2 * self.depth[dst])
        ]
        chain = [src, *inside, dst]
        for a, b in pairwise(chain):
            self.down[a].append(b)
            self.up[b].append(a)
            # long lines should be straight, and lines of outputs may bend for the others
            self.weight[a, b] = (1 + (a >= self.nodes) + (b >= self.nodes)) * (0.4 if band is None else 1.0)
        return chain

    def room(self, a: int, b: int) -> float:
        """The least distance between the centres of two neighbours in a layer."""
        real = (a < self.nodes) + (b < self.nodes)
        return self.half[a] + self.half[b] + (0.17, 0.16, 0.40)[real]


def rows(graph: Layered) -> list[float]:
    """The ``y`` (downwards) of each item: few crossings first, then lines with few bends, then nodes in their order."""
    tried: dict[str, tuple[int, Orders]] = {}
    for orders in islice(_starts(graph), STARTS if len(graph.half) < 250 else 3):
        _improve(graph, orders)
        tried[str(orders)] = (_crossings(graph, orders), orders)
    fewest = min(count for count, _ in tried.values())
    best: tuple[float, list[float]] | None = None
    for crossings, orders in (found for found in tried.values() if found[0] <= fewest + 1):
        y = _heights(graph, orders)
        bends = sum(weight * abs(y[a] - y[b]) for (a, b), weight in graph.weight.items())
        columns = [[item for item in order if item < graph.nodes] for order in orders]
        pairs = [(a, b) for column in columns for i, b in enumerate(column) for a in column[:i]]
        turned = sum(a > b for a, b in pairs)
        for score, places in ((turned, y), (len(pairs) - turned, [-v for v in y])):
            total = bends + crossings + 0.5 * score
            if best is None or total < best[0] - 1e-6:
                best = (total, places)
    assert best is not None
    return best[1]


def _starts(graph: Layered) -> Iterator[Orders]:
    """First orders to improve: permutations of the nodes in their columns, then seeded shuffles of all layers."""
    columns = [[item for item in order if item < graph.nodes] for order in graph.layers]
    for nodes in islice(product(*(permutations(column) for column in columns)), STARTS // 2):
        yield [[*real, *order[len(real) :]] for real, order in zip(nodes, graph.layers, strict=True)]
    rng = random.Random(0)
    while True:
        yield [rng.sample(order, len(order)) for order in graph.layers]


def _cross(place: dict[int, int], near_a: Sequence[int], near_b: Sequence[int]) -> int:
    """How many lines cross when ``a`` stands above ``b``."""
    return sum(place[u] > place[v] for u in near_a for v in near_b)


def _crossings(graph: Layered, orders: Orders) -> int:
    total = 0
    for left, right in pairwise(orders):
        place = {item: i for i, item in enumerate(right)}
        for i, a in enumerate(left):
            total += sum(_cross(place, graph.down[a], graph.down[b]) for b in left[i + 1 :])
    return total


def _improve(graph: Layered, orders: Orders) -> None:
    """Barycentre sweeps, then swaps of neighbours while they help; in place."""
    place = {item: float(i) for order in orders for i, item in enumerate(order)}
    for sweep in range(6):
        near, walk = (graph.up, orders[1:]) if sweep % 2 == 0 else (graph.down, orders[-2::-1])
        for order in walk:
            centre = {v: sum(place[u] for u in near[v]) / len(near[v]) if near[v] else place[v] for v in order}
            order.sort(key=centre.__getitem__)
            place.update((item, float(i)) for i, item in enumerate(order))
    rank = {item: i for order in orders for i, item in enumerate(order)}
    for _ in range(30):
        swapped = False
        for order in orders:
            for i in range(len(order) - 1):
                a, b = order[i : i + 2]
                now = _cross(rank, graph.up[a], graph.up[b]) + _cross(rank, graph.down[a], graph.down[b])
                then = _cross(rank, graph.up[b], graph.up[a]) + _cross(rank, graph.down[b], graph.down[a])
                if then < now:
                    order[i], order[i + 1], rank[a], rank[b], swapped = b, a, rank[b], rank[a], True
        if not swapped:
            break


def _heights(graph: Layered, orders: Orders) -> list[float]:
    """The ``y`` of each item: near its neighbours, one height for all of a line where that can be, never too close."""
    y = [0.0] * len(graph.half)
    near: list[list[tuple[int, float]]] = [[] for _ in y]
    for (a, b), weight in graph.weight.items():
        near[a].append((b, weight))
        near[b].append((a, weight))
    for line in (chain[1:-1] for chain in graph.chains):
        for item in line if len(line) > 1 else ():
            near[item] += [(other, STIFF / len(line)) for other in line]
    gaps = [[graph.room(a, b) for a, b in pairwise(order)] for order in orders]
    walk = list(zip(orders, gaps, strict=True))
    for sweep in range(60):
        for order, gap in walk if sweep % 2 == 0 else reversed(walk):
            wanted = [sum(y[u] * w for u, w in near[v]) / sum(w for _, w in near[v]) if near[v] else 0.0 for v in order]
            for item, place in zip(order, spread(wanted, gap), strict=True):
                y[item] = place
    _straighten(graph, walk, y)
    return y


def _straighten(graph: Layered, walk: Sequence[tuple[list[int], list[float]]], y: list[float]) -> None:
    """Give the items of a line one height, or the fewest steps that their neighbours in the layers leave; in place."""
    above: dict[int, tuple[int, float]] = {}
    below: dict[int, tuple[int, float]] = {}
    for order, gap in walk:
        for a, b, room in zip(order, order[1:], gap, strict=False):
            above[b], below[a] = (a, room), (b, room)
    for chain in graph.chains * 6:
        runs: list[tuple[float, float, list[int]]] = []
        for v in chain[1:-1]:
            low = y[above[v][0]] + above[v][1] if v in above else -math.inf
            high = y[below[v][0]] - below[v][1] if v in below else math.inf
            if runs and max(low, runs[-1][0]) <= min(high, runs[-1][1]):
                runs[-1] = (max(low, runs[-1][0]), min(high, runs[-1][1]), [*runs[-1][2], v])
            else:
                runs.append((low, high, [v]))
        for low, high, run in runs:
            level = min(max(sum(y[v] for v in run) / len(run), low), high)
            for item in run:
                y[item] = level
