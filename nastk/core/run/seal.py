"""Documents that know when they were damaged: a checksum of everything else in them, as their last entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nastk.core.errors import OutputError

SEAL = "sha256"


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its checksum; one that is there is replaced."""
    return {**document, SEAL: _checksum(document)}


def opened(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The inverse of :func:`sealed`. Raises :class:`OutputError`, naming the file, when a single value was changed."""
    if document.get(SEAL) != _checksum(document):
        raise OutputError(f"{path} is damaged: its contents do not match their checksum. Take it from a copy of the run.")
    return {name: value for name, value in document.items() if name != SEAL}


def _checksum(document: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in document.items() if name != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()
