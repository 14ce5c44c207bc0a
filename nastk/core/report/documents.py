"""Files of a run or a study, read while somebody else may be writing them: nothing is locked, made or changed. Torch-free."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tomllib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nastk.core.cell.graph import Genotype
from nastk.core.errors import NastkError, OutputError
from nastk.core.run.seal import opened

TRIALS, STUDY = "trials.sqlite", "study.sqlite"
LIVE = "-wal"
"""Ending of the log beside a database that somebody has open."""


def toml_of(path: Path) -> dict[str, Any]:
    """A sealed TOML file. Raises :class:`OutputError` when it is missing or damaged."""
    try:
        document = tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OutputError(f"{path} is damaged: {error}.") from error
    return opened(document, path)


def json_of(path: Path) -> dict[str, Any]:
    """A sealed JSON object; an empty one where there is no file. Raises :class:`OutputError` when it is damaged."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path} is damaged: {error}.") from error
    if not isinstance(document, dict):
        raise OutputError(f"{path} is damaged: expected an object, got {document!r:.40}.")
    return opened(document, path)


@frozen
class TrialRow:
    """A trial as the log has it."""

    number: int
    """Its place in the search, from 1 on."""
    digest: str
    """Of the genotype."""
    epochs: int
    figures: Mapping[str, Any] = field(factory=dict)
    failure: str | None = None


def trials_of(folder: Path) -> tuple[tuple[TrialRow, ...], int]:
    """The whole trials of a run, in order, and how many are damaged. Raises :class:`OutputError` for a file that is no log."""
    rows = query(folder / TRIALS, "SELECT number, genotype, epochs, figures, failure, sha256 FROM trials ORDER BY number")
    found = [_trial(*row) for row in rows]
    whole = tuple(trial for trial in found if trial is not None)
    return whole, len(found) - len(whole)


@frozen
class Job:
    """A run of a study, or a search that several of its runs share."""

    key: str
    """Its directory below the study's."""
    cell: str
    """Label; empty for a shared search."""
    seed: int
    state: str
    reason: str
    seconds: float


def jobs_of(folder: Path) -> tuple[Job, ...]:
    """The jobs of a study, in the order in which they were planned. Raises :class:`OutputError` for a file that is no ledger."""
    text = (
        "SELECT key, coalesce((SELECT label FROM cells WHERE digest = cell), ''), seed, state, reason, seconds "
        "FROM jobs ORDER BY rowid"
    )
    return tuple(Job(*row) for row in query(folder / STUDY, text))


def query(path: Path, text: str) -> list[tuple[Any, ...]]:
    """The rows that a query gives; none where there is no file. Raises :class:`OutputError` for one that cannot be read."""
    if not path.is_file():
        return []
    # A database that nobody has open is read as it stands; else SQLite has to look into the log beside it.
    how = "mode=ro" if path.with_name(path.name + LIVE).exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=5)) as connection:
            return connection.execute(text).fetchall()
    except (sqlite3.Error, OSError) as error:
        raise OutputError(f"{path} cannot be read: {error}.") from error


def _trial(number: Any, genotype: Any, epochs: Any, figures: Any, failure: Any, sha256: Any) -> TrialRow | None:
    """A row of :mod:`nastk.core.run.trial_log`, ``None`` where its checksum says that it was changed."""
    content = json.dumps((number, genotype, epochs, figures, failure))
    if sha256 and sha256 != hashlib.sha256(content.encode()).hexdigest():
        return None
    try:
        table = json.loads(figures)
        digest = Genotype.from_json(genotype, TRIALS).digest
    except (NastkError, ValueError, TypeError):
        return None
    return TrialRow(number, digest, epochs, table, failure) if isinstance(table, dict) and isinstance(epochs, int) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path} cannot be read: {error}.") from error
