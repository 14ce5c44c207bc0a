"""Measured latencies of the networks of NAS-Bench-201, from a file with an array ``dev_DEVICE`` for each device.

Such a file is the collection of HELP (Lee et al., NeurIPS 2021; MIT licence), which holds measurements of HW-NAS-Bench and
others: 15,625 numbers a device in ms, in the order of the official index.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nastk.core.errors import SchemaError, UnknownName, near
from nastk.plugins.benchmarks.tables import Archive, Column, amounts
from nastk.plugins.spaces.nas_bench_201 import SIZE

PREFIX = "dev_"
MISSING = 0.05
"""Below this share of the device's median a value counts as missing. Of 18 devices two have such values, ``pixel3`` 273 and
``raspi4`` 284, near zero; each is of a cell whose input does not reach its output, which the device left out."""


def latencies(path: Path, device: str, sha256: str = "") -> list[float | None]:
    """Milliseconds by official index on a device (``titan_rtx_1``: with the batch); ``None`` where the value is missing.

    Raises :class:`DataError` for a file that is missing or damaged, :class:`SchemaError` for one of other contents,
    :class:`UnknownName` for a device that is not in it.
    """
    archive = Archive.opened(path, sha256)
    devices = [name.removeprefix(PREFIX) for name in archive.names if name.startswith(PREFIX)]
    if device not in devices:
        known = ", ".join(devices)
        raise UnknownName(f"{path} has no latencies of the device {device!r}.{near(device, devices)} It has: {known or 'none'}.")
    name = PREFIX + device
    values_N = amounts(archive.read({name: Column((SIZE,), "f")})[name], f"{path}: {name}")
    least = MISSING * float(np.median(values_N))
    if least <= 0:
        raise SchemaError(f"{path}: {name} is zero for most members.")
    return [value if value >= least else None for value in values_N.tolist()]
