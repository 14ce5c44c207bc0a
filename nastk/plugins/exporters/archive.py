"""Zip archives in which the network lies beside a program that computes it; what is read from them is the network."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from pathlib import Path

from nastk.core.errors import NastkError, OutputError, SchemaError
from nastk.core.run.exporter import Trained
from nastk.plugins.exporters.safetensors_file import SafetensorsConfig, SafetensorsFile

MEMBER = "network.safetensors"
"""Weights and card, as the exporter ``safetensors`` writes them."""
BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError)
"""What :mod:`zipfile` raises for a file that is no whole archive."""


def member_of(trained: Trained) -> bytes:
    """The network as a safetensors file. Raises as ``safetensors`` does."""
    with tempfile.TemporaryDirectory(prefix="nastk-") as folder:
        path = Path(folder) / MEMBER
        SafetensorsFile(SafetensorsConfig()).write(trained, path)
        return path.read_bytes()


def member_in(path: Path, what: str) -> Trained:
    """The network in an archive, ``what`` it should be ("a file of the exporter 'python'"), once all of it is seen to be whole.

    Raises :class:`OutputError` when there is no file, :class:`SchemaError` when it is damaged or none of nastk's.
    """
    if not path.is_file():
        raise OutputError(f"There is no file {path}.")
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():
                raise SchemaError(f"{path} is damaged: {damaged} in it does not give its checksum.")
            found = [info for info in archive.infolist() if info.filename.endswith(MEMBER)]
            if len(found) != 1 or found[0].file_size > len(content):  # stored as it is: it cannot grow beyond the file
                raise SchemaError(f"{path} is no {what}: there is no {MEMBER} in it.")
            weights = archive.read(found[0])
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except BROKEN as error:
        raise SchemaError(f"{path} is no whole {what}: {error}.") from error
    with tempfile.TemporaryDirectory(prefix="nastk-") as folder:
        copy = Path(folder) / MEMBER
        copy.write_bytes(weights)
        try:
            return SafetensorsFile(SafetensorsConfig()).trained(copy)
        except NastkError as error:
            raise SchemaError(str(error).replace(str(copy), f"{MEMBER} in {path}")) from error
