"""N-MNIST from its official files, or from a small archive of the same recordings.

Source: Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in
Neuroscience 9:437, 2015. An event of the official files has five bytes: x, y, then the polarity in one bit and the
microseconds in 23, the highest byte first; y = 240 marks an overflow of the clock (8,192 us) and is no event.
"""

from __future__ import annotations

import io
import lzma
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core import mark
from nastk.core.errors import DataError
from nastk.plugins.datasets.event_frames import EventDataset, Events, EventsConfig, Recordings, checked
from nastk.plugins.datasets.images import Part, crop_field

URL = "https://www.garrickorchard.com/datasets/n-mnist"
FOLDERS = ("NMNIST", "N-MNIST", ".")
SMALL_FOLDERS = ("nmnist_small", ".")
SMALL = {"train": "train_500.npz.xz", "test": "test_100.npz.xz"}
SENSOR = (34, 34)
DIGITS = 10
EVENT_BYTES = 5
OVERFLOW_ROW, OVERFLOW_US = 240, 2**13


@frozen(kw_only=True)
class NMnistConfig(EventsConfig):
    crop: int = crop_field(2)


@mark.dataset(
    "nmnist",
    config=NMnistConfig,
    paper="Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades, Frontiers 2015",
)
class NMnist(EventDataset):
    """60,000 + 10,000 recordings of digits by an event camera, 34x34 pixels, two polarities (Orchard et al. 2015)."""

    classes = DIGITS
    size = SENSOR
    defaults: ClassVar = {"model": {"time_steps": 4}}

    def __init__(self, config: NMnistConfig) -> None:
        super().__init__(config)
        self._root = Path(config.root).expanduser()

    def recordings(self, part: Part) -> Recordings:
        """The official ``Train`` and ``Test`` folders where they are, else the small archives."""
        for folder in FOLDERS:
            official = self._root / folder / part.capitalize()
            if official.is_dir():
                return _official(official)
        for folder in SMALL_FOLDERS:
            archive = self._root / folder / SMALL[part]
            if archive.is_file():
                return _small(archive)
        raise DataError(
            f"N-MNIST is not in {self._root}: there is neither {FOLDERS[0]}/{part.capitalize()}, {part.capitalize()} nor "
            f"{SMALL[part]}. Unpack the archives of {URL} there, or set root to the folder that holds them."
        )


def parse_bin(content: bytes, source: str) -> Events:
    """The events of one official file. Raises :class:`DataError` when its length is no multiple of five bytes."""
    if len(content) % EVENT_BYTES:
        raise DataError(f"{source} is damaged: {len(content)} bytes are not whole events of {EVENT_BYTES} bytes.")
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, EVENT_BYTES).astype(np.int64)
    x, y, high, middle, low = rows.T
    marks = y == OVERFLOW_ROW
    t = ((high & 0x7F) << 16 | middle << 8 | low) + OVERFLOW_US * np.cumsum(marks)
    kept = ~marks
    return checked(Events(x[kept], y[kept], high[kept] >> 7, t[kept]), SENSOR, source)


def _official(folder: Path) -> Recordings:
    """``0/00002.bin`` and so on; in the order of digits, then of names."""
    found = [(digit, path) for digit in range(DIGITS) for path in sorted((folder / str(digit)).glob("*.bin"))]
    if not found:
        raise DataError(f"{folder} holds no recordings: expected files such as {folder / '0' / '00002.bin'}.")

    def read(number: int) -> Events:
        path = found[number][1]
        try:
            return parse_bin(path.read_bytes(), str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error

    return Recordings(np.array([digit for digit, _ in found], dtype=np.int64), read)


def _small(archive: Path) -> Recordings:
    """All recordings in one xz-compressed ``npz``: ``x``, ``y``, bits ``p`` and ``dt_us``, one recording behind the other."""
    arrays = _arrays(archive)
    try:
        counts = arrays["n_events"].astype(np.int64)
        ends, labels = np.cumsum(counts), arrays["label"].astype(np.int64)
        total = int(ends[-1]) if len(ends) else 0
        p = np.unpackbits(arrays["p"])[:total]
        columns = {"x": arrays["x"], "y": arrays["y"], "p": p, "dt_us": arrays["dt_us"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{archive} is no small archive of N-MNIST: {type(error).__name__}: {error}.") from error
    wrong = [name for name, column in columns.items() if column.shape != (total,)]
    if wrong or len(labels) != len(counts) or not total or labels.max() >= DIGITS:
        raise DataError(f"{archive} is no small archive of N-MNIST: {wrong or 'label'} do not fit its {total} events.")

    def read(number: int) -> Events:
        here = slice(int(ends[number] - counts[number]), int(ends[number]))
        t = np.cumsum(columns["dt_us"][here], dtype=np.int64)
        return checked(Events(columns["x"][here], columns["y"][here], p[here], t), SENSOR, f"{archive}, recording {number}")

    return Recordings(labels, read)


def _arrays(archive: Path) -> dict[str, NDArray[np.generic]]:
    try:
        content = lzma.decompress(archive.read_bytes())
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror or error}.") from error
    except (lzma.LZMAError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DataError(f"{archive} is damaged: {type(error).__name__}: {error}.") from error
