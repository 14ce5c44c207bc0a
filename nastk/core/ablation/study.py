"""The study file: a run file, and what is varied in it, compared and repeated. All faults at once, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge

from nastk.core.ablation.design import DESIGNS, Design, Factor
from nastk.core.ablation.metrics import DIRECTIONS, METRICS, Metric, directed
from nastk.core.config import structure
from nastk.core.document import read_toml
from nastk.core.errors import ConfigError, near

Source = str | Path | Mapping[str, Any]
KEYS = ("vary", "design", "cells", "seeds", "metrics", "baseline", "stage", "random_search", "match", "test")
"""Entries of a study file that are none of a run file."""
DECIDED = {
    "seed": "a study has seeds: write seeds = [0, 1, 2]",
    "slice_minutes": "a study goes on with --resume after any end: leave it out",
}
"""Settings of a run that a study decides itself."""


@frozen(kw_only=True)
class RandomSearchCost:
    """What the row of random search is given, where the study says so itself."""

    trials: int = field(validator=ge(1))
    epochs: int = field(default=4, validator=ge(1))


@frozen(kw_only=True)
class StudySettings:
    """The entries of a study file that are single values."""

    stage: Literal["run", "retrain"] = "run"
    match: Literal["steps", "seconds", "parameters"] = "steps"
    test: Literal["permutation", "wilcoxon"] = "permutation"


@frozen
class NamedCell:
    """A cell that is written out; without a name it gets one from its values."""

    name: str
    values: Mapping[str, Any]


@frozen(kw_only=True)
class Study:
    """A study file, checked as far as it can be without plug-ins."""

    source: str
    document: Mapping[str, Any]
    """The study file as plain data."""
    run: Mapping[str, Any]
    """The run file in it."""
    factors: tuple[Factor, ...]
    design: Design
    cells: tuple[NamedCell, ...]
    """Written out; they stand beside those of the design."""
    baseline: str | Mapping[str, Any]
    """Name or values; empty: the first cell, or the design's own."""
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    settings: StudySettings
    random_search: bool | RandomSearchCost


def read_study(source: Source) -> Study:
    """A study from a TOML file or plain data. Raises :class:`ConfigError` with all faults, each with its path."""
    where = str(source) if isinstance(source, str | Path) else "the study"
    document = read_toml(Path(source)) if isinstance(source, str | Path) else _plain(source)
    faults: list[str] = []

    def of(name: str, read: Callable[[Any, list[str]], Any]) -> Any:
        return read(document.get(name), faults)

    run = {name: value for name, value in document.items() if name not in KEYS}
    faults += [f"{name}: {why}" for name, why in DECIDED.items() if name in run]
    factors, cells = of("vary", _factors), of("cells", _cells)
    design = of("design", _design)
    if not factors and not cells and not faults:
        faults.append("vary: say what to vary, [vary] with lists of values by dotted path, or [[cells]]")
    if "design" in document and not factors:
        faults.append("design: combines the lists of [vary], and there are none")
    if design.name == "leave-one-out":
        faults += [f"vary.{f.path}: leave-one-out needs two values, without and with" for f in factors if len(f.levels) != 2]
    study = Study(
        source=where,
        document=document,
        run=run,
        factors=factors,
        design=design,
        cells=cells,
        baseline=of("baseline", _baseline),
        seeds=of("seeds", _seeds),
        metrics=of("metrics", _metrics),
        settings=_settings(document, faults),
        random_search=of("random_search", _random_search),
    )
    if faults:
        raise ConfigError(faults, where)
    return study


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested tables as dotted paths. A table with a ``name`` or with ``choices`` is a value."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        whole = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and not {"name", "choices"} & set(value):
            found |= flat(value, whole)
        else:
            found[whole] = value
    return found


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that TOML can hold: tuples as lists, no ``None``."""

    def copied(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): copied(v) for k, v in value.items() if v is not None}
        return [copied(v) for v in value] if isinstance(value, list | tuple) else value

    return {str(name): copied(value) for name, value in tree.items() if value is not None}


def _factors(given: Any, faults: list[str]) -> tuple[Factor, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        faults.append(f"vary: expected a table of lists, got {given!r}")
        return ()
    found = []
    for path, levels in flat(given).items():
        if path in DECIDED:
            faults.append(f"vary.{path}: {DECIDED[path]}")
        elif not isinstance(levels, list) or len(levels) < 2:
            faults.append(f"vary.{path}: expected a list of two values or more, got {levels!r}")
        elif any(level in levels[:i] for i, level in enumerate(levels)):
            faults.append(f"vary.{path}: has a value twice: {levels!r}")
        else:
            found.append(Factor(path, tuple(levels)))
    return tuple(found)


def _design(given: Any, faults: list[str]) -> Design:
    if given is None:
        return Design()
    size = given.get("random") if isinstance(given, Mapping) and set(given) == {"random"} else None
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return Design("random", size)
    if isinstance(given, str) and given in DESIGNS and given != "random":
        return Design(given)
    hint = near(given, DESIGNS) if isinstance(given, str) else ""
    faults.append(f'design: expected "grid", "one-at-a-time", "leave-one-out" or {{ random = N }}, got {given!r}.{hint}')
    return Design()


def _cells(given: Any, faults: list[str]) -> tuple[NamedCell, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(cell, Mapping) for cell in given):
        faults.append(f"cells: expected tables, [[cells]], got {given!r}")
        return ()
    found = []
    for i, cell in enumerate(given):
        values, name = flat({k: v for k, v in cell.items() if k != "name"}), cell.get("name", "")
        if not isinstance(name, str):
            faults.append(f"cells[{i}].name: expected text, got {name!r}")
        faults += [f"cells[{i}].{path}: {why}" for path, why in DECIDED.items() if path in values]
        found.append(NamedCell(str(name), values))
    return tuple(found)


def _baseline(given: Any, faults: list[str]) -> str | dict[str, Any]:
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, Mapping):
        return flat(given)
    faults.append(f"baseline: expected the name of a cell or a table of values, got {given!r}")
    return ""


def _seeds(given: Any, faults: list[str]) -> tuple[int, ...]:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return tuple(range(given))
    whole = isinstance(given, list) and given and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in given)
    if not whole or len(set(given)) < len(given):
        faults.append(f"seeds: expected a list of different whole numbers, [0, 1, 2], or how many, got {given!r}")
        return ()
    return tuple(given)


def _metrics(given: Any, faults: list[str]) -> tuple[Metric, ...]:
    if given is None:
        return (METRICS["test.accuracy"],)
    wanted: Any = dict.fromkeys(given) if isinstance(given, list) else flat(given) if isinstance(given, Mapping) else None
    if not wanted:
        faults.append(f"metrics: expected a list of paths into result.json, or a table of path = direction, got {given!r}")
        return ()
    found = []
    for path, better in wanted.items():
        if path not in METRICS:
            faults.append(f"metrics.{path}: no number of result.json.{near(str(path), METRICS)} Known: {', '.join(METRICS)}")
        elif better not in (None, *DIRECTIONS):
            faults.append(f'metrics.{path}: expected "higher" or "lower", got {better!r}')
        else:
            found.append(directed(path, better))
    return tuple(found)


def _random_search(given: Any, faults: list[str]) -> bool | RandomSearchCost:
    if given is None or isinstance(given, bool):
        return given is not False
    return _structured(given, RandomSearchCost, "random_search", faults) or False


def _settings(document: Mapping[str, Any], faults: list[str]) -> StudySettings:
    given = {name: document[name] for name in ("stage", "match", "test") if name in document}
    if "benchmark" in document and given.get("stage") == "retrain":
        faults.append("stage: a benchmark has nothing to retrain")
    return _structured(given, StudySettings, "", faults) or StudySettings()


def _structured(given: Any, cls: type[Any], path: str, faults: list[str]) -> Any:
    try:
        return structure(given, cls, "")
    except ConfigError as error:
        faults += _below(path, error.faults)
        return None


def _below(path: str, found: Sequence[str]) -> list[str]:
    return [f"{path}.{fault}" if path else fault for fault in found]
