"""A trained network as a program that ``torch.export.load`` reads, without nastk."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch

from nastk.core import mark
from nastk.core.errors import OutputError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.store import RunDirectory
from nastk.plugins.exporters.archive import MEMBER, member_in, member_of
from nastk.plugins.exporters.new_file import check_new
from nastk.plugins.exporters.program import program_of, reason


@mark.exporter("torch-export")
class TorchExport(Exporter):
    """A .pt2 program of torch's own operations, for torch.export.load; T fixed and unrolled, the batch free.

    The weights and the card are in it a second time, as a safetensors file, and this is what :meth:`read` reads: torch unpickles
    and evaluates parts of a .pt2, which nastk does with no file.
    """

    suffix = ".pt2"

    def write(self, trained: Trained, path: Path) -> None:
        """Write the program. Raises :class:`OutputError` for what torch.export cannot record, and as ``safetensors``."""
        check_new(path)
        weights, program = member_of(trained), program_of(trained)
        file = io.BytesIO()
        try:
            torch.export.save(program, file)
        except Exception as error:  # of torch
            raise OutputError(f"torch cannot write the network: {reason(error)}") from error
        with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
            folder, inside, _ = archive.namelist()[0].partition("/")  # the one in which recent versions of torch put everything
            archive.writestr(f"{folder}/nastk/{MEMBER}" if inside else f"nastk/{MEMBER}", weights)
        RunDirectory(path.parent).write(path.name, file.getvalue())

    def read(self, path: Path) -> Network:
        """The network whose weights and card are in the archive; torch's program, for ``torch.export.load``, is not loaded."""
        return member_in(path, "archive of the exporter 'torch-export'").network
