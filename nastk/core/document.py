"""Run files as plain data: read, changed by path, laid over one another; checked later by :mod:`nastk.core.config`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nastk.core.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain data; :class:`ConfigError` when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(["there is no such file"], str(path)) from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: bad TOML, bad UTF-8, a number of 5,000 digits
        raise ConfigError([f"not a readable TOML file: {error}"], str(path)) from error


def assign(document: dict[str, Any], assignment: str) -> None:
    """Apply ``path=value`` (the value in TOML, or bare text) to plain data in place."""
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError([f"expected path=value, got {assignment!r}"], "--set")
    place(document, steps, _toml_value(text.strip()))


def _toml_value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if len(found) == 1 else text  # a second line would be a second setting


def place(document: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    """Put a value at a path of plain data in place. A part written as a bare name becomes a table when it is entered."""
    *path, last = steps
    for step in path:
        inner = document.get(step, {})
        document[step] = {"name": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, Mapping) else {}
        document = document[step]
    existing = document.get(last)
    named = isinstance(existing, Mapping) and isinstance(value, str) and existing.get("name", value) == value
    document[last] = {**existing, "name": value} if named and existing is not None and "choices" not in existing else value


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with ``top``'s entries over ``base``'s, table by table.

    A part of another name, and a list of choices, replace the whole part.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and below.get("name") == value and isinstance(value, str):
            continue  # the bare name of the part that is there
        if isinstance(below, Mapping) and isinstance(value, Mapping) and _same_part(below, value):
            merged[key] = overlay(below, value)
        elif isinstance(below, str) and isinstance(value, Mapping) and "name" not in value and "choices" not in value:
            merged[key] = {"name": below, **value}
        else:
            merged[key] = value
    return merged


def _same_part(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "choices" not in value and value.get("name", below.get("name")) == below.get("name")
