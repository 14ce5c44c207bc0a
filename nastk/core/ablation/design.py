"""Which combinations of values a study tries: from factors and a design to cells. Pure; no file, no plug-in, no torch."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from nastk.core.seeds import rng
from nastk.core.words import toml

Values = Mapping[str, Any]
"""Dotted path of the run file -> value as a run file writes it."""
DESIGNS = ("grid", "one-at-a-time", "leave-one-out", "random")


@frozen
class Factor:
    """A setting that is varied."""

    path: str
    levels: tuple[Any, ...]


@frozen
class Design:
    """How the factors are combined; ``size`` is for random ones."""

    name: str = "grid"
    size: int = 0


def usual(factors: Sequence[Factor], design: Design) -> dict[str, Any]:
    """The values of the baseline where the study names none: the first ones; for leave-one-out the last, the whole."""
    which = -1 if design.name == "leave-one-out" else 0
    return {factor.path: factor.levels[which] for factor in factors}


def designed(factors: Sequence[Factor], design: Design, base: Values) -> list[dict[str, Any]]:
    """The values of each cell, distinct, in a fixed order. ``base`` has a value for every factor.

    ``grid``: every combination. ``one-at-a-time``: ``base``, then ``base`` with one factor at another value.
    ``leave-one-out``: the same around the whole, where each factor has two values, without and with. ``random``: ``base``
    and ``size`` different combinations beside it, drawn without replacement, always the same ones.
    """
    if not factors:
        return []
    paths = [factor.path for factor in factors]
    if design.name == "grid":
        return [dict(zip(paths, chosen, strict=True)) for chosen in itertools.product(*(f.levels for f in factors))]
    if design.name == "random":
        sizes = [len(factor.levels) for factor in factors]
        order = rng(0, "study", "design").sample(range(total := math.prod(sizes)), min(total, design.size + 1))
        drawn = [dict(zip(paths, _member(factors, number), strict=True)) for number in order]
        return [dict(base), *[cell for cell in drawn if cell != base][: design.size]]
    changed = [{**base, f.path: level} for f in factors for level in f.levels if level != base[f.path]]
    return [dict(base), *changed]


def labels(cells: Sequence[Values]) -> list[str]:
    """A short name for each cell: plug-ins by their names, with settings where one is there with several; other values behind
    the last word of their path.
    """
    parts = {(path, _name(value), toml(value)) for cell in cells for path, value in cell.items() if _name(value)}
    several = {pair for pair, count in Counter((path, name) for path, name, _ in parts).items() if count > 1}

    def words(path: str, value: Any) -> str:
        name = _name(value)
        if not name:
            return f"{path.rpartition('.')[2]} {toml(value)}"
        settings = value if isinstance(value, Mapping) and (path, name) in several else {}
        told = ", ".join(f"{key} {toml(inner)}" for key, inner in settings.items() if key != "name")
        return f"{name} ({told})" if told else name

    short = [", ".join(words(path, value) for path, value in cell.items()) for cell in cells]
    whole = [", ".join(f"{path} = {toml(value)}" for path, value in cell.items()) for cell in cells]
    return [text if short.count(text) == 1 else long for text, long in zip(short, whole, strict=True)]


def _name(value: Any) -> str:
    """The name that a value is, or that it has; empty for any other value."""
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) else ""


def _member(factors: Sequence[Factor], number: int) -> list[Any]:
    """The number-th combination of the grid."""
    chosen = []
    for factor in reversed(factors):
        number, level = divmod(number, len(factor.levels))
        chosen.append(factor.levels[level])
    return chosen[::-1]
