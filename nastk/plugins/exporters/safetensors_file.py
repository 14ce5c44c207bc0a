"""A trained network as one safetensors file, from which nastk builds it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from attrs import field, frozen
from safetensors import SafetensorError
from torch import Tensor

from nastk.core import mark
from nastk.core.errors import NastkError, OutputError, SchemaError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.store import RunDirectory
from nastk.core.types import Shape
from nastk.plugins.exporters.card import SHA256, Card, checksum
from nastk.plugins.exporters.new_file import check_new

AUXILIARY = "body.auxiliary."
"""The auxiliary head, which is for training only."""

ROUNDED = 1.0
"""The tolerance of 16 bits. Rounding moves membranes across the threshold, and one flipped spike flips others; logits
that have nothing to do with one another would be at about 1.4."""


@frozen(kw_only=True)
class SafetensorsConfig:
    """Settings of ``safetensors``."""

    precision: Literal["float32", "float16", "bfloat16"] = field(
        default="float32", metadata={"help": "type of the stored weights; 16 bits halve the file, and rounding flips some spikes"}
    )


@mark.exporter("safetensors", config=SafetensorsConfig)
class SafetensorsFile(Exporter):
    """One self-contained .safetensors file: weights, genotype, sample shape, classes and normalisation."""

    suffix = ".safetensors"

    def __init__(self, config: SafetensorsConfig) -> None:
        self.precision = config.precision
        if config.precision != "float32":
            self.tolerance = ROUNDED

    def write(self, trained: Trained, path: Path) -> None:
        """Write the network, but for its auxiliary head; numbers that are not floats keep their type.

        The file appears whole or not at all. Raises :class:`OutputError` when there is a file, when it cannot be
        written, and for a network that cannot be rebuilt or has weights beyond the precision's range.
        """
        check_new(path)
        state = trained.network.state_dict()
        tensors = {name: self._stored(name, value) for name, value in state.items() if not name.startswith(AUXILIARY)}
        try:
            card = Card.of(trained)
            faults = differences(card.tensors(), {name: value.shape for name, value in tensors.items()})
        except NastkError as error:
            raise OutputError(f"The network cannot be exported: {error}") from error
        if faults:
            raise OutputError(f"The network cannot be exported, since its genotype gives another one: {faults}.")
        metadata = card.text()
        metadata[SHA256] = checksum(metadata, tensors)
        RunDirectory(path.parent).write(path.name, safetensors.torch.save(tensors, metadata))

    def _stored(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise OutputError(f"The network cannot be exported: {name} is no tensor but {type(value).__name__}.")
        here = value.detach().cpu().contiguous().clone()
        if not here.is_floating_point():
            return here
        stored = here.to(getattr(torch, self.precision))
        if not bool((stored.isfinite() == here.isfinite()).all()):
            largest = float(here.abs().max())
            raise OutputError(f"{name} holds {largest:g}, beyond the range of {self.precision}: choose another precision.")
        return stored

    def read(self, path: Path) -> Network:
        """The network in evaluation mode, on the CPU, in float32 whatever the file's precision, without gradients."""
        return self.trained(path).network

    def trained(self, path: Path) -> Trained:
        """The network of :meth:`read`, and what is needed to prepare its samples. Raises as :meth:`read`."""
        if not path.is_file():
            raise OutputError(f"There is no file {path}.")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                card = Card.read(metadata, str(path))
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  no mapping
                self._agree(card, shapes, path)  # before a number is read: a file cannot ask for more memory than its size
                tensors = {name: file.get_tensor(name) for name in shapes}
        except OSError as error:
            raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
        except SafetensorError as error:
            raise SchemaError(f"{path} is no whole safetensors file: {error}.") from error
        if metadata.get(SHA256) != checksum(metadata, tensors):
            raise SchemaError(f"{path} is damaged: its content does not give the checksum that stands in it.")
        network = card.network().requires_grad_(False)
        network.load_state_dict(tensors)
        facts = card.facts
        return Trained(network, Shape(*facts.sample), facts.classes, facts.mean, facts.std)

    def _agree(self, card: Card, shapes: Mapping[str, Sequence[int]], path: Path) -> None:
        try:
            faults = differences(card.tensors(), shapes)
        except NastkError as error:
            raise SchemaError(f"The network in {path} cannot be built: {error}") from error
        if faults:
            raise SchemaError(f"{path} does not hold the network of its genotype: {faults}.")


def differences(wanted: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> str:
    """In words, the first tensor that is missing, too many or of another shape, and how many more; empty if none is."""
    faults = [f"{name} is missing" for name in wanted if name not in shapes]
    faults += [f"{name} is not part of it" for name in shapes if name not in wanted]
    for name in wanted.keys() & shapes.keys():
        if tuple(shapes[name]) != tuple(wanted[name].shape):
            faults.append(f"{name} is {tuple(shapes[name])}, not {tuple(wanted[name].shape)}")
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{sorted(faults)[0]}{more}" if faults else ""
