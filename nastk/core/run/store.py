"""A run directory: written atomically, checksummed, and read without executing anything."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import tomli_w
from torch import Tensor

from nastk.core.cell.graph import Genotype
from nastk.core.errors import OutputError, SchemaError
from nastk.core.run.lock import LOCK, OWNER
from nastk.core.run.seal import opened, sealed

KEEP = 2
"""Checkpoints of a stage that stay: the last one, and the one before in case the last is damaged."""

HALF = ".half"
"""Ending of a file that is being written."""

_TENSOR, _GENOTYPE = "__tensor__", "__genotype__"


class RunDirectory:
    """The files of one run. Every write goes to a temporary name, is synced, and is renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def create(path: Path) -> RunDirectory:
        """A new directory. Raises :class:`OutputError` when it exists and is not empty, or cannot be made."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(not _left_over(found) for found in path.iterdir()):
                raise OutputError(
                    f"The output directory {path} is not empty: choose another with --out, or go on with --resume {path}."
                )
        except OSError as error:
            raise OutputError(f"The output directory {path} cannot be made: {error.strerror or error}.") from error
        return RunDirectory(path)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """An existing run. Raises :class:`OutputError` when there is none."""
        if not (path / "manifest.toml").is_file():
            raise OutputError(f"{path} is no run directory: it has no manifest.toml.")
        return RunDirectory(path)

    def sweep(self) -> None:
        """Remove what a killed process has left half written."""
        for folder in (self.path, self.path / "checkpoints"):
            for path in folder.glob(f".*{HALF}"):
                path.unlink(missing_ok=True)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file atomically. Raises :class:`OutputError` when the disk is full or the directory read-only."""
        target = self.path / name
        data = content.encode() if isinstance(content, str) else content
        temporary = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", suffix=HALF, delete=False) as file:
                temporary = Path(file.name)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
            _sync(target.parent)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise OutputError(f"{target} cannot be written: {error.strerror or error}. What was finished is kept.") from error
        return target

    def read(self, name: str) -> str:
        """A text file. Raises :class:`OutputError` when it is missing or not text."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(f"{self.path / name} cannot be read: {error}.") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object. Raises :class:`OutputError` when it is missing or damaged."""
        try:
            document = json.loads(self.read(name))
            if isinstance(document, dict):
                return opened(document, self.path / name)
            fault = f"expected an object, got {document!r:.40}"
        except ValueError as error:
            fault = str(error)
        raise OutputError(f"{self.path / name} is damaged: {fault}.")

    def read_toml(self, name: str) -> dict[str, Any]:
        """A TOML document. Raises :class:`OutputError` when it is missing or damaged."""
        try:
            document = tomllib.loads(self.read(name))
        except tomllib.TOMLDecodeError as error:
            raise OutputError(f"{self.path / name} is damaged: {error}.") from error
        return opened(document, self.path / name)

    def write_toml(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a TOML file, sealed with a checksum."""
        return self.write(name, tomli_w.dumps(sealed(document)))

    def write_json(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a JSON object, sealed with a checksum."""
        return self.write(name, json.dumps(sealed(document), indent=2) + "\n")

    def save(self, stage: str, step: int, tree: Any, keep: int = KEEP) -> None:
        """Checkpoint a tree of plain values, tensors and genotypes as ``checkpoints/STAGE-STEP.{safetensors,json}``.

        The last ``keep`` of the stage stay.
        """
        tensors: dict[str, Tensor] = {}
        document = _flatten(tree, tensors)
        name = f"checkpoints/{stage}-{step:06d}"
        blob = safetensors.torch.save(tensors)
        self.write(f"{name}.safetensors", blob)
        self.write_json(f"{name}.json", {"tensors": hashlib.sha256(blob).hexdigest(), "tree": document})
        self.forget(stage, keep)

    def forget(self, stage: str, keep: int = 0) -> None:
        """Remove the checkpoints of a stage but the last ``keep``, and tensors whose document was never written (a full disk)."""
        paths = self._checkpoints(stage)
        kept = {path.stem for path in paths[len(paths) - min(keep, len(paths)) :]}
        for path in sorted((self.path / "checkpoints").glob(f"{stage}-*")):  # a document goes before its tensors
            if path.stem not in kept:
                path.unlink(missing_ok=True)

    def load(self, stage: str) -> Any | None:
        """The last whole checkpoint of a stage, or ``None``. A damaged one is passed over for the one before."""
        return next((tree for _, tree in self.kept(stage)), None)

    def kept(self, stage: str) -> Iterator[tuple[int, Any]]:
        """Every whole checkpoint of a stage with its step, the last one first."""
        for path in reversed(self._checkpoints(stage)):
            try:
                document = self.read_json(f"checkpoints/{path.name}")
                blob = path.with_suffix(".safetensors").read_bytes()
                if hashlib.sha256(blob).hexdigest() == document["tensors"]:
                    yield int(path.stem.rpartition("-")[2]), _unflatten(document["tree"], safetensors.torch.load(blob))
            except (OSError, ValueError, KeyError, TypeError, OutputError, SchemaError, safetensors.SafetensorError):
                continue

    def _checkpoints(self, stage: str) -> list[Path]:
        return sorted((self.path / "checkpoints").glob(f"{stage}-*.json"))


def _left_over(path: Path) -> bool:
    """Whether this is all that may be there of a run that was killed before it began."""
    return path.name in (LOCK, OWNER) or path.name.endswith(HALF)


def _sync(folder: Path) -> None:
    """Make a rename in a folder outlast a power cut, on systems where folders can be synced."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _flatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(tree, Genotype):
        return {_GENOTYPE: tree.to_json()}
    if isinstance(tree, Mapping):
        return {str(key): _flatten(value, tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_flatten(value, tensors) for value in tree]
    if tree is None or isinstance(tree, (str, int, float, bool)):
        return tree
    raise TypeError(f"a state may hold plain values, tensors and genotypes, not {type(tree).__name__}")


def _unflatten(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(document, dict):
        if set(document) == {_TENSOR}:
            return tensors[document[_TENSOR]]
        if set(document) == {_GENOTYPE}:
            return Genotype.from_json(document[_GENOTYPE], "a checkpoint")
        return {key: _unflatten(value, tensors) for key, value in document.items()}
    if isinstance(document, list):
        return [_unflatten(value, tensors) for value in document]
    return document
