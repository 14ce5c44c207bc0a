"""Which of several processes this one is, where they train one network together. Torch-free.

``torchrun`` starts the processes and says in the environment who is who; each is a *rank*, from 0 on. All ranks do the
same, on a share of every batch each; only rank 0 has a run directory and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from nastk.core.errors import ConfigError


@frozen
class Ranks:
    """This process among ``size``; ``local`` counts those of one machine, and is the number of its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0


ALONE = Ranks()
_now = ALONE


def launched() -> Ranks:
    """What the environment says (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``). Raises :class:`ConfigError` for no numbers."""
    try:
        found = Ranks(*(int(os.environ.get(name, usual)) for name, usual in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))
    except ValueError as error:
        raise ConfigError([f"RANK, WORLD_SIZE and LOCAL_RANK have to be numbers: {error}"], "the environment") from error
    return found if found.size > 1 else ALONE


def ranks() -> Ranks:
    """This process's place while a run is shared; alone at any other time."""
    return _now


@contextmanager
def taking_part(place: Ranks) -> Iterator[Ranks]:
    """A block in which :func:`ranks` is this place."""
    global _now
    before, _now = _now, place
    try:
        yield place
    finally:
        _now = before
