import gzip
import hashlib
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import DataError
from nastk.plugins.datasets import fashion_mnist
from nastk.plugins.datasets.fashion_mnist import FILES, FashionMnist, FashionMnistConfig, parse_idx

shapes = st.lists(st.integers(0, 5), min_size=1, max_size=4)


def idx(values: torch.Tensor) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(head + values.numpy().tobytes(), compresslevel=1, mtime=0)


def values(shape, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@given(shapes, st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_idx_round_trip(shape, seed):
    x = values(shape, seed)
    assert torch.equal(parse_idx(idx(x), "some file"), x)


def raw(*parts: bytes) -> bytes:
    return gzip.compress(b"".join(parts), mtime=0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no gzip", "no gzip file"),
        (b"", "no idx file|no gzip file"),
        (idx(values([3]))[:-9], "no gzip file"),
        (raw(b""), "no idx file"),
        (raw(b"\0\0\x0d\x01", struct.pack(">I", 1), b"1234"), "no idx file of bytes"),
        (raw(b"\0\0\x08\0"), "no idx file"),
        (raw(b"\0\0\x08\x03", struct.pack(">I", 1)), "no idx file"),
        (raw(b"\0\0\x08\x01", struct.pack(">I", 4), b"123"), r"shape \(4,\) and holds 3"),
        (raw(b"\0\0\x08\x02", struct.pack(">II", 2**31, 2**31), b"123"), "holds 3"),
    ],
)
def test_what_is_no_idx_file_is_refused(content, complaint):
    with pytest.raises(DataError, match=complaint):
        parse_idx(content, "some file")


@pytest.fixture(params=["FashionMNIST/raw", "."])
def root(request, tmp_path, monkeypatch):
    folder = tmp_path / request.param
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for part, n in (("train", 6), ("test", 4)):
        images, labels = FILES[part]
        (folder / images).write_bytes(idx(values([n, 28, 28], n)))
        (folder / labels).write_bytes(idx(torch.arange(n, dtype=torch.uint8)))
        sums[part] = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in (images, labels)}
    monkeypatch.setattr(fashion_mnist, "FILES", sums)
    return tmp_path


def test_both_layouts_are_read(root):
    dataset = FashionMnist(FashionMnistConfig(root=str(root)))
    train, test = dataset.train(), dataset.test()
    assert torch.equal(train.x, values([6, 28, 28], 6)[:, None])
    assert train.y.tolist() == list(range(6))
    assert test.x.shape == (4, 1, 28, 28)
    assert (dataset.augmentation.crop, dataset.augmentation.flip) == (2, True)


def test_a_damaged_file_is_refused(root):
    path = next(root.rglob("t10k-labels*"))
    path.write_bytes(idx(torch.zeros(4, dtype=torch.uint8)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged.*expected MD5"):
        FashionMnist(FashionMnistConfig(root=str(root))).test()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"raw/train-images-idx3-ubyte\.gz is not there.*download = true"):
        FashionMnist(FashionMnistConfig(root=str(tmp_path))).train()
