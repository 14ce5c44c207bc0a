"""The one door to a library that nastk does not depend on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata
from types import ModuleType

import torch
from torch import nn

from nastk.core.errors import BrokenPlugin


def library(module: str, release: int) -> ModuleType:
    """The module (dotted name), imported now, of a library that has to be of this major release or a later one.

    The first part of the name is also the name of the distribution and of the extra that installs it. Raises
    :class:`BrokenPlugin` when the library is missing, too old, or fails while it is imported.
    """
    name = module.partition(".")[0]
    install = f'pip install "nastk[{name}]"'
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise _unusable(name, error) from error
        raise BrokenPlugin(f"This neuron needs {name}, which is not installed: {install}") from error
    except Exception as error:
        raise _unusable(name, error) from error
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:  # a source tree on the path tells no version
        return loaded
    if int(found.partition(".")[0]) < release:
        raise BrokenPlugin(f"This neuron needs {name} {release}.0 or newer, found {found}: {install}")
    return loaded


def _unusable(name: str, error: Exception) -> BrokenPlugin:
    found = f"{type(error).__name__}: {error}"
    return BrokenPlugin(f"This neuron needs {name}, which is installed but cannot be imported ({found}): install it anew.")


def on_default_device(make: Callable[[], nn.Module]) -> nn.Module:
    """What ``make`` makes, on torch's default device.

    It is made on the CPU: the libraries' constructors look at their numbers, and the meta device, on which networks are
    measured, has none.
    """
    device = torch.empty(0).device
    with torch.device("cpu"):
        made = make()
    return made.to(device)
