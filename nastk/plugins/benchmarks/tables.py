"""Reads a table, an ``.npz`` file or one compressed once more by xz; nothing in it is executed."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from nastk.core.errors import DataError, SchemaError
from nastk.core.types import Pairs

Arrays = dict[str, NDArray[Any]]
KINDS = {"f": "numbers", "iu": "whole numbers", "SU": "text"}
DECIMALS = 6
"""Shares are rounded to a millionth: finer than any difference in the tables, coarser than float32."""


@frozen
class Column:
    """What an array of a table must be: its shape (``None``: any length), and its kind of numpy dtypes (one of :data:`KINDS`)."""

    shape: tuple[int | None, ...]
    kind: str

    def fits(self, array: NDArray[Any]) -> bool:
        """Whether the array is of this shape and kind."""
        lengths = zip(array.shape, self.shape, strict=False)
        same = array.ndim == len(self.shape) and all(wanted in (None, length) for length, wanted in lengths)
        return same and array.dtype.kind in self.kind


@frozen
class Archive:
    """A table's file, read whole and checked. Its arrays are unpacked when they are asked for."""

    source: str
    names: tuple[str, ...]
    content: bytes = field(repr=False)

    @staticmethod
    def opened(path: Path | Traversable, sha256: str = "") -> Archive:
        """The archive in a file. ``sha256`` is what the file must hash to; empty: anything.

        Raises :class:`DataError` when the file is missing or damaged, :class:`SchemaError` when it is no archive.
        """
        content = _checked(path, sha256)
        try:
            if content.startswith(b"\xfd7zXZ\x00"):
                content = lzma.decompress(content)
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return Archive(str(path), tuple(archive.files), content)
        except Exception as error:  # a damaged archive can make zip, xz and numpy raise nearly anything
            raise _no_table(str(path), error) from error

    def read(self, columns: Mapping[str, Column]) -> Arrays:
        """The named arrays. Raises :class:`SchemaError` where one is missing, or another than is expected."""
        for name in columns:
            if name not in self.names:
                raise SchemaError(f"{self.source} has no array {name!r}: expected {', '.join(columns)}.")
        try:
            with np.load(io.BytesIO(self.content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in columns}
        except Exception as error:
            raise _no_table(self.source, error) from error
        for name, column in columns.items():
            found = arrays[name]
            if not column.fits(found):
                shape = str(tuple("any" if length is None else length for length in column.shape)).replace("'", "")
                raise SchemaError(
                    f"{self.source}: the array {name!r} is {found.dtype} of shape {found.shape}, "
                    f"expected {KINDS[column.kind]} of shape {shape}."
                )
        return arrays


def read_table(path: Path | Traversable, columns: Mapping[str, Column], sha256: str = "") -> Arrays:
    """The named arrays of a table; what else is in the file is not read. Raises as :class:`Archive` does."""
    return Archive.opened(path, sha256).read(columns)


def _checked(path: Path | Traversable, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise DataError(f"The table {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise DataError(f"{path} is damaged or another file: expected SHA-256 {sha256.lower()}, found {found}.")
    return content


def _no_table(source: str, error: Exception) -> SchemaError:
    return SchemaError(f"{source} is no table in an .npz or .npz.xz file: {type(error).__name__}: {error}")


def shares(percent: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Percent as shares. Raises :class:`SchemaError` for what is no percentage."""
    if not (percent.min() >= 0 and percent.max() <= 100):  # false for nan too
        raise SchemaError(f"{where} has values that are no percentages.")
    return np.round(percent.astype(np.float64) / 100, DECIMALS)


def amounts(values: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Seconds, counts and the like. Raises :class:`SchemaError` for what is negative or not finite."""
    found = values.astype(np.float64)
    if not (np.isfinite(found).all() and found.min() >= 0):
        raise SchemaError(f"{where} has values that are negative or not finite.")
    return found


@lru_cache(maxsize=256)
def difference(parts: Pairs, trained: Pairs) -> str:
    """Why networks of these parts are not those that a table was ``trained`` with; empty when they are.

    Only parts that ``trained`` names are looked at, each with all of its settings (``neuron`` and ``neuron.tau``).
    """
    sections = {name.partition(".")[0] for name, _ in trained}
    found = {name: value for name, value in parts if name.partition(".")[0] in sections}
    wanted = dict(trained)
    for name in (*wanted, *sorted(found.keys() - wanted.keys())):
        if found.get(name) != wanted.get(name):
            theirs = repr(wanted[name]) if name in wanted else "its default"
            return f"it has {name} = {found.get(name)!r}, the networks of the table {name} = {theirs}"
    return ""
