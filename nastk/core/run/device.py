"""Where to compute."""

from __future__ import annotations

import torch

from nastk.core.errors import DeviceError
from nastk.core.ranks import ranks


def device_of(name: str) -> torch.device:
    """The device of a setting; ``auto`` takes CUDA, then MPS, then the CPU. Raises :class:`DeviceError`.

    Of several processes that share a run each takes a GPU of its own; MPS cannot be shared.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps and ranks().size == 1 else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and ranks().size > 1:
        device = torch.device("cuda", ranks().local)
    there = {"cpu": True, "mps": mps, "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()}
    if not there[device.type]:
        here = [*(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] if mps else []), "cpu"]
        raise DeviceError(f"The device {name!r} (from device) is not there. This machine has: {', '.join(here)}.")
    return device
