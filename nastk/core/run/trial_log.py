"""The trials of a run in ``trials.sqlite``: every report that was ever made, in the order in which it came."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nastk.core.cell.graph import Genotype
from nastk.core.errors import NastkError, OutputError
from nastk.core.run.database import connected
from nastk.core.run.trial import Proposal, Report

FILE = "trials.sqlite"
MIGRATIONS = (
    """CREATE TABLE trials (
        number INTEGER PRIMARY KEY, genotype TEXT NOT NULL, epochs INTEGER NOT NULL, figures TEXT NOT NULL, failure TEXT
    )""",
    "ALTER TABLE trials ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''",
)
"""Never edited, only added to."""
REPLACE = "REPLACE INTO trials (number, genotype, epochs, figures, failure, sha256) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = "SELECT number, genotype, epochs, figures, failure, sha256 FROM trials ORDER BY number"


class TrialLog:
    """Reports by their place in the search. SQLite with a write-ahead log: a killed process loses no report that was kept.

    The file is made when the first report comes. Every row has a checksum; a damaged row is known as such. Raises
    :class:`OutputError` for a disk that is full or read-only, a file that is no log, and one of a newer nastk.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None

    def keep(self, number: int, report: Report) -> None:
        """Keep a report as the ``number``-th of the search, from 1 on; one that stood there is replaced."""
        proposal = report.proposal
        content = (number, proposal.genotype.to_json(), proposal.epochs, json.dumps(dict(report.figures)), report.failure)
        with self._open() as connection, connection:
            connection.execute(REPLACE, (*content, _checksum(*content)))

    def read(self) -> list[Report | None]:
        """Every report in order; ``None`` for a row that is damaged or missing. A log that is not there is empty."""
        if not self.path.is_file():
            return []
        with self._open() as connection:
            rows = connection.execute(SELECT).fetchall()
        found = {number: _report(number, *content) for number, *content in rows if isinstance(number, int) and number > 0}
        return [found.get(number) for number in range(1, max(found, default=0) + 1)]

    def close(self) -> None:
        """Release the file; a later call opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = connected(self.path, MIGRATIONS)
            yield self._connection
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise OutputError(f"{self.path} cannot be used: {error}. What was finished is kept.") from error


def _checksum(*content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _report(number: int, genotype: str, epochs: int, figures: str, failure: str | None, sha256: str) -> Report | None:
    if sha256 and sha256 != _checksum(number, genotype, epochs, figures, failure):
        return None
    try:
        return Report(Proposal(Genotype.from_json(genotype, FILE), epochs), json.loads(figures), failure)
    except (NastkError, ValueError, TypeError):
        return None
