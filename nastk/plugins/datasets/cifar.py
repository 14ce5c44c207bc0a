"""CIFAR-10 and CIFAR-100 from the files of their author, in either of the two layouts they are published in.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto, 2009.
The *binary* layout is preferred, and is what ``download`` fetches. The *python* layout is read where it already is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import torch
from attrs import field, frozen
from torch import Tensor

from nastk.core import mark
from nastk.core.data.dataset import Samples
from nastk.core.errors import DataError
from nastk.plugins.datasets.images import FilesConfig, ImageDataset, Part, crop_field, flip_field
from nastk.plugins.datasets.official_files import fetch_archive, missing, verified
from nastk.plugins.datasets.python_batches import read_batch

URL = "https://www.cs.toronto.edu/~kriz/"
SIDE = 32

Files = Mapping[str, str]
"""File name -> published MD5."""


@frozen(kw_only=True)
class CifarConfig(FilesConfig):
    crop: int = crop_field(4)
    flip: bool = flip_field(True)
    size: Literal[4, 8, 16, 32] | None = field(default=None, metadata={"help": "average the images down to size x size pixels"})


@frozen(kw_only=True)
class Layout:
    """A folder of one published form of a data set."""

    folder: str
    train: Files
    test: Files

    def files(self, part: Part) -> Files:
        return self.train if part == "train" else self.test


class Cifar(ImageDataset):
    """What the two share. A sub-class names its files and where its labels are in them."""

    archive: ClassVar[str]
    archive_md5: ClassVar[str]
    binary: ClassVar[Layout]
    python: ClassVar[Layout]
    label_bytes: ClassVar[int]
    """Label bytes before each image's pixels in the binary layout; the last one is the class."""
    label_key: ClassVar[str]
    """Key of the classes in the python layout."""

    def __init__(self, config: CifarConfig) -> None:
        super().__init__(config)
        self._root = Path(config.root).expanduser()
        self._download = config.download
        self._size = config.size or SIDE

    def read(self, part: Part) -> Samples:
        """Images ``(N, 3, size, size)``; each file is checked against its published MD5 first."""
        layout = self._layout(part)
        batches = [self._batch(layout, name, md5) for name, md5 in layout.files(part).items()]
        return Samples(torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]))

    def _layout(self, part: Part) -> Layout:
        """The layout that is complete, fetched if allowed."""
        for layout in (self.binary, self.python):
            if not missing(self._root / layout.folder, layout.files(part)):
                return layout
        if self._download:
            fetch_archive(URL + self.archive, self._root, self.archive_md5)
            return self.binary
        lacking = missing(self._root / self.binary.folder, self.binary.files(part))
        raise DataError(
            f"{lacking[0]} is not there, nor is a complete {self._root / self.python.folder}. "
            f"Unpack {URL}{self.archive} in {self._root}, set root to the folder that holds {self.binary.folder}, "
            "or set download = true."
        )

    def _batch(self, layout: Layout, name: str, md5: str) -> Samples:
        path = self._root / layout.folder / name
        content = verified(path, md5)
        if layout is self.python:
            x_NCHW, y_N = read_batch(content.tobytes(), self.label_key, str(path))
        else:
            rows = torch.from_numpy(content).view(-1, self.label_bytes + 3 * SIDE * SIDE)
            x_NCHW = rows[:, self.label_bytes :].reshape(-1, 3, SIDE, SIDE)
            y_N = rows[:, self.label_bytes - 1].long()
        return Samples(shrink(x_NCHW, self._size), y_N)


@mark.dataset(
    "cifar10",
    config=CifarConfig,
    paper="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of Toronto 2009",
)
class Cifar10(Cifar):
    """50,000 + 10,000 colour photographs of 32x32 pixels in 10 classes (Krizhevsky 2009)."""

    classes = 10
    archive = "cifar-10-binary.tar.gz"
    archive_md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    label_bytes = 1
    label_key = "labels"
    binary = Layout(
        folder="cifar-10-batches-bin",
        train={
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        },
        test={"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
    )
    python = Layout(
        folder="cifar-10-batches-py",
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    )


@mark.dataset(
    "cifar100",
    config=CifarConfig,
    paper="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of Toronto 2009",
)
class Cifar100(Cifar):
    """50,000 + 10,000 colour photographs of 32x32 pixels in 100 classes (Krizhevsky 2009)."""

    classes = 100
    archive = "cifar-100-binary.tar.gz"
    archive_md5 = "03b5dce01913d631647c71ecec9e9cb8"
    label_bytes = 2
    label_key = "fine_labels"
    binary = Layout(
        folder="cifar-100-binary",
        train={"train.bin": "6172c7755cfe09b2fe270c85cebc1b15"},
        test={"test.bin": "4499cfba6c016c1be1438163640a0898"},
    )
    python = Layout(
        folder="cifar-100-python",
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    )


def shrink(x_NCHW: Tensor, size: int) -> Tensor:
    """Square uint8 images averaged over blocks, down to ``size`` x ``size``, which must divide their side."""
    block = x_NCHW.shape[-1] // size
    if block == 1:
        return x_NCHW
    area = block * block
    pixels = (x_NCHW[..., row::block, column::block] for row in range(block) for column in range(block))
    total = torch.full((*x_NCHW.shape[:2], size, size), area // 2, dtype=torch.int32)  # rounds to nearest
    for pixel in pixels:
        total += pixel
    return (total // area).to(torch.uint8)
