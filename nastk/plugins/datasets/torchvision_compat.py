"""The one door to torchvision, which is optional here and used only to download files.

The torchvision wheel of PyPI is built against a CUDA torch. Next to a CPU-only torch its compiled operators do not
load, and importing it fails with ``operator torchvision::nms does not exist``: it describes two operators that
nobody defined. Nothing here calls them, so declaring their schemas is enough.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType

import torch

from nastk.core.errors import DataError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []  # a library that is collected takes its schemas along


@functools.cache
def torchvision() -> ModuleType:
    """The module torchvision, with ``torchvision.datasets`` loaded. Raises :class:`DataError` when it cannot be had."""
    try:
        return _import()
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise _unusable(error) from error
        raise DataError("Downloading needs torchvision, which is not installed: pip install nastk[torchvision]") from error
    except RuntimeError as error:
        # The plain import goes first: where the real operators load, a second definition would clash with them.
        if "torchvision::" not in str(error):
            raise _unusable(error) from error
    except Exception as error:
        raise _unusable(error) from error
    _forget()
    _declare_missing()
    try:
        return _import()
    except Exception as error:
        _forget()
        raise _unusable(error) from error


def _import() -> ModuleType:
    importlib.import_module("torchvision.datasets.utils")
    return sys.modules["torchvision"]


def _forget() -> None:
    """Drop what a failed import left behind, or the next one would find half-made modules."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_missing() -> None:
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in missing:
            library.define(schema)
        _declared.append(library)


def _unusable(error: Exception) -> DataError:
    return DataError(
        f"torchvision is installed but cannot be imported ({type(error).__name__}: {error}). "
        "Install the release that matches this torch, or fetch the files by hand."
    )
