"""Pictures: round ticks, nothing out of its frame, fronts by their definition, every series said in words."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.draw.draw import FAMILIES
from nastk.core.report.amounts import amount, percent, short, span
from nastk.core.report.axes import HEIGHT, WIDTH, domain, ticks
from nastk.core.report.cells import _class, cell_figures, described
from nastk.core.report.charts import COLOURS, Mark, Series, bar_chart, front, line_chart, scatter, small_chart
from nastk.core.report.timeline import thinned
from tests.core.report.parsing import Page

NUMBERS = st.floats(-1e9, 1e9)
CSS = (Path(__file__).parents[3] / "nastk" / "core" / "report" / "report.css").read_text(encoding="utf-8")


@given(NUMBERS, st.floats(1e-6, 1e9), st.integers(2, 8), st.booleans())
@settings(deadline=None, max_examples=200)
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int, whole: bool) -> None:
    high = low + width
    found = ticks(low, high, most, whole)
    assert len(found) <= max(2, most)
    assert found == sorted(set(found)) or high == low
    room = 1e-6 * max(abs(low), abs(high), width, whole)
    assert all(low - room <= tick <= high + room for tick in found)
    if width > 1e-3 * abs(low) and not whole:
        assert len(found) >= 2 or most == 2
        for one, other in pairwise(found):
            mantissa = (other - one) / 10 ** math.floor(math.log10(other - one))
            assert any(math.isclose(mantissa % 10, m, rel_tol=1e-3) for m in (1, 2, 2.5, 5, 10)) or mantissa > 9.99


def test_ticks_of_a_share() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(1, 5, whole=True) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert ticks(1, 2, whole=True) == [1.0, 2.0]


@given(st.lists(NUMBERS, max_size=6), st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_domain_holds_all_values(values: list[float], zero: bool) -> None:
    low, high = domain(values, zero=zero)
    assert low < high
    assert all(low <= value <= high for value in values)
    assert not zero or low <= 0 <= high


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
@settings(deadline=None, max_examples=200)
def test_a_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    marks = [Mark(float(x), float(y), str(i)) for i, (x, y) in enumerate(points)]

    def beats(a: Mark, b: Mark) -> bool:
        return a.x <= b.x and a.y >= b.y and (a.x, a.y) != (b.x, b.y)

    assert set(front(marks)) == {mark for mark in marks if not any(beats(other, mark) for other in marks)}


@given(st.lists(st.tuples(st.integers(1, 5000), NUMBERS), min_size=1, max_size=30, unique_by=lambda p: p[0]), st.text(max_size=9))
@settings(deadline=None, max_examples=60)
def test_a_line_stays_in_its_frame_and_is_said_in_words(points: list[tuple[int, float]], name: str) -> None:
    line = [(float(x), y) for x, y in sorted(points)]
    drawn = line_chart([Series(name, line), Series("none", [])], "Title", "epoch", "loss")
    assert drawn is not None
    page = Page(drawn)
    assert not page.faults
    (picture,) = page.having("svg", class_="plot")
    assert amount(line[-1][1]) in picture["aria-label"]
    (group,) = page.having("g", class_="series")
    assert [float(x) for x in group["data-x"].split()] == [x for x, _ in line]
    for attrs in page.having("path", class_="line"):
        places = [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?", attrs["d"])]
        if "data-plot" in picture and len(places) == 2 * len(line):
            assert all(-1 <= x <= WIDTH + 1 for x in places[::2])
            assert all(-1 <= y <= HEIGHT + 1 for y in places[1::2])


def test_no_points_no_picture() -> None:
    assert line_chart([Series("a", [])], "t", "x", "y") is None
    assert small_chart("t", [Series("a", [])]) is None
    assert bar_chart(["1"], [Series("a", [])], "t", "x", "y") is None
    assert scatter([Mark(1, 0.5, "alone")], "t", "x", "y", looks={}) is None


def test_long_series_are_thinned_with_their_ends() -> None:
    line = [(float(i), float(i * i)) for i in range(5000)]
    kept = thinned(line, 400)
    assert len(kept) == 400
    assert (kept[0], kept[-1]) == (line[0], line[-1])
    assert thinned(line[:3], 400) == line[:3]


def test_bars_are_as_high_as_their_values() -> None:
    drawn = bar_chart(["1", "2"], [Series("a", [(0.0, 10.0), (1.0, 40.0)])], "t", "layer", "spikes")
    assert drawn is not None
    one, four = (float(bar["height"]) for bar in Page(drawn).having("rect", class_="bar"))
    assert math.isclose(four, 4 * one, rel_tol=0.01)


def test_every_look_has_a_colour_in_both_themes() -> None:
    for look in range(COLOURS):
        assert CSS.count(f"--s{look}: #") == 2
        assert f".s{look} {{ --c: var(--s{look}); }}" in CSS
    for family in FAMILIES:
        assert f".{_class(family)} {{ --k:" in CSS, family.name


def luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_words_and_lines() -> None:
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    )
    assert set(light) == set(dark)
    for theme in (light, dark):
        for words in ("ink", "muted", "link", "good", "bad", "fair"):
            assert min(contrast(theme[words], theme[ground]) for ground in ("paper", "panel")) >= 4.5, words
        assert contrast(theme["node"], theme["node-ink"]) >= 4.5
        for tint in (name for name in theme if name.endswith("-t")):
            assert contrast(theme["ink"], theme[tint]) >= 4.5, tint
        for line in (name for name in theme if re.fullmatch(r"s\d", name) or f"{name}-t" in theme):
            assert contrast(theme[line], theme["paper"]) >= 3.0, line


CELL = Cell(2, [Edge(0, 2, "conv_3x3"), Edge(1, 2, "none"), Edge(2, 3, "skip_connect")], (2, 3))


def gates(**parts: str) -> int:
    genotype = Genotype("toy", {"normal": CELL}, {"neuron": "lif", **parts})
    (drawn,) = cell_figures(genotype)
    return len(Page(drawn).having("path", class_="gate"))


def test_attention_is_marked_where_it_stands() -> None:
    assert gates() == gates(attention="none", attention_location="both") == 0
    assert gates(attention="se", attention_location="after_every") == 2 + 1  # two edges that carry something, and the legend
    assert gates(attention="se", attention_location="end") == 1 + 1
    assert gates(attention="se", attention_location="both") == 3 + 1
    assert gates(attention="se", attention_location="candidate") == 0


def test_a_cell_is_said_in_words() -> None:
    assert described("normal", CELL, "se") == (
        "normal cell: node 0 gets conv_3x3 from c(k-2), none from c(k-1); node 1 gets skip_connect from 0; "
        "its output is made of 0, 1; attention se"
    )
    drawn = Page(cell_figures(Genotype("toy", {"normal": CELL}, {"neuron": "lif"}))[0])
    assert len(drawn.having("circle", class_="node")) == 5
    assert len(drawn.having("rect", class_="box")) == 3
    assert [label for label in drawn.said if label in ("conv_3x3", "none", "skip_connect")]


def test_numbers_in_words() -> None:
    assert (percent(0.9528), percent(None), percent(0.5, 0)) == ("95.28 %", "-", "50 %")
    assert [short(v) for v in (0.25, 12.0, 3500.0, 2e6, 3e9)] == ["0.25", "12", "3.5k", "2M", "3G"]
    assert [span(s) for s in (None, 4.26, 12.4, 184.0, 18_720.0, 183_600.0)] == [
        "-", "4.26 s", "12 s", "3 min 04 s", "5 h 12 min", "2 d 3 h",
    ]  # fmt: skip
    assert (amount(1234.5, "nJ"), amount(None, "nJ")) == ("1,234 nJ", "-")
