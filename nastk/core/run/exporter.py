"""Exporters: a trained network in a form that other programs read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from attrs import frozen
from torch import Tensor

from nastk.core.model.network import Network
from nastk.core.types import Shape


@frozen
class Trained:
    """A trained network and what is needed to use it: samples are ``(x / 255 - mean) / std``, channel by channel."""

    network: Network
    sample: Shape
    """Shape of one sample; ``T = 1`` for a static one."""
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Exporter(ABC):
    """Writes a trained network to a file. A plug-in class is built as ``cls(config)``."""

    suffix: ClassVar[str]
    """How the file's name ends, with the dot."""

    tolerance: float = 1e-5
    """How far logits may lie apart after the round trip: the largest mean difference, as a share of the mean size."""

    @abstractmethod
    def write(self, trained: Trained, path: Path) -> None:
        """Write the network, which is in evaluation mode, and leave it as it is.

        Raises :class:`~nastk.core.errors.OutputError`.
        """

    @abstractmethod
    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        """The function that a written file holds: normalised samples ``(T, B, C, H, W)`` to logits ``(T, B, K)``.

        Nothing in the file is executed. Raises :class:`~nastk.core.errors.SchemaError` for a file that is none.
        """
