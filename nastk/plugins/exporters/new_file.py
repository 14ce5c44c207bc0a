"""What exporters for other programs share: files must not be there yet, and sums come in another order."""

from __future__ import annotations

from pathlib import Path

from nastk.core.errors import OutputError

FLIPPED = 1e-2
"""The tolerance of a network that another program computes. The same numbers added in another order differ in the last digit, and
where a membrane lies that close to the threshold, a spike flips and others with it."""


def check_new(path: Path) -> None:
    """Raises :class:`OutputError` when there is something under this name."""
    try:
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name, or delete it first.")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
