"""One process at a time writes into a run directory."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nastk.core.errors import OutputError

LOCK, OWNER = "run.lock", "run.owner.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the directory for a block.

    The lock is the operating system's, so it ends with its process, however that ends: a lock that was left behind is
    no lock. Raises :class:`OutputError`, naming host and process, while another process holds it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"{folder} is in use by {_owner(folder)}: wait for it, stop it, or name another directory.") from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be locked: {error.strerror or error}.") from error
    try:
        (folder / OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n", encoding="utf-8")
        yield
    except OSError as error:
        raise OutputError(f"{folder / OWNER} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink()
        lock.release()


def holder(folder: Path) -> str:
    """Who holds the directory, in words; empty when nobody does."""
    if not (folder / LOCK).is_file():
        return ""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return _owner(folder)
    except OSError:  # a directory that cannot be written is not being written
        return ""
    lock.release()
    return ""


def _owner(folder: Path) -> str:
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
