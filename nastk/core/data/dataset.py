"""Data sets: arrays of samples, two doors. The search is never lent the second one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from attrs import field, frozen
from attrs.validators import and_, ge, lt
from torch import Tensor


class Samples(NamedTuple):
    """Raw samples: ``x`` is uint8, static ``(N, C, H, W)`` or events ``(N, T, C, H, W)``; ``y`` is int64 ``(N,)``."""

    x: Tensor
    y: Tensor


@frozen(kw_only=True)
class Augmentation:
    """What is done to a training batch, as one batched tensor operation each."""

    crop: int = field(default=0, validator=ge(0), metadata={"help": "random crop after padding by so many pixels"})
    flip: bool = field(default=False, metadata={"help": "random horizontal flip"})
    cutout: int = field(default=0, validator=ge(0), metadata={"help": "side of the square that is blanked, in pixels"})
    drop: float = field(
        default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "share of the pixels of each time step that become 0"}
    )
    jitter: int = field(default=0, validator=ge(0), metadata={"help": "random shift in time, by up to so many steps"})


class Dataset(ABC):
    """A classification data set. A plug-in class is built as ``cls(config)``; the files are read at the first call."""

    classes: int
    """Number of classes ``K``."""

    augmentation: Augmentation
    """The augmentation its training wants."""

    @abstractmethod
    def train(self) -> Samples:
        """All training samples, always in the same order. Raises :class:`~nastk.core.errors.DataError`."""

    @abstractmethod
    def test(self) -> Samples:
        """The test samples; called once, by the last stage of a run."""
