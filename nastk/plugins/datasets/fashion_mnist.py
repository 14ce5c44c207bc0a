"""Fashion-MNIST from its official idx files (Xiao, Rasul and Vollgraf, arXiv:1708.07747; MIT licence)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from nastk.core import mark
from nastk.core.data.dataset import Samples
from nastk.core.errors import DataError
from nastk.plugins.datasets.images import FilesConfig, ImageDataset, Part, crop_field, flip_field
from nastk.plugins.datasets.official_files import fetch, missing, verified

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
RAW = "FashionMNIST/raw"
FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}
"""Part -> file name (images, then labels) -> published MD5."""


@frozen(kw_only=True)
class FashionMnistConfig(FilesConfig):
    crop: int = crop_field(2)
    flip: bool = flip_field(True)


@mark.dataset(
    "fashion-mnist",
    config=FashionMnistConfig,
    paper="Xiao et al., Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, arXiv 1708.07747",
)
class FashionMnist(ImageDataset):
    """60,000 + 10,000 grey pictures of clothes, 28x28 pixels in 10 classes (Xiao et al. 2017)."""

    classes = 10

    def __init__(self, config: FashionMnistConfig) -> None:
        super().__init__(config)
        self._root = Path(config.root).expanduser()
        self._download = config.download

    def read(self, part: Part) -> Samples:
        """Images ``(N, 1, 28, 28)``; each file is checked against its published MD5 first."""
        folder = self._folder(part)
        images, labels = (parse_idx(verified(folder / name, md5), str(folder / name)) for name, md5 in FILES[part].items())
        return Samples(images[:, None], labels.long())

    def _folder(self, part: Part) -> Path:
        """The first folder that holds the part's files, fetched if allowed."""
        files = FILES[part]
        raw = self._root / RAW
        for folder in (raw, self._root):
            if not missing(folder, files):
                return folder
        if self._download:
            for name, md5 in files.items():
                fetch(URL + name, raw, md5)
            return raw
        raise DataError(
            f"{missing(raw, files)[0]} is not there, nor are {' and '.join(files)} directly in {self._root}. "
            f"Fetch them from {URL} into either folder, set root, or set download = true."
        )


def parse_idx(content: bytes | np.ndarray, source: str) -> Tensor:
    """The uint8 tensor in a gzipped idx file: two zero bytes, type 8, the number of axes, each length as a big-endian
    32-bit number, then the values (LeCun, Cortes and Burges, the MNIST page). Raises :class:`DataError`.
    """
    try:
        raw = gzip.decompress(bytes(content))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{source} is no gzip file: {error}.") from error
    axes = raw[3] if len(raw) > 3 else 0
    start = 4 + 4 * axes
    if raw[:3] != b"\x00\x00\x08" or not axes or len(raw) < start:
        raise DataError(f"{source} is no idx file of bytes: it begins with {raw[:4].hex()!r}.")
    shape = tuple(int(length) for length in np.frombuffer(raw, dtype=">u4", count=axes, offset=4))
    values = np.frombuffer(raw, dtype=np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=object):
        raise DataError(f"{source} promises values of shape {shape} and holds {values.size}.")
    return torch.from_numpy(values.reshape(shape).copy())
