"""From a study to its jobs: cells by seeds, and the searches that they share; each named by the digest of what it depends on."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import evolve, field, frozen

from nastk.core.ablation.cost import ends_by_clock, has_row, random_row
from nastk.core.ablation.design import designed, labels, usual
from nastk.core.ablation.study import Study
from nastk.core.config import Part, default_of, unstructure
from nastk.core.document import place
from nastk.core.errors import ConfigError
from nastk.core.run.runfile import configure
from nastk.core.settings import RunConfig

Role = Literal["baseline", "cell", "random-search"]
RANDOM = "random search, equal cost"
WITHOUT_EFFECT = ("seed", "reporters", "checkpoint_minutes", "slice_minutes")
"""Settings that change nothing of what a run finds."""
RETRAINED = ("train", "model")
"""Tables whose settings, where they are varied, are those of retraining alone (``stage = "retrain"``)."""


@frozen
class StudyCell:
    """One combination of settings."""

    label: str
    role: Role
    values: Mapping[str, Any]
    """By dotted path, as the study writes them."""
    config: RunConfig
    """The whole settings of its runs, the seed apart."""
    search: RunConfig | None
    """Of the search that comes before, where retraining is varied."""
    digest: str
    in_grid: bool = False
    """Whether it is one of a full grid of two factors or more."""


@frozen
class Job:
    """A directory of work below the study's: a whole run, a search, or a retraining."""

    key: str
    """The directory, ``runs/DIGEST-SEED`` or ``searches/DIGEST-SEED``."""
    kind: Literal["run", "search", "retrain"]
    config: RunConfig
    cell: str = ""
    """Digest of the cell; empty for a shared search."""
    found_by: str = ""
    """The search whose genotype is retrained."""
    as_long_as: str = ""
    """The job whose seconds of search are this one's limit."""

    @property
    def after(self) -> tuple[str, ...]:
        """The jobs that have to be done before."""
        return tuple(filter(None, (self.found_by, self.as_long_as)))


@frozen
class Plan:
    """A study with its cells and jobs."""

    study: Study
    cells: tuple[StudyCell, ...]
    jobs: tuple[Job, ...] = field(repr=False)
    """In the order in which they are done: seed by seed, so that an unfinished study has whole pairs."""

    @property
    def baseline(self) -> StudyCell:
        """The cell that the others are compared with."""
        return next(cell for cell in self.cells if cell.role == "baseline")


def planned(study: Study) -> Plan:
    """All cells and jobs. Raises :class:`ConfigError` with every fault of every cell; a fault of several is told once."""
    written = _written(study)
    faults: dict[str, str] = {}
    cells: list[StudyCell] = []
    first = _first(study, written)
    for i, (label, values, in_grid) in enumerate(written):
        try:
            config = configure(_with(study.run, values))
            search = configure(_with(study.run, _searched(values))) if study.settings.stage == "retrain" else None
        except ConfigError as error:
            for fault in error.faults:
                faults.setdefault(fault, label)
            continue
        role: Role = "baseline" if i == first else "cell"
        cells.append(StudyCell(label, role, values, config, search, _digest(config, search), in_grid))
    if faults:
        raise ConfigError([f"cell {label!r}: {fault}" for fault, label in faults.items()], study.source)
    cells.sort(key=lambda cell: cell.role != "baseline")
    if has_row(study, {cell.label: cell.search or cell.config for cell in cells}):
        cells.append(_random(study, cells[0]))
    _refuse_twins(study, cells)
    return Plan(study, tuple(cells), tuple(_jobs(study, cells)))


def _written(study: Study) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Label, values and membership in the grid of every cell, the baseline among them."""
    base = usual(study.factors, study.design)
    given = study.baseline if isinstance(study.baseline, Mapping) else {}
    apart = bool(given) and any(dict(cell.values) == dict(given) for cell in study.cells)
    if given and not apart:
        if strangers := [path for path in given if path not in base]:
            raise ConfigError(
                [f"baseline.{path}: is not varied, and no cell of [[cells]] has just these values" for path in strangers],
                study.source,
            )
        base |= given
    grid = designed(study.factors, study.design, base)
    if given and not apart and dict(base) not in grid:
        grid.insert(0, base)
        outside = 1
    else:
        outside = 0
    full = study.design.name == "grid" and len(study.factors) > 1
    values = [*grid, *(cell.values for cell in study.cells)]
    names = [*[""] * len(grid), *(cell.name for cell in study.cells)]
    shown = [name or label or "as written" for name, label in zip(names, labels(values), strict=True)]
    return [(shown[i], v, full and outside <= i < len(grid)) for i, v in enumerate(values)]


def _first(study: Study, written: Sequence[tuple[str, Mapping[str, Any], bool]]) -> int:
    """The place of the baseline. Raises :class:`ConfigError` for a name that no cell has."""
    names = [label for label, _, _ in written]
    if isinstance(study.baseline, str) and study.baseline:
        if study.baseline not in names:
            raise ConfigError([f"baseline: no cell is named {study.baseline!r}. Cells: {'; '.join(names)}"], study.source)
        return names.index(study.baseline)
    values = [dict(found) for _, found, _ in written]
    if isinstance(study.baseline, Mapping) and dict(study.baseline) in values:
        return values.index(dict(study.baseline))
    base = {**usual(study.factors, study.design), **(study.baseline or {})}
    return values.index(base) if base in values else 0


def _with(run: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The run file with these values, a part before its settings."""
    document: dict[str, Any] = copy.deepcopy(dict(run))
    for path in sorted(values, key=lambda path: path.count(".")):
        place(document, path.split("."), copy.deepcopy(values[path]))
    return document


def _searched(values: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in values.items() if path.partition(".")[0] not in RETRAINED}


def _random(study: Study, baseline: StudyCell) -> StudyCell:
    row = configure(random_row(study, baseline.search or baseline.config))
    config = row if baseline.search is None else evolve(baseline.config, strategy=row.strategy, budget=row.budget)
    search = None if baseline.search is None else row
    clock = baseline.digest if ends_by_clock(study) else ""
    return StudyCell(RANDOM, "random-search", {"strategy": row.strategy.name}, config, search, _digest(config, search, clock))


def _digest(*parts: RunConfig | str | None) -> str:
    """Twelve hex digits that name what a run depends on, the seed apart."""

    def plain(part: RunConfig | str | None) -> Any:
        if not isinstance(part, RunConfig):
            return part
        return {name: value for name, value in _departures(part).items() if name not in WITHOUT_EFFECT}

    text = json.dumps([plain(part) for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _departures(value: Any) -> Any:
    """What of a typed value differs from its defaults, as plain data: a setting that nastk gains later changes nothing in it."""
    if isinstance(value, Part):
        return {"name": value.name, **_departures(value.config)}
    if isinstance(value, tuple):
        return [_departures(entry) for entry in value]
    if not attrs.has(type(value)):
        return unstructure(value)
    fields = {attribute: getattr(value, attribute.name) for attribute in attrs.fields(type(value))}
    return {attribute.name: _departures(entry) for attribute, entry in fields.items() if entry != default_of(attribute)}


def _refuse_twins(study: Study, cells: Sequence[StudyCell]) -> None:
    for attribute, what in (("digest", "are the same run"), ("label", "have the same name")):
        seen: dict[str, StudyCell] = {}
        for cell in cells:
            twin = seen.setdefault(getattr(cell, attribute), cell)
            if twin is not cell:
                raise ConfigError([f"cells: {twin.label!r} and {cell.label!r} {what}: leave one out"], study.source)


def _jobs(study: Study, cells: Sequence[StudyCell]) -> list[Job]:
    jobs: dict[str, Job] = {}
    for seed in study.seeds:
        for cell in cells:
            search = ""
            timed = cell.role == "random-search" and ends_by_clock(study)
            first = next(c for c in cells if c.role == "baseline")
            if cell.search is not None:
                search = f"searches/{_digest(cell.search, first.digest if timed else '')}-{seed}"
                limit = f"searches/{_digest(first.search, '')}-{seed}" if timed else ""
                jobs.setdefault(search, Job(search, "search", evolve(cell.search, seed=seed), as_long_as=limit))
            kind: Literal["run", "retrain"] = "run" if cell.search is None else "retrain"
            limit = f"runs/{first.digest}-{seed}" if timed and kind == "run" else ""
            key = f"runs/{cell.digest}-{seed}"
            jobs[key] = Job(key, kind, evolve(cell.config, seed=seed), cell.digest, search, limit)
    return list(jobs.values())
