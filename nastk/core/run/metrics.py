"""The lines of ``metrics.jsonl``: one JSON object each, and a checksum, so that a torn or damaged one is known as such."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nastk.core.errors import OutputError

FILE = "metrics.jsonl"
CRC = "crc32"


def line(entry: Mapping[str, Any]) -> bytes:
    """An entry as one line, its checksum last."""
    return json.dumps({**entry, CRC: _crc(entry)}, allow_nan=False).encode() + b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """Every whole entry of a ``metrics.jsonl``, in order; lines that a crash has torn or a disk has damaged are skipped.

    A file that is not there is a run that has stored nothing yet: the list is empty. Raises :class:`OutputError` when
    the file cannot be read.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"Cannot read {path} ({error.strerror or error}): check the path and its permissions.") from error
    return [entry for text in lines if (entry := _parsed(text)) is not None]


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except ValueError:  # not JSON, or not even text
        return None
    if not isinstance(entry, dict) or entry.pop(CRC, None) != _crc(entry):
        return None
    return entry


def _crc(entry: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(dict(entry)).encode()):08x}"
