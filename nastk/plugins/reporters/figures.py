"""Figures as plain data for files, and as short words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FIRST = ("loss", "accuracy", "entropy", "skip_share", "nos")
"""Figures that are shown before all others, in this order."""

AT_MOST = 5
LONGEST_WORD = 16
LARGEST = 10**300
SHARES = ("accuracy", "share", "firing_rate")
"""Endings of the names of figures in [0, 1] that are shown as a percentage."""


def plain(value: Any) -> Any:
    """JSON data from a figure: arrays and tensors as lists, NaN and infinities as ``None``, the unknown as its text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    to_list = getattr(value, "tolist", None)  # numpy and torch, without importing either
    return plain(to_list()) if callable(to_list) else str(value)


def number(value: Any) -> float | None:
    """A Python number (NaN too) from a scalar; ``None`` for all else: booleans, text, lists, integers beyond floats."""
    to_list = getattr(value, "tolist", None)
    value = to_list() if callable(to_list) else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return None if isinstance(value, int) and abs(value) > LARGEST else value


def humanise(value: float) -> str:
    """A number in about six characters: ``12``, ``0.412``, ``110.2 K``, ``3.4 M``, ``2.1e-05``."""
    size = abs(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if size < 999.5:
        if isinstance(value, int) or value == 0:
            return f"{value:.0f}"
        if size < 0.0005:
            return f"{value:.1e}"
        digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
        return f"{value:.{digits}f}"
    for power, letter in enumerate("KMGT", start=1):
        if size < 999.95 * 1000**power:
            return f"{value / 1000**power:.1f} {letter}"
    return f"{value:.1e}"


def percent(share: float, digits: int = 1) -> str:
    """``92.1 %`` from 0.921."""
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """``0:07``, ``1:23``, ``2:03:04``, ``3 d 4:05:06``; ``-:--`` when it is not a finite number."""
    if not math.isfinite(seconds):
        return "-:--"
    minutes, second = divmod(round(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def short(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """At most five scalar figures as ``(name, value)``, the usual ones first.

    A table with a ``total`` (the spikes of a network) stands for its total; lists and other tables are left out.
    """
    names = [name for name in FIRST if name in figures] + [name for name in figures if name not in FIRST]
    shown = [(_name(name), word) for name in names if (word := _word(name, figures[name])) is not None]
    return shown[:AT_MOST]


def _name(name: str) -> str:
    return "NoS" if name == "nos" else str(name).replace("_", " ")


def _word(name: str, value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("total")
    if isinstance(value, str):
        return value if len(value) <= LONGEST_WORD else None
    if isinstance(value, bool):
        return "yes" if value else "no"
    amount = number(value)
    if amount is None:
        return None
    return percent(amount) if str(name).endswith(SHARES) and 0 <= amount <= 1 else humanise(amount)
