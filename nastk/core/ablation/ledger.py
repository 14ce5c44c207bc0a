"""``study.sqlite``: every run of a study with its state and its numbers. Torch-free.

It can be lost: what is done is read again from the sealed ``result.json`` of each run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from nastk.core.errors import OutputError
from nastk.core.run.database import connected

FILE = "study.sqlite"
State = Literal["waiting", "running", "done", "failed"]
MIGRATIONS = (
    """CREATE TABLE cells (digest TEXT PRIMARY KEY, label TEXT NOT NULL, role TEXT NOT NULL, settings TEXT NOT NULL);
    CREATE TABLE jobs (
        key TEXT PRIMARY KEY, cell TEXT NOT NULL, seed INTEGER NOT NULL, kind TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE figures (
        key TEXT NOT NULL, cell TEXT NOT NULL, seed INTEGER NOT NULL, metric TEXT NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (key, metric)
    );""",
)
"""Never edited, only added to."""


@frozen
class Entry:
    """A job as the ledger has it; ``cell`` is empty for a search that several share."""

    key: str
    cell: str
    seed: int
    state: State
    reason: str = ""
    seconds: float = 0.0
    """Time in this job, all its parts."""
    figures: Mapping[str, float] = {}


class Ledger:
    """The database of a study, with a write-ahead log. Raises :class:`OutputError` for what cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            self._connection = connected(self.path, MIGRATIONS)
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *ended: object) -> None:
        self._connection.close()

    def plan(self, cells: Sequence[tuple[str, str, str, str]], jobs: Sequence[tuple[str, str, int, str]]) -> None:
        """Add cells (digest, label, role, settings) and jobs (key, cell, seed, kind); what is known keeps its state."""
        self._write("REPLACE INTO cells VALUES (?, ?, ?, ?)", cells)
        self._write("INSERT OR IGNORE INTO jobs (key, cell, seed, kind, state) VALUES (?, ?, ?, ?, 'waiting')", jobs)

    def set(self, key: str, state: State, reason: str = "", seconds: float = 0.0) -> None:
        """Change the state of a job; ``seconds`` are added to its time."""
        self._write("UPDATE jobs SET state = ?, reason = ?, seconds = seconds + ? WHERE key = ?", [(state, reason, seconds, key)])

    def keep(self, key: str, figures: Mapping[str, float]) -> None:
        """Keep the numbers of a finished job."""
        text = "REPLACE INTO figures SELECT key, cell, seed, ?, ? FROM jobs WHERE key = ?"
        self._write(text, [(metric, value, key) for metric, value in figures.items()])

    def entries(self) -> list[Entry]:
        """Every job, in the order in which they were planned."""
        try:
            rows = self._connection.execute("SELECT key, cell, seed, state, reason, seconds FROM jobs ORDER BY rowid").fetchall()
            numbers = self._connection.execute("SELECT key, metric, value FROM figures").fetchall()
        except sqlite3.Error as error:
            raise self._refused(error) from error
        figures: dict[str, dict[str, float]] = {}
        for key, metric, value in numbers:
            figures.setdefault(key, {})[metric] = value
        return [
            Entry(key, cell, seed, state, reason, seconds, figures.get(key, {}))
            for key, cell, seed, state, reason, seconds in rows
        ]

    def _write(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        try:
            with self._connection:
                self._connection.executemany(text, rows)
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> OutputError:
        return OutputError(f"{self.path} cannot be used: {error}. Remove it to have it made anew from the runs; they are kept.")


def read_entries(folder: Path) -> list[Entry]:
    """The entries of a study that somebody else may be writing; empty where there is no ledger."""
    if not (folder / FILE).is_file():
        return []
    with Ledger(folder) as ledger:
        return ledger.entries()
