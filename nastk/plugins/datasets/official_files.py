"""Reads a data set's official files, each only after its published checksum, and fetches them on request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nastk.core.errors import DataError
from nastk.plugins.datasets.torchvision_compat import torchvision


def verified(path: Path, md5: str) -> NDArray[np.uint8]:
    """The bytes of a file whose MD5 is the expected one. Raises :class:`DataError` when missing or damaged.

    MD5 is what the publishers give. It finds damage, and making a different file with a given MD5 is out of reach.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    found = hashlib.md5(content.data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path} is damaged or not the official file: expected MD5 {md5}, found {found} ({content.size} bytes). "
            "Delete it and fetch it again."
        )
    return content


def missing(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """The files (name -> MD5) that are not in the folder."""
    return [folder / name for name in files if not (folder / name).is_file()]


def fetch(url: str, folder: Path, md5: str) -> None:
    """Download one file into a folder. Raises :class:`DataError`."""
    download = torchvision().datasets.utils.download_url
    try:
        download(url, str(folder), md5=md5)
    except (OSError, RuntimeError, HTTPException) as error:
        raise _failed(url, folder, error) from error


def fetch_archive(url: str, folder: Path, md5: str) -> None:
    """Download an archive, check it, unpack it in a folder and remove it. Raises :class:`DataError`."""
    download = torchvision().datasets.utils.download_and_extract_archive
    try:
        download(url, str(folder), md5=md5, remove_finished=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise _failed(url, folder, error) from error


def _failed(url: str, folder: Path, error: Exception) -> DataError:
    return DataError(f"{url} could not be fetched into {folder}: {error}. Fetch it by hand, or check the network and the folder.")
