"""SQLite files of a run or a study: a write-ahead log, and a schema that knows its version."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from nastk.core.errors import OutputError


def connected(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """The file at a path, made where it is missing, with all migrations applied; each is applied whole, or not at all.

    ``migrations[n]`` turns schema version n into n + 1. Raises :class:`OutputError` for a file of a newer nastk,
    :class:`sqlite3.Error` for one that is no database.
    """
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise OutputError(f"{path} has schema version {version}, this nastk knows {len(migrations)}: use a newer nastk.")
        for number, migration in enumerate(migrations[version:], start=version + 1):
            connection.executescript(f"BEGIN; {migration}; PRAGMA user_version = {number}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection
