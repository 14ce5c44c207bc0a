"""Designs: which combinations, each once, whatever the factors are."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings, strategies

from nastk.core.ablation.design import Design, Factor, designed, labels, usual

FACTORS = strategies.lists(strategies.integers(2, 4), min_size=1, max_size=4).map(
    lambda sizes: tuple(Factor(f"f{i}", tuple(range(n))) for i, n in enumerate(sizes))
)


def distinct(cells: list[dict[str, int]]) -> bool:
    return all(a != b for a, b in itertools.combinations(cells, 2))


@given(FACTORS)
@settings(deadline=None, max_examples=30)
def test_a_grid_has_every_combination_once(factors: tuple[Factor, ...]) -> None:
    cells = designed(factors, Design("grid"), usual(factors, Design("grid")))
    assert len(cells) == math.prod(len(f.levels) for f in factors)
    assert distinct(cells)


@given(FACTORS)
@settings(deadline=None, max_examples=30)
def test_one_at_a_time_changes_one(factors: tuple[Factor, ...]) -> None:
    base = usual(factors, Design("one-at-a-time"))
    first, *rest = designed(factors, Design("one-at-a-time"), base)
    assert first == base == {f.path: 0 for f in factors}
    assert all(sum(cell[path] != base[path] for path in base) == 1 for cell in rest)
    assert len(rest) == sum(len(f.levels) - 1 for f in factors)
    assert distinct([first, *rest])


def test_leave_one_out_takes_each_part_from_the_whole() -> None:
    factors = [Factor("a", ("none", "se")), Factor("b", (0, 1)), Factor("c", (False, True))]
    design = Design("leave-one-out")
    cells = designed(factors, design, usual(factors, design))
    assert cells == [
        {"a": "se", "b": 1, "c": True},
        {"a": "none", "b": 1, "c": True},
        {"a": "se", "b": 0, "c": True},
        {"a": "se", "b": 1, "c": False},
    ]


@given(FACTORS, strategies.integers(1, 300))
@settings(deadline=None, max_examples=60)
def test_random_cells_are_different_members_of_the_grid(factors: tuple[Factor, ...], size: int) -> None:
    design = Design("random", size)
    base = usual(factors, design)
    cells = designed(factors, design, base)
    grid = designed(factors, Design("grid"), base)
    assert cells == designed(factors, design, base), "drawn anew"
    assert cells[0] == base
    assert len(cells) == min(size + 1, len(grid))
    assert distinct(cells)
    assert all(cell in grid for cell in cells)


def test_labels_tell_cells_apart() -> None:
    cells = [
        {"model.attention": "se", "model.neuron": {"name": "plif", "tau": 3.0}},
        {"model.attention": {"name": "cbam", "kernel": 5}, "model.neuron": {"name": "plif", "tau": 2.0}},
        {"model.attention": "se", "model.time_steps": 4},
        {"a.name": "x", "b.name": "y"},
        {"c.name": "x", "d.name": "y"},
    ]
    assert labels(cells) == [
        "se, plif (tau 3.0)",
        "cbam, plif (tau 2.0)",
        "se, time_steps 4",
        'a.name = "x", b.name = "y"',
        'c.name = "x", d.name = "y"',
    ]
