"""Where two trees of plain values, tensors and genotypes differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


def difference(first: Any, second: Any, path: str = "") -> str:
    """Where two trees differ, ``.alpha.shared``, or nothing where they are equal bit by bit (NaN equals NaN)."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        comparable = first.dtype == second.dtype and first.shape == second.shape
        alike = comparable and bool(((first == second) | (first.isnan() & second.isnan())).all())
        return "" if alike else path or "."
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = sorted(first.keys() ^ second.keys())
        inner = (difference(first[name], second[name], f"{path}.{name}") for name in first if name in second)
        return f"{path}.{names[0]}" if names else next(filter(None, inner), "")
    if isinstance(first, Sequence) and isinstance(second, Sequence) and not isinstance(first, str):
        inner = (difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(first, second, strict=False)))
        return f"{path} (its length)" if len(first) != len(second) else next(filter(None, inner), "")
    return "" if bool(first == second) or (first != first and second != second) else path or "."
