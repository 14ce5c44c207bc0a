"""Packages that nastk does not depend on: imported when they are needed, named where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from nastk.core.errors import BrokenPlugin


def needed(module: str, extra: str, who: str) -> ModuleType:
    """A module, imported now, for ``who`` ("The executor 'ray'").

    Raises :class:`BrokenPlugin`, which says what installs it, when it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        install = f'pip install "nastk[{extra}]"'
        raise BrokenPlugin(f"{who} needs {module.partition('.')[0]}, which cannot be imported ({error}): {install}") from error
