"""What the event data sets share: recordings of an event camera counted into frames, and the settings for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from attrs import field, frozen
from attrs.validators import and_, ge, le, lt
from numpy.typing import NDArray

from nastk.core.data.dataset import Augmentation, Dataset, Samples
from nastk.core.errors import DataError
from nastk.plugins.datasets.images import ImagesConfig, Part, stratified

POLARITIES = 2
MOST = 255
"""A pixel's count in one frame ends here, as samples are bytes."""


class Events(NamedTuple):
    """The ``n`` events of one recording, ascending in time: pixel, polarity (0 or 1) and microseconds, each ``(n,)``."""

    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]
    t: NDArray[Any]


@frozen(eq=False)
class Recordings:
    """One part of a data set: the labels ``(N,)`` of all its recordings, and a reader of a single one by its number."""

    labels: NDArray[np.int64]
    read: Callable[[int], Events]


def frames_field(frames: int = 4) -> Any:
    """The setting ``frames`` with a data set's own default."""
    help_ = "frames T that a recording is counted into; model.time_steps must be the same"
    return field(default=frames, validator=and_(ge(1), le(1000)), metadata={"help": help_})


@frozen(kw_only=True)
class EventsConfig(ImagesConfig):
    """Settings of every event data set, beside those of images."""

    root: str = field(default="data", metadata={"help": "folder that holds the files"})
    frames: int = frames_field()
    by: Literal["count", "time"] = field(
        default="count", metadata={"help": "frames of equally many events, or of equal time (as SpikingJelly splits them)"}
    )
    drop: float = field(
        default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "share of the pixels of each frame that lose their events"}
    )
    jitter: int = field(default=0, validator=ge(0), metadata={"help": "random shift in time, by up to so many frames"})


def slots(t: NDArray[Any], frames: int, by: str) -> NDArray[np.int64]:
    """The frame of each of ``n`` events: windows of ``n // frames`` events or ``(t[-1] - t[0]) // frames`` microseconds.

    The last window takes what is left over, as in SpikingJelly's ``integrate_events_by_fixed_frames_number``.
    """
    if by == "count":
        place = np.arange(len(t), dtype=np.int64)
        width = len(t) // frames
    else:
        place = t.astype(np.int64) - int(t[0])
        width = int(place[-1]) // frames
    return np.minimum(place // max(width, 1), frames - 1)


def counted(events: Events, frames: int, by: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frames ``(T, 2, H, W)`` of a recording: how many events each pixel had, at most 255; ``size`` is ``(H, W)``."""
    height, width = size
    if not len(events.t):
        return np.zeros((frames, POLARITIES, height, width), dtype=np.uint8)
    plane = slots(events.t, frames, by) * POLARITIES + events.p.astype(np.int64)
    cell = (plane * height + events.y.astype(np.int64)) * width + events.x.astype(np.int64)
    counts = np.bincount(cell, minlength=frames * POLARITIES * height * width)
    return np.minimum(counts, MOST).astype(np.uint8).reshape(frames, POLARITIES, height, width)


def checked(events: Events, size: tuple[int, int], source: str) -> Events:
    """The events, if they lie on a sensor of ``(H, W)`` pixels and in the order of time. Raises :class:`DataError`."""
    height, width = size
    if not len(events.t):
        return events
    inside = [int(c.min()) >= 0 and int(c.max()) < n for c, n in ((events.x, width), (events.y, height), (events.p, POLARITIES))]
    if not all(inside):
        raise DataError(f"{source} has events beside the {height} x {width} pixels and two polarities of its sensor.")
    order = events.t.astype(np.int64)
    if (np.diff(order) < 0).any():
        raise DataError(f"{source} has events that are not in the order of time.")
    return events


class EventDataset(Dataset):
    """A data set of recordings: a sub-class names its sensor and opens its two official parts."""

    size: tuple[int, int]
    """Height and width of a frame."""

    def __init__(self, config: EventsConfig) -> None:
        self.config = config
        self.augmentation = Augmentation(
            crop=config.crop, flip=config.flip, cutout=config.cutout, drop=config.drop, jitter=config.jitter
        )

    @abstractmethod
    def recordings(self, part: Part) -> Recordings:
        """The official part, always in the same order. Raises :class:`DataError` when files are missing or damaged."""

    def train(self) -> Samples:
        """The training recordings as frames, or the stratified subset that ``train_images`` asks for."""
        found = self.recordings("train")
        if self.config.train_images is None:
            return self._samples(found, range(len(found.labels)))
        kept = stratified(torch.from_numpy(found.labels), self.config.train_images, self.config.subset_seed)
        return self._samples(found, kept.tolist())

    def test(self) -> Samples:
        """All test recordings as frames."""
        found = self.recordings("test")
        return self._samples(found, range(len(found.labels)))

    def _samples(self, found: Recordings, chosen: Sequence[int]) -> Samples:
        frames = self.config.frames
        x_NTCHW = torch.zeros(len(chosen), frames, POLARITIES, *self.size, dtype=torch.uint8)
        for place, number in enumerate(chosen):
            x_NTCHW[place] = torch.from_numpy(counted(found.read(number), frames, self.config.by, self.size))
        return Samples(x_NTCHW, torch.from_numpy(found.labels[list(chosen)]))
