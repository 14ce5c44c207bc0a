"""Reads the *python* files of CIFAR, which are pickles, without letting them run anything.

A pickle is a program: it may call whatever it can name. Here it can name three things, and each stands for a plain
class of this file that only remembers what it was given, so nothing of Python or numpy is called by the file. And it
is read only after its MD5 was found to be the published one (:func:`~nastk.plugins.datasets.official_files.verified`).
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import torch
from torch import Tensor

from nastk.core.data.dataset import Samples
from nastk.core.errors import DataError


class _Remembered:
    """Stands for ``numpy.dtype(...)`` and for a rebuilt array: keeps its arguments and its state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class _NdarrayName:
    """Stands for ``numpy.ndarray``, which the files only name."""


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Remembered,
    ("numpy._core.multiarray", "_reconstruct"): _Remembered,
    ("numpy", "dtype"): _Remembered,
    ("numpy", "ndarray"): _NdarrayName,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


def read_batch(content: bytes, labels: str, source: str) -> Samples:
    """Images ``(N, 3, 32, 32)`` uint8 and labels ``(N,)`` int64 of one file, whose key for the labels is ``labels``.

    Raises :class:`DataError` when the content names anything beyond an array, or is no such file.
    """
    try:
        table = _Reader(io.BytesIO(content), encoding="bytes").load()
        x_NCHW = _pixels(table[b"data"])
        y_N = torch.tensor([int(label) for label in table[labels.encode()]], dtype=torch.int64)
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{source} is not an official CIFAR file: {error}.") from error
    if len(x_NCHW) != len(y_N):
        raise DataError(f"{source} is not an official CIFAR file: {len(x_NCHW)} images and {len(y_N)} labels.")
    return Samples(x_NCHW, y_N)


def _pixels(array: _Remembered) -> Tensor:
    _version, shape, dtype, column_major, raw = array.state
    if dtype.arguments[0] != b"u1" or column_major or math.prod(shape) != len(raw):
        raise ValueError(f"its images are {dtype.arguments[0]!r} {shape}")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, 3, 32, 32)
