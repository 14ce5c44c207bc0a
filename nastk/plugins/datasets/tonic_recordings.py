"""CIFAR10-DVS and DVS128 Gesture, whose files are read (and fetched, on request) by tonic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from attrs import field, frozen
from attrs.validators import and_, ge, le

from nastk.core import mark
from nastk.core.errors import DataError, NastkError
from nastk.core.extras import needed
from nastk.plugins.datasets.event_frames import EventDataset, Events, EventsConfig, Recordings, checked
from nastk.plugins.datasets.images import Part, crop_field, flip_field

SENSOR = 128
TEST_SHARE = 10
"""Of CIFAR10-DVS, which has no official split, one recording in ten of each class, the last ones, is a test recording."""


@frozen(kw_only=True)
class TonicConfig(EventsConfig):
    size: int = field(
        default=64, validator=and_(ge(8), le(SENSOR)), metadata={"help": "side of a frame; the sensor has 128 pixels"}
    )
    download: bool = field(default=False, metadata={"help": "let tonic fetch missing files"})
    crop: int = crop_field(4)


@frozen(kw_only=True)
class Cifar10DvsConfig(TonicConfig):
    flip: bool = flip_field(True)


class TonicDataset(EventDataset):
    """What the two share. A sub-class names its class in ``tonic.datasets`` and says which recordings are a part."""

    config: TonicConfig
    tonic_name: ClassVar[str]
    defaults: ClassVar = {"model": {"time_steps": 4}}

    def __init__(self, config: TonicConfig) -> None:
        super().__init__(config)
        self.size = (config.size, config.size)

    def opened(self, **options: Any) -> Any:
        """Tonic's data set in ``root``. Raises :class:`DataError`, and :class:`BrokenPlugin` where tonic is missing."""
        name, root = self.tonic_name, self.config.root
        cls = getattr(needed("tonic.datasets", "events", f"The data set {name}"), name)

        def refuse(_: Any) -> NoReturn:
            raise DataError(f"{name} is not in {root}, or not complete: set root, or set download = true to let tonic fetch it.")

        if not self.config.download:
            cls = type(name, (cls,), {"download": refuse})  # tonic fetches what it misses without asking
        try:
            return cls(save_to=root, **options)
        except NastkError:
            raise
        except Exception as error:  # tonic names no errors of its own
            raise DataError(f"{name} in {root} cannot be opened by tonic: {type(error).__name__}: {error}") from error

    def chosen(self, dataset: Any, numbers: Sequence[int]) -> Recordings:
        """The recordings of these numbers, in this order."""
        labels = np.array([int(dataset.targets[number]) for number in numbers], dtype=np.int64)

        def read(place: int) -> Events:
            source = str(dataset.data[numbers[place]])
            try:
                events, _ = dataset[numbers[place]]
                p, t = (events[name].astype(np.int64) for name in ("p", "t"))
                x, y = (events[name].astype(np.int64) * self.config.size // SENSOR for name in ("x", "y"))
            except Exception as error:  # whatever tonic and the reader below it meet in a damaged file
                raise DataError(f"{source} cannot be read by tonic: {type(error).__name__}: {error}") from error
            order = np.argsort(t, kind="stable")
            return checked(Events(x[order], y[order], p[order], t[order]), self.size, source)

        return Recordings(labels, read)


def in_order(dataset: Any) -> list[int]:
    """The numbers of all recordings, by label, then by the path of their files: tonic takes these as the disk lists them."""
    return sorted(range(len(dataset.data)), key=lambda i: (int(dataset.targets[i]), _spelled(str(dataset.data[i]))))


def _spelled(path: str) -> tuple[int, str]:
    """Shorter names first, so that ``cat_2`` stands before ``cat_10``."""
    return len(path), path


@mark.dataset(
    "cifar10-dvs",
    config=Cifar10DvsConfig,
    paper="Li et al., CIFAR10-DVS: An Event-Stream Dataset for Object Classification, Frontiers in Neuroscience 2017",
)
class Cifar10Dvs(TonicDataset):
    """10,000 recordings of CIFAR-10 pictures by an event camera, 128x128 pixels, 10 classes (Li et al. 2017).

    There is no official split: the last tenth of each class, by file name, is the test part.
    """

    classes = 10
    tonic_name = "CIFAR10DVS"

    def __init__(self, config: Cifar10DvsConfig) -> None:
        super().__init__(config)

    def recordings(self, part: Part) -> Recordings:
        """Nine tenths of each class, or the last tenth."""
        dataset = self.opened()
        numbers = in_order(dataset)
        of_class = {label: [i for i in numbers if int(dataset.targets[i]) == label] for label in range(self.classes)}
        taken: list[int] = []
        for mine in of_class.values():
            test = len(mine) // TEST_SHARE
            taken += mine[len(mine) - test :] if part == "test" else mine[: len(mine) - test]
        return self.chosen(dataset, taken)


@mark.dataset(
    "dvs128-gesture",
    config=TonicConfig,
    paper="Amir et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR 2017",
)
class Dvs128Gesture(TonicDataset):
    """Recordings of 11 hand and arm gestures by an event camera, 128x128 pixels, split by person (Amir et al. 2017)."""

    classes = 11
    tonic_name = "DVSGesture"

    def __init__(self, config: TonicConfig) -> None:
        super().__init__(config)

    def recordings(self, part: Part) -> Recordings:
        """The official part."""
        dataset = self.opened(train=part == "train")
        return self.chosen(dataset, in_order(dataset))
