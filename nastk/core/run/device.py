"""Where to compute."""

from __future__ import annotations

import torch

from nastk.core.errors import DeviceError


def device_of(name: str) -> torch.device:
    """The device of a setting; ``auto`` takes CUDA, then MPS, then the CPU. Raises :class:`DeviceError`."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    device = torch.device(name)
    there = {"cpu": True, "mps": mps, "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()}
    if not there[device.type]:
        here = [*(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] if mps else []), "cpu"]
        raise DeviceError(f"The device {name!r} (from device) is not there. This machine has: {', '.join(here)}.")
    return device
