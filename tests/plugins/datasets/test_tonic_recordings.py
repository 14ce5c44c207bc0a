"""Data sets that tonic reads, with a stand-in for tonic: which recordings are which part, and what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from nastk.core.config import DatasetPart
from nastk.core.errors import BrokenPlugin, ConfigError, DataError

DTYPE = np.dtype([("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])


class Stored:
    """What tonic's data sets have in common: files in a folder of their own name, listed in the order of the disk."""

    suffix: str

    def __init__(self, save_to: str, train: bool | None = None) -> None:
        folder = Path(save_to) / type(self).__name__ / {None: "all", True: "train", False: "test"}[train]
        self.data: list[str] = []
        self.targets: list[int] = []
        if not folder.is_dir():
            self.download()
        for path in sorted(folder.rglob("*.npy"), reverse=True):
            self.data.append(str(path))
            self.targets.append(int(path.parent.name))

    def download(self) -> None:
        raise AssertionError("nobody may download here")

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return np.load(self.data[index], allow_pickle=False), self.targets[index]


class CIFAR10DVS(Stored):
    """Without parts."""

    def __init__(self, save_to: str) -> None:
        super().__init__(save_to)


class DVSGesture(Stored):
    """With parts."""

    def __init__(self, save_to: str, train: bool = True) -> None:
        super().__init__(save_to, train)


@pytest.fixture
def tonic(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    package, datasets = ModuleType("tonic"), ModuleType("tonic.datasets")
    datasets.CIFAR10DVS, datasets.DVSGesture, package.datasets = CIFAR10DVS, DVSGesture, datasets  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tonic", package)
    monkeypatch.setitem(sys.modules, "tonic.datasets", datasets)
    return datasets


def write(folder: Path, classes: int, count: int) -> None:
    """Recording i of class c has one event in each of the pixels (10 i, 10 c), (10 i + 1, 10 c), not in order."""
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for i in range(count):
            rows = np.array([(20, 10 * i + 1, 10 * label, 1), (10, 10 * i, 10 * label, 0)], dtype=DTYPE)
            np.save(folder / str(label) / f"recording_{i}.npy", rows)


@pytest.mark.usefixtures("tonic")
def test_cifar10_dvs_has_the_last_tenth_for_tests(tmp_path: Path) -> None:
    write(tmp_path / "CIFAR10DVS" / "all", classes=10, count=11)
    dvs = DatasetPart.named("cifar10-dvs", root=str(tmp_path), size=128, frames=2).build()
    (x, y), (test_x, test_y) = dvs.train(), dvs.test()
    assert (x.shape, test_x.shape) == ((100, 2, 2, 128, 128), (10, 2, 2, 128, 128))
    assert y.tolist() == [label for label in range(10) for _ in range(10)]
    assert test_y.tolist() == list(range(10))
    assert [(x[i, 0, 0] == 1).nonzero().tolist() for i in range(11)] == [[[0, 10 * i]] for i in range(10)] + [[[10, 0]]]
    assert all((test_x[label, 1, 1] == 1).nonzero().tolist() == [[10 * label, 101]] for label in range(10))
    assert dvs.augmentation.flip


@pytest.mark.usefixtures("tonic")
def test_dvs128_gesture_has_the_parts_of_tonic(tmp_path: Path) -> None:
    write(tmp_path / "DVSGesture" / "train", classes=11, count=2)
    write(tmp_path / "DVSGesture" / "test", classes=11, count=1)
    gesture = DatasetPart.named("dvs128-gesture", root=str(tmp_path), size=32, frames=1).build()
    (x, y), (_, test_y) = gesture.train(), gesture.test()
    assert x.shape == (22, 1, 2, 32, 32)
    assert test_y.tolist() == list(range(11))
    assert y.tolist() == [label for label in range(11) for _ in range(2)]
    assert (x[1, 0, 1] == 1).nonzero().tolist() == [[0, 2]]  # the pixel (11, 0) of 128
    assert torch.equal(x.sum((2, 3, 4))[:, 0], torch.full((22,), 2))
    assert not gesture.augmentation.flip, "left and right arms are classes"


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize("name", ["cifar10-dvs", "dvs128-gesture"])
def test_nothing_is_fetched_unasked(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"is not in .*set root, or set download = true"):
        DatasetPart.named(name, root=str(tmp_path)).build().train()
    with pytest.raises(DataError, match=r"cannot be opened by tonic: AssertionError: nobody may download here"):
        DatasetPart.named(name, root=str(tmp_path), download=True).build().train()


@pytest.mark.usefixtures("tonic")
def test_a_damaged_recording_is_named(tmp_path: Path) -> None:
    write(tmp_path / "DVSGesture" / "train", classes=11, count=1)
    gesture = DatasetPart.named("dvs128-gesture", root=str(tmp_path)).build()
    path = tmp_path / "DVSGesture" / "train" / "7" / "recording_0.npy"
    path.write_bytes(b"no array")
    with pytest.raises(DataError, match=r"recording_0\.npy cannot be read by tonic"):
        gesture.train()
    np.save(path, np.array([(0, 128, 0, 1)], dtype=DTYPE))
    with pytest.raises(DataError, match=r"recording_0\.npy has events beside"):
        gesture.train()


def test_without_tonic_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    with pytest.raises(BrokenPlugin, match=r'CIFAR10DVS needs tonic.*pip install "nastk\[events\]"'):
        DatasetPart.named("cifar10-dvs").build().train()


@pytest.mark.parametrize("setting", [{"size": 7}, {"size": 129}, {"frames": 0}])
def test_settings_are_checked(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        DatasetPart.named("cifar10-dvs", **setting)
