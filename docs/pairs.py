"""Writes docs/pairs.md: which strategy searches what. Run it from the repository: ``python docs/pairs.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nastk.core.errors import NastkError
from nastk.core.registry import registry
from nastk.core.run.run import prepare
from nastk.core.run.runfile import configure
from nastk.core.types import Kind
from nastk.testing import small_context

TARGET = Path(__file__).with_name("pairs.md")
SIZE: dict[str, Any] = {"model": {"channels": 4, "cells": 3}}
SIZES = {"macro": {"model": {"channels": 4, "cells": 8}, "dataset": {"name": "synthetic", "size": 32}}}
"""Spaces whose networks have one depth, and halve the images more often."""
CHOICES = {"model": {"channels": 4, "cells": 1, "time_steps": {"choices": [1, 2]}}}
HEAD = """# Strategies and spaces

Which strategy searches what, with its own settings, at tiny size (4 channels, 3 cells, 8 in `macro`; what a strategy or space
asks for by its `defaults` is given). *Choices* stands for a searched part, `model.time_steps = { choices = [1, 2] }` in
`toy`; *table* for a benchmark, `nats-bench`. Written by `python docs/pairs.py`, which prepares every pair as a run does: what is
refused here is refused so in a run, in one sentence and before anything is written.

"""


def in_space(space: str) -> Callable[[str], object]:
    """Prepares a strategy in a space."""
    return lambda strategy: small_context(strategy, space, **SIZES.get(space, SIZE))


def reason(prepared: Callable[[str], object], strategy: str) -> str:
    """Empty where the strategy searches there; else why not."""
    try:
        prepared(strategy)
    except NastkError as error:
        return str(error).partition("): ")[2] or str(error)
    return ""


def page() -> str:
    """The table, and the reasons below it."""
    columns = {f"`{space}`": in_space(space) for space in registry().names(Kind.SPACE)}
    columns["choices"] = lambda strategy: small_context(strategy, "toy", **CHOICES)
    columns["table"] = lambda strategy: prepare(configure({"benchmark": "nats-bench", "strategy": strategy}))
    reasons: dict[str, int] = {}
    rows = [f"| strategy | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for strategy in registry().names(Kind.STRATEGY):
        cells = []
        for prepared in columns.values():
            why = reason(prepared, strategy).replace(strategy, "STRATEGY")
            cells.append(f"no ({reasons.setdefault(why, len(reasons) + 1)})" if why else "yes")
        rows.append(f"| `{strategy}` | {' | '.join(cells)} |")
    notes = "".join(f"{number}. {why}\n" for why, number in reasons.items())
    return HEAD + "\n".join(rows) + "\n\nWhat a run says where it is refused:\n\n" + notes


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
