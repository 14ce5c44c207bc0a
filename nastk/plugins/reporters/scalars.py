"""Figures as named numbers, for programs that draw curves. The standard library alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nastk.plugins.reporters.figures import number

STRANGE = re.compile(r"[^\w\-. /]")
"""What a name must not have in all of these programs."""


def scalars(figures: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Every finite number by its path: ``train/nos/total``, ``train/nos/cells/2``; all else is left out."""
    for name, value in figures.items():
        path = f"{prefix}/{STRANGE.sub('_', str(name)) or '_'}"
        to_list = getattr(value, "tolist", None)
        value = to_list() if callable(to_list) else value
        if isinstance(value, Mapping):
            yield from scalars(value, path)
        elif isinstance(value, (list, tuple)):
            yield from scalars(dict(enumerate(value)), path)
        elif (found := number(value)) is not None and math.isfinite(found):
            yield path, float(found)
