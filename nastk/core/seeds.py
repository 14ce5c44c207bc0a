"""Keyed seeds: a generator depends on (run seed, purpose ...) alone, never on what ran before."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def key(seed: int, *purpose: str | int) -> int:
    """A 63-bit integer that is a stable hash of the run seed and the purpose."""
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def rng(seed: int, *purpose: str | int) -> random.Random:
    """A pure-Python generator for one purpose (walks in a space, shuffles of names)."""
    return random.Random(key(seed, *purpose))


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU torch generator for one purpose. Draw on the CPU and move: results do not depend on the device."""
    import torch

    return torch.Generator().manual_seed(key(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Torch's global generators seeded for one purpose inside the block, restored after it.

    For code that cannot take a generator: the initialisers of ``torch.nn``, dropout.
    """
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]  # torch's
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed also visits every kind of device that might be there, which takes most of a millisecond.
        torch.default_generator.manual_seed(key(seed, *purpose))
        if devices:
            torch.cuda.manual_seed_all(key(seed, *purpose))
        yield


def generator_states() -> dict[str, torch.Tensor]:
    """The state of torch's global generators by device: what is drawn next depends on nothing else."""
    import torch

    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's
        states |= {f"cuda:{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return states


def restore_generators(states: Mapping[str, torch.Tensor]) -> None:
    """The inverse of :func:`generator_states`, for the devices that are there."""
    import torch

    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and int(device.partition(":")[2]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)
