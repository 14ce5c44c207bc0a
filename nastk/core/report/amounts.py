"""Numbers from documents that somebody may have written by hand, and how a report says them. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nastk.core.ablation.conclusions import number

DASH = "-"
LARGEST = 1e300
"""Beyond this a number is damage."""


def at(tree: Any, *path: str | int) -> Any:
    """The entry at a path through tables and lists, ``None`` where there is none: a document may have any form."""
    for step in path:
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, Sequence) and not isinstance(tree, str) and step < len(tree) else None
        else:
            tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def table_at(tree: Any, *path: str | int) -> Mapping[str, Any]:
    """The table at a path; an empty one where there is none."""
    found = at(tree, *path)
    return found if isinstance(found, Mapping) else {}


def text_at(tree: Any, *path: str | int) -> str:
    """The text at a path; empty where there is none. A part that is a table stands for its name."""
    found = at(tree, *path)
    found = found.get("name") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else ""


def finite(value: Any) -> float | None:
    """A finite number; ``None`` for all else, booleans too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < LARGEST else None


def number_at(tree: Any, *path: str | int) -> float | None:
    """The finite number at a path, or ``None``."""
    return finite(at(tree, *path))


def amount(value: float | None, unit: str = "") -> str:
    """Four digits, whole from a thousand on, with the unit behind; a dash for none."""
    return number(value) + (f" {unit}" if unit and value is not None else "")


def percent(share: float | None, digits: int = 2) -> str:
    """``95.28 %`` from 0.9528; a dash for none."""
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def short(value: float) -> str:
    """A number in few letters, for the ticks of an axis: ``0.25``, ``12``, ``3.5k``, ``2M``."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.4g}{letter}"
    return f"{value:.4g}"


def span(seconds: float | None) -> str:
    """``12 s``, ``3 min 04 s``, ``5 h 12 min``, ``2 d 3 h``; a dash for none."""
    if seconds is None:
        return DASH
    if seconds < 59.5:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    return f"{hours} h {minute:02d} min" if hours else f"{minutes} min {second:02d} s"
