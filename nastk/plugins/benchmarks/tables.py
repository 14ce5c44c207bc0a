"""Reads a table, an ``.npz`` file or one compressed once more by xz; nothing in it is executed."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core.errors import DataError, SchemaError

Arrays = dict[str, NDArray[Any]]
KINDS = {"f": "numbers", "iu": "whole numbers", "SU": "text"}


@frozen
class Column:
    """What an array of a table must be: its shape, and its kind of numpy dtypes (one of :data:`KINDS`)."""

    shape: tuple[int, ...]
    kind: str


def read_table(path: Path | Traversable, columns: Mapping[str, Column], sha256: str = "") -> Arrays:
    """The named arrays of a table; what else is in the file is not read.

    ``sha256`` is what the file must hash to; empty: anything. Raises :class:`DataError` when the file is missing or
    damaged, :class:`SchemaError` when it is another one.
    """
    content = _checked(path, sha256)
    try:
        arrays = _unpacked(content, columns)
    except Exception as error:  # a damaged archive can make zip, xz and numpy raise nearly anything
        raise SchemaError(f"{path} is no table in an .npz or .npz.xz file: {type(error).__name__}: {error}") from error
    for name, column in columns.items():
        if name not in arrays:
            raise SchemaError(f"{path} has no array {name!r}: expected {', '.join(columns)}.")
        found = arrays[name]
        if found.shape != column.shape or found.dtype.kind not in column.kind:
            raise SchemaError(
                f"{path}: the array {name!r} is {found.dtype} of shape {found.shape}, "
                f"expected {KINDS[column.kind]} of shape {column.shape}."
            )
    return arrays


def _checked(path: Path | Traversable, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise DataError(f"The table {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise DataError(f"{path} is damaged or another file: expected SHA-256 {sha256.lower()}, found {found}.")
    return content


def _unpacked(content: bytes, columns: Mapping[str, Column]) -> Arrays:
    if content.startswith(b"\xfd7zXZ\x00"):
        content = lzma.decompress(content)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in columns if name in archive.files}
