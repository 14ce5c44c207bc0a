"""CIFAR from both layouts: the real files where they can be had, and small stand-ins with their own checksums."""

import contextlib
import functools
import hashlib
import http.server
import pickle
import subprocess
import sys
import tarfile
import threading
from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import DatasetPart
from nastk.core.data.augment import statistics
from nastk.core.errors import ConfigError, DataError
from nastk.plugins.datasets import cifar
from nastk.plugins.datasets.cifar import Cifar10, Cifar100, CifarConfig, Layout, shrink
from nastk.plugins.datasets.python_batches import read_batch

SHARED = Path(__file__).resolve().parents[4] / "shared"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def small(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)


def binary_rows(x: np.ndarray, *label_columns: np.ndarray) -> bytes:
    return np.concatenate([np.stack(label_columns, 1), x.reshape(len(x), -1)], 1).tobytes()


def python2_pickle(x: np.ndarray, labels: np.ndarray, key: str = "labels") -> bytes:
    """What Python 2 and numpy wrote for ``{"data": array, key: [...]}``, opcode by opcode (protocol 2)."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    rebuilt = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    raw = b"T" + x.size.to_bytes(4, "little") + x.tobytes()
    array = rebuilt + b"(" + number(1) + number(len(x)) + number(3072) + b"\x86" + dtype + b"\x89" + raw + b"tb"
    numbers = b"](" + b"".join(number(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + numbers + b"u."


def with_checksums(folder: Path, layout: Layout) -> Layout:
    """The layout as if the files now in the folder were the official ones."""

    def found(files):
        return {name: md5(folder / name) if (folder / name).exists() else sum_ for name, sum_ in files.items()}

    return attrs.evolve(layout, train=found(layout.train), test=found(layout.test))


@pytest.fixture
def binary_layout(tmp_path, monkeypatch):
    """Five training files of 4 images and a test file of 3; returns the root and the images."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    parts = {}
    for i, name in enumerate([*Cifar10.binary.train, *Cifar10.binary.test]):
        parts[name] = small(3 if name.startswith("test") else 4, i)
        (folder / name).write_bytes(binary_rows(parts[name][0], parts[name][1]))
    monkeypatch.setattr(Cifar10, "binary", with_checksums(folder, Cifar10.binary))
    return tmp_path, parts


def test_the_binary_layout_is_read_in_order(binary_layout):
    root, parts = binary_layout
    dataset = Cifar10(CifarConfig(root=str(root)))
    train, test = dataset.train(), dataset.test()
    names = list(Cifar10.binary.train)
    assert np.array_equal(train.x.numpy(), np.concatenate([parts[n][0] for n in names]))
    assert np.array_equal(train.y.numpy(), np.concatenate([parts[n][1] for n in names]))
    assert np.array_equal(test.x.numpy(), parts["test_batch.bin"][0])
    assert (train.x.dtype, train.y.dtype) == (torch.uint8, torch.int64)


def test_cifar100_takes_the_fine_label(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    x, fine = small(5, 0)
    (folder / "test.bin").write_bytes(binary_rows(x, fine + 50, fine))
    monkeypatch.setattr(Cifar100, "binary", with_checksums(folder, Cifar100.binary))
    test = Cifar100(CifarConfig(root=str(tmp_path))).test()
    assert np.array_equal(test.x.numpy(), x)
    assert np.array_equal(test.y.numpy(), fine)


@pytest.mark.parametrize("damage", ["short", "one bit"])
def test_a_damaged_file_is_named_with_both_checksums(binary_layout, damage):
    root, _ = binary_layout
    path = root / "cifar-10-batches-bin" / "data_batch_3.bin"
    content = bytearray(path.read_bytes())
    if damage == "short":
        del content[-1]
    else:
        content[100] ^= 1
    path.write_bytes(content)
    dataset = Cifar10(CifarConfig(root=str(root)))
    with pytest.raises(DataError, match="damaged") as error:
        dataset.train()
    for part in (str(path), Cifar10.binary.train["data_batch_3.bin"], md5(path)):
        assert part in str(error.value)
    assert len(dataset.test().y) == 3, "a good part stays readable"


def test_missing_files_are_named_with_the_way_to_get_them(tmp_path, binary_layout):
    with pytest.raises(DataError, match=r"cifar-100-binary/train\.bin is not there.*cifar-100-binary\.tar\.gz.*download = true"):
        Cifar100(CifarConfig(root=str(tmp_path))).train()
    (binary_layout[0] / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_4\.bin is not there"):
        Cifar10(CifarConfig(root=str(binary_layout[0]))).train()


def test_the_python_layout_is_read(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    x, y = small(4, 1)
    (folder / "test_batch").write_bytes(python2_pickle(x, y))
    monkeypatch.setattr(Cifar10, "python", with_checksums(folder, Cifar10.python))
    test = Cifar10(CifarConfig(root=str(tmp_path))).test()
    assert np.array_equal(test.x.numpy(), x)
    assert np.array_equal(test.y.numpy(), y)
    reference = pickle.loads(python2_pickle(x, y), encoding="bytes")  # the stand-in is what the writer meant
    assert np.array_equal(reference[b"data"], x.reshape(4, -1))


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def malicious(target: Path) -> list[bytes]:
    through_numpy = (
        b"\x80\x02cnumpy.f2py\nos.system\n" + b"U" + bytes([len(f"touch {target}")]) + f"touch {target}".encode() + b"\x85R."
    )
    bombs = [pickle.dumps({b"data": Bomb(target), b"labels": []}, protocol) for protocol in (0, 2, 4)]
    return [*bombs, through_numpy, f"cposix\nsystem\n(S'touch {target}'\ntR.".encode()]


@pytest.mark.parametrize("which", range(5))
def test_a_malicious_python_file_runs_nothing(tmp_path, monkeypatch, which):
    target = tmp_path / "executed"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(malicious(target)[which])
    dataset = Cifar10(CifarConfig(root=str(tmp_path)))
    with pytest.raises(DataError, match="damaged or not the official file"):
        dataset.test()
    monkeypatch.setattr(Cifar10, "python", with_checksums(folder, Cifar10.python))  # as if MD5 had been broken
    with pytest.raises(DataError, match="it names"):
        dataset.test()
    assert not target.exists()
    if which < 3:
        pickle.loads(malicious(target)[which])
        assert target.exists(), "the attack works where nothing stops it"


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_damage_to_a_python_file_is_a_data_error_or_the_same_form(data):
    content = bytearray(python2_pickle(*small(1, 0)))
    place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 250))
    content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        assert read_batch(bytes(content), "labels", "some file").x.shape == (1, 3, 32, 32)


@given(st.integers(0, 2**32), st.sampled_from([4, 8, 16, 32]))
@settings(deadline=None, max_examples=20)
def test_shrinking_averages_blocks(seed, size):
    x = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    block = 32 // size
    mean = x.double().unfold(2, block, block).unfold(3, block, block).mean((4, 5))
    out = shrink(x, size)
    assert out.shape == (2, 3, size, size)
    assert (out.double() - mean).abs().max() <= 0.5
    assert torch.equal(shrink(torch.full_like(x, 255), size), torch.full_like(out, 255))


def test_size_and_subset_are_settings(binary_layout):
    root, _ = binary_layout
    dataset = DatasetPart.named("cifar10", root=str(root), size=8, train_images=10).build()
    assert dataset.train().x.shape == (10, 3, 8, 8)
    assert dataset.test().x.shape == (3, 3, 8, 8)
    with pytest.raises(ConfigError, match="size: expected one of 4, 8, 16, 32, got 5"):
        DatasetPart.named("cifar10", size=5)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_a_download_is_checked_and_unpacked(binary_layout, monkeypatch):
    served, _ = binary_layout
    archive = served / Cifar10.archive
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(served / "cifar-10-batches-bin", "cifar-10-batches-bin")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(cifar, "URL", f"http://127.0.0.1:{server.server_port}/")
        refused = Cifar10(CifarConfig(root=str(served / "refused"), download=True))
        with pytest.raises(DataError, match="could not be fetched"):
            refused.test()
        assert not (served / "refused" / "cifar-10-batches-bin").exists(), "unpacked without a check"
        monkeypatch.setattr(Cifar10, "archive_md5", md5(archive))
        fetched = Cifar10(CifarConfig(root=str(served / "fetched"), download=True))
        assert torch.equal(fetched.train().x, Cifar10(CifarConfig(root=str(served))).train().x)
        assert not (served / "fetched" / Cifar10.archive).exists(), "the archive stays behind"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "per_class"), [("cifar10", 5000), ("cifar100", 500)])
def test_the_real_files(tmp_path, name, per_class):
    pytest.importorskip("imagecodecs", reason="imagecodecs decodes the compact copy")
    if not (SHARED / "data" / name).is_dir():
        pytest.skip(f"no compact copy of {name} beside the project")
    subprocess.run([sys.executable, SHARED / "tools" / "unpack_cifar.py", name, tmp_path], check=True)
    dataset = DatasetPart.named(name, root=str(tmp_path)).build()
    train, test = dataset.train(), dataset.test()
    assert torch.bincount(train.y).tolist() == [per_class] * dataset.classes
    assert torch.bincount(test.y).tolist() == [per_class // 5] * dataset.classes
    published = [0.4914, 0.4822, 0.4465] if name == "cifar10" else [0.5071, 0.4865, 0.4409]
    assert statistics(train.x)[0].tolist() == pytest.approx(published, abs=1e-4)
