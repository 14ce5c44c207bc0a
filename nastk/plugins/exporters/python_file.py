"""A trained network as a Python module over torch alone, with its weights, in one importable archive."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import nastk
from nastk.core import mark
from nastk.core.errors import OutputError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.store import RunDirectory
from nastk.plugins.exporters.archive import MEMBER, member_in, member_of
from nastk.plugins.exporters.new_file import check_new
from nastk.plugins.exporters.python_code import classes

MODULE = "network.py"
STAMP = (1980, 1, 1, 0, 0, 0)
HEAD = '''"""A network that nastk {version} found and trained: space {space}, architecture {digest}. Needs torch alone.

    import network  # with this file, or the archive that it came in, on the path
    logits = network.load()(network.prepare(pixels))  # pixels (T, B, C, H, W) in 0..255 to logits (T, B, K)
"""

from __future__ import annotations

import json
import pkgutil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE = {sample}  # time steps (1: an image, shown at every step), channels, height, width
CLASSES = {classes}
MEAN = {mean}
STD = {std}
'''
TAIL = '''

def prepare(pixels: Tensor) -> Tensor:
    """Pixels ``(T, B, C, H, W)`` from 0 to 255 as the network reads them."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (pixels / 255 - mean) / std


def load(content: bytes | None = None) -> Network:
    """The trained network, in evaluation mode, from the content of network.safetensors (by default the one beside this file)."""
    network = Network()
    found = weights(pkgutil.get_data(__name__, "{member}") if content is None else content)
    found = {{name.replace(".", "_"): tensor for name, tensor in found.items()}}
    network.load_state_dict({{name: found[name.replace(".", "_")] for name in network.state_dict()}})
    return network.eval().requires_grad_(False)


def weights(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file: eight bytes with the header's length, the header in JSON, the numbers."""
    start = 8 + int.from_bytes(content[:8], "little")
    types = {{"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}}
    found = {{}}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            numbers = torch.frombuffer(bytearray(content[first:last]), dtype=types[entry["dtype"]])
            found[name] = numbers.reshape(entry["shape"])
    return found
'''


@mark.exporter("python")
class PythonFile(Exporter):
    """A .zip with the network as readable Python over torch alone, and its weights; Python imports it as it is."""

    suffix = ".zip"

    def write(self, trained: Trained, path: Path) -> None:
        """Write the archive. Raises :class:`OutputError` for what cannot be written as Python, and as ``safetensors``."""
        check_new(path)
        weights, source = member_of(trained), source_of(trained)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in ((MODULE, source.encode()), (MEMBER, weights)):
                archive.writestr(zipfile.ZipInfo(name, STAMP), content)
        RunDirectory(path.parent).write(path.name, file.getvalue())

    def read(self, path: Path) -> Network:
        """The network whose weights are in the archive. The Python in it is not run: import the archive for that."""
        return member_in(path, "archive of the exporter 'python'").network


def source_of(trained: Trained) -> str:
    """The module: constants, classes, and ``load``. Raises :class:`OutputError`."""
    genotype = trained.network.genotype
    head = HEAD.format(
        version=nastk.__version__,
        space=genotype.space,
        digest=genotype.digest,
        sample=tuple(trained.sample),
        classes=trained.classes,
        mean=tuple(trained.mean),
        std=tuple(trained.std),
    )
    source = f"{head}\n\n{classes(trained.network, trained.sample)}\n{TAIL.format(member=MEMBER)}"
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise OutputError(f"The network cannot be written as Python: {error}.") from error
    return source
