"""Pictures: places that cannot collide, files that are what they claim, equal bytes for equal cells."""

from __future__ import annotations

import math
import random
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import combinations, islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Cell, Edge
from nastk.core.draw import layered
from nastk.core.draw.cell_layout import Layout, layout, node_labels, text_width
from nastk.core.draw.draw import FAMILIES, draw_cell, draw_curves, family
from nastk.core.draw.layered import depths, spread
from nastk.core.errors import OutputError

SEP, DIL, SKIP, POOL = "sep_conv_3x3", "dil_conv_3x3", "skip_connect", "max_pool_3x3"


def darts(*pairs: tuple[str, int]) -> Cell:
    return Cell(2, [Edge(src, i // 2 + 2, op) for i, (op, src) in enumerate(pairs)], (2, 3, 4, 5))


NORMAL = darts((SEP, 0), (SEP, 1), (SEP, 0), (SEP, 1), (SEP, 1), (SKIP, 0), (SKIP, 0), (DIL, 2))
REDUCE = darts((POOL, 0), (POOL, 1), (SKIP, 2), (POOL, 1), (POOL, 0), (SKIP, 2), (SKIP, 2), (POOL, 1))
BENCH = Cell(1, [Edge(src, dst, f"nor_conv_{src}x{dst}") for dst in (1, 2, 3) for src in range(dst)], (3,))
FULL = Cell(2, [Edge(src, dst, "|".join([SEP, DIL, SKIP, POOL])) for dst in range(2, 6) for src in range(dst)], (2, 3, 4, 5))
SHORTCUTS = Cell(3, [Edge(0, 3, SEP), Edge(1, 3, DIL), Edge(2, 4, SEP), Edge(3, 4, SKIP), Edge(0, 4, DIL)], (3, 4, 0, 4))
KNOWN = {"normal": NORMAL, "reduce": REDUCE, "bench": BENCH, "full": FULL, "shortcuts": SHORTCUTS}

KNOWN_OPS = st.sampled_from([SEP, DIL, SKIP, POOL, "none", "se|cbam"])


@st.composite
def cells(draw: st.DrawFn, ops: st.SearchStrategy[str] = KNOWN_OPS) -> Cell:
    inputs, inner = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    ends = [(src, dst) for dst in range(inputs, inputs + inner) for src in range(dst)]
    edges = draw(st.lists(st.tuples(st.sampled_from(ends), ops), max_size=12, unique_by=lambda e: e[0])) if ends else []
    outputs = draw(st.lists(st.integers(0, inputs + inner - 1), min_size=1, max_size=4))
    return Cell(inputs, [Edge(*end, op) for end, op in edges], outputs)


def check_places(cell: Cell) -> Layout:
    """No label, circle or line meets another that it does not belong to; all is inside the drawing."""
    plan = layout(cell)
    ends = [(e.src, e.dst) for e in cell.edges] + [(node, cell.nodes) for node in cell.outputs]
    boxes = [route.box for route in plan.routes]
    assert [route.edge for route in plan.routes] == [*cell.edges, *[None] * len(cell.outputs)]
    assert all((box is None) == (route.edge is None) for box, route in zip(boxes, plan.routes, strict=True))
    placed = [box for box in boxes if box is not None]
    assert not any(a.overlaps(b) for a, b in combinations(placed, 2))
    assert all(box.distance((spot.x, spot.y)) > spot.radius + 0.05 for box in placed for spot in plan.spots)
    assert all(math.dist((a.x, a.y), (b.x, b.y)) > a.radius + b.radius + 0.1 for a, b in combinations(plan.spots, 2))
    for i, (route, own) in enumerate(zip(plan.routes, ends, strict=True)):
        assert all(p[0] <= q[0] + 1e-9 for p, q in pairwise(route.points()))
        for point in route.points():
            assert 0 < point[0] < plan.width
            assert -0.4 < point[1] < plan.height + 0.4
            assert all(box is None or k == i or box.distance(point) > 0.04 for k, box in enumerate(boxes))
            away = [math.dist(point, (spot.x, spot.y)) - spot.radius for spot in plan.spots]
            assert all(gap > (-1e-6 if node in own else 0.04) for node, gap in enumerate(away))
        if route.box is not None:
            assert min(route.box.distance(point) for point in route.points()) == 0
    return plan


@pytest.mark.parametrize("cell", KNOWN.values(), ids=KNOWN)
def test_known_cells_have_room(cell: Cell) -> None:
    plan = check_places(cell)
    assert plan.width == 10.0
    assert plan.height < 5.0


@pytest.mark.parametrize("seed", range(3))
def test_crowded_cells_have_room(seed: int) -> None:
    rng = random.Random(seed)
    ends = [(src, dst) for dst in range(4, 9) for src in range(dst)]
    check_places(Cell(4, [Edge(*end, SEP) for end in rng.sample(ends, min(30, len(ends)))], rng.choices(range(9), k=6)))


@settings(deadline=None, max_examples=20)
@given(cells())
def test_any_cell_has_room_and_goes_from_left_to_right(cell: Cell) -> None:
    plan = check_places(cell)
    assert plan == layout(cell)
    assert [spot.label for spot in plan.spots] == [*node_labels(cell)]
    assert all(plan.spots[edge.src].x < plan.spots[edge.dst].x for edge in cell.edges)
    assert all(spot.x < plan.spots[-1].x for spot in plan.spots[:-1])


def crossings(plan: Layout) -> int:
    """How often lines of operations change sides, looked at every 0.02 inch where both run."""
    count = 0
    paths = [[*route.points()] for route in plan.routes if route.edge is not None]
    for a, b in combinations(paths, 2):
        left, right = max(a[0][0], b[0][0]) + 0.05, min(a[-1][0], b[-1][0]) - 0.05
        sides = [height(a, x / 50) > height(b, x / 50) for x in range(500) if left < x / 50 < right]
        count += sum(one != two for one, two in pairwise(sides))
    return count


def height(path: list[tuple[float, float]], x: float) -> float:
    """The ``y`` of a path at ``x``."""
    (px, py), (qx, qy) = next((p, q) for p, q in pairwise(path) if p[0] <= x <= q[0])
    return py + (qy - py) * (x - px) / max(qx - px, 1e-9)


def test_few_lines_cross() -> None:
    # K(2, 3) has no drawing in two columns with fewer than three crossings
    assert crossings(layout(NORMAL)) <= 3
    assert crossings(layout(REDUCE)) <= 1
    assert crossings(layout(BENCH)) == 0


def test_no_swap_of_neighbours_saves_a_crossing() -> None:
    dense = Cell(2, sorted({Edge(i % (3 + i % 7), 3 + i % 7, SEP) for i in range(30)}), range(2, 10))
    graph = layered.Layered(dense, [1.0] * len(dense.edges))
    for orders in islice(layered._starts(graph), 8):
        layered._improve(graph, orders)
        least = layered._crossings(graph, orders)
        for order in orders:
            for i in range(len(order) - 1):
                order[i], order[i + 1] = order[i + 1], order[i]
                assert layered._crossings(graph, orders) >= least
                order[i], order[i + 1] = order[i + 1], order[i]


def test_depth_is_the_longest_path() -> None:
    assert depths(NORMAL) == [0, 0, 1, 1, 1, 2]
    assert depths(BENCH) == [0, 1, 2, 3]
    assert depths(Cell(1, [], (2,))) == [0, 1, 1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 2)), min_size=1, max_size=8), st.data())
def test_spread_is_the_nearest_allowed(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    wanted, gaps = [want for want, _ in pairs], [gap for _, gap in pairs[1:]]
    placed = spread(wanted, gaps)
    assert all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(placed), gaps, strict=True))
    # any other allowed placing is no nearer
    steps = data.draw(st.lists(st.floats(0, 2), min_size=len(gaps), max_size=len(gaps)))
    other = [data.draw(st.floats(-5, 5))]
    for gap, step in zip(gaps, steps, strict=True):
        other.append(other[-1] + gap + step)
    assert sum((a - b) ** 2 for a, b in zip(placed, wanted, strict=True)) <= 1e-6 + sum(
        (a - b) ** 2 for a, b in zip(other, wanted, strict=True)
    )


def test_text_fits_its_box() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    for text in (SEP, DIL, SKIP, POOL, "none", "nor_conv_1x1", "8 candidates", "squeeze-excite", "lif", "WMW_42", "Identity"):
        true = TextPath((0, 0), text, size=8, prop=FontProperties(family="DejaVu Sans")).get_extents().width / 72
        assert true <= text_width(text, 8) <= 1.3 * true + 0.05


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (SEP, "separable convolution"), (DIL, "dilated convolution"), (POOL, "pooling"), (SKIP, "skip"), ("none", "none"),
        ("nor_conv_1x1", "convolution"), ("avgpool", "pooling"), ("zeroize", "none"), ("cbam", "attention"), ("lif", "other"),
        ("temporal-attention", "attention"), ("none|skip_connect", "mixture"), ("", "other"), ("conv2d", "convolution"),
    ],
)  # fmt: skip
def test_families(op: str, name: str) -> None:
    assert family(Edge(0, 1, op)).name == name


def test_family_colours_stand_out_from_white() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert len({kind.colour for kind in FAMILIES}) == len(FAMILIES)
    for kind in FAMILIES:  # WCAG 2.1: 3 for graphics, 7 for text
        assert 1.05 / (luminance(kind.colour) + 0.05) >= 3
        assert (luminance(kind.tint) + 0.05) / (luminance("#1a1a1a") + 0.05) >= 7


def words(svg: Path) -> str:
    """All text of an SVG, comments included (mathematics keeps its source in one); fails when it is no XML."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(svg.read_bytes(), parser=parser)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return "\n".join(" ".join(element.itertext()) for element in root.iter())


def check_png(png: Path, width: int) -> None:
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">I", data[16:20])[0] == width


@pytest.mark.parametrize("cell", KNOWN.values(), ids=KNOWN)
def test_files_show_every_name(cell: Cell, tmp_path: Path) -> None:
    png, svg = draw_cell(cell, "A cell & its title", tmp_path / "new" / "cell.v1", "10 % < 20 %")
    assert (png.name, svg.name) == ("cell.v1.png", "cell.v1.svg")
    check_png(png, 1600)
    text = words(svg).split("\n")
    shown = [edge.op if len(edge.candidates) == 1 else "4 candidates" for edge in cell.edges]
    for name in {*shown}:
        assert text.count(name) >= shown.count(name)
    for label in node_labels(cell):
        assert label in text or f"${label}$" in [line.strip() for line in text]
    for name in {family(edge).name for edge in cell.edges} | {"A cell & its title", "10 % < 20 %"}:
        assert name in text


def test_same_cell_same_bytes_in_any_style_and_process(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = draw_cell(NORMAL, "normal", tmp_path / "a")
    with mpl.rc_context({"font.size": 30, "savefig.dpi": 20, "svg.fonttype": "path", "lines.linewidth": 9, "text.color": "red"}):
        settings_before = dict(mpl.rcParams)
        after = draw_cell(NORMAL, "normal", tmp_path / "b")
        assert dict(mpl.rcParams) == settings_before
    script = (
        "import sys; from pathlib import Path; from nastk.core.draw.draw import draw_cell; "
        "from nastk.core.cell.graph import Cell, Edge\n"
        f"draw_cell({NORMAL!r}, 'normal', Path(sys.argv[1])); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "c"], check=True)
    for one, two, three in zip(before, after, (tmp_path / "c.png", tmp_path / "c.svg"), strict=True):
        assert one.read_bytes() == two.read_bytes() == three.read_bytes()
    assert not re.search(rb"\d{4}-\d\d-\d\d", before[1].read_bytes())


def test_import_is_light() -> None:
    script = "import sys; import nastk.core.draw.draw; assert not {'matplotlib', 'torch'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", script], check=True)


@settings(deadline=None, max_examples=8)
@given(cells(st.text(max_size=40)), st.text(max_size=200), st.text(max_size=20))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_cell_can_be_drawn(tmp_path_factory: pytest.TempPathFactory, cell: Cell, title: str, subtitle: str) -> None:
    png, svg = draw_cell(cell, title, tmp_path_factory.getbasetemp() / "any", subtitle)
    assert png.stat().st_size > 1000
    words(svg)


def test_a_legend_of_all_families_has_two_rows(tmp_path: Path) -> None:
    ops = ["conv_3x3", SEP, DIL, POOL, SKIP, "cbam", "none", "lif", "a|b"]
    few = draw_cell(Cell(1, [Edge(0, i, SEP) for i in range(1, 10)], (1,)), "few", tmp_path / "few")
    many = draw_cell(Cell(1, [Edge(0, i, op) for i, op in enumerate(ops, start=1)], (1,)), "many", tmp_path / "many")
    height = [struct.unpack(">I", png.read_bytes()[20:24])[0] for png, _ in (few, many)]
    assert height[1] - height[0] == pytest.approx((0.26 + 0.18) * 160, abs=2)  # a row, and the note on candidates
    assert all(kind.name in words(many[1]) for kind in FAMILIES)


def test_a_long_chain_is_drawn_wider(tmp_path: Path) -> None:
    chain = Cell(1, [Edge(i, i + 1, "a_very_long_name_of_an_operation_indeed") for i in range(11)], (11,))
    plan = check_places(chain)
    assert plan.width > 10
    check_png(draw_cell(chain, "chain", tmp_path / "chain")[0], int(plan.width * 160))


def test_curves(tmp_path: Path) -> None:
    import matplotlib as mpl

    lines = {"DARTS $x$": [(0.0, 0.1), (1.0, 0.5), (2.0, math.nan)], "random & co": [(0.0, 0.2), (math.inf, 0.3)], "none yet": []}
    first = draw_curves(lines, "Accuracy", "epoch", "top-1 (%)", tmp_path / "x.y")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "xtick.labelsize": 3}):
        second = draw_curves(lines, "Accuracy", "epoch", "top-1 (%)", tmp_path / "z")
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    assert first[0].name == "x.y.png"
    check_png(first[0], 1280)
    text = words(first[1])
    assert all(name in text for name in ("DARTS $x$", "random & co", "none yet", "Accuracy", "epoch", "top-1 (%)"))
    assert b"<!--" not in first[1].read_bytes()  # no mathematics
    draw_curves({}, "Nothing", "x", "y", tmp_path / "empty")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        draw_curves({}, "t", "x", "y", tmp_path / "file" / "picture")
