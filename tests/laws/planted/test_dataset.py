"""Data sets with one fault each."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from attrs import field, frozen
from torch import Tensor

from nastk import mark, registry
from nastk.core import seeds
from nastk.core.data.dataset import Augmentation, Dataset, Samples
from nastk.core.errors import DataError
from nastk.core.laws.check import check
from nastk.core.types import Kind

CLASSES = 3


class Right(Dataset):
    """Noise with labels; what every faulty data set below would be without its fault."""

    classes = CLASSES
    augmentation = Augmentation()
    count = 60

    def made(self, part: str, count: int) -> Samples:
        x = torch.randint(256, (count, 1, 4, 4), generator=seeds.generator(0, part), dtype=torch.uint8)
        return Samples(x, torch.arange(count) % CLASSES)

    def train(self) -> Samples:
        return self.made("train", self.count)

    def test(self) -> Samples:
        return self.made("test", 30)


@mark.dataset("noise")
class Noise(Right):
    """No fault."""


@mark.dataset("recorded")
class Recorded(Right):
    """No fault: five time steps."""

    def made(self, part: str, count: int) -> Samples:
        x, y = super().made(part, count)
        return Samples(x[:, None].expand(-1, 5, -1, -1, -1), y)


@mark.dataset("floats")
class Floats(Right):
    """Divides by 255 itself."""

    def made(self, part: str, count: int) -> Samples:
        x, y = super().made(part, count)
        return Samples(x / 255, y)


@mark.dataset("beyond")
class Beyond(Right):
    """Has a label too many."""

    def made(self, part: str, count: int) -> Samples:
        return super().made(part, count)._replace(y=torch.arange(count) % (CLASSES + 1))


@mark.dataset("one-sided")
class OneSided(Right):
    """Has no sample of the last class."""

    def made(self, part: str, count: int) -> Samples:
        x, y = super().made(part, count)
        return Samples(x, y.clamp(max=CLASSES - 2))


@mark.dataset("cropped")
class Cropped(Right):
    """Has smaller test images."""

    def test(self) -> Samples:
        x, y = super().test()
        return Samples(x[..., 1:], y)


@mark.dataset("restless")
class Restless(Right):
    """Comes in another order each time."""

    def __init__(self) -> None:
        self.calls = 0

    def train(self) -> Samples:
        self.calls += 1
        order = torch.randperm(self.count, generator=seeds.generator(self.calls))
        x, y = super().train()
        return Samples(x[order], y[order])


@mark.dataset("individual")
class Individual(Right):
    """Is another one in every instance."""

    born = 0

    def __init__(self) -> None:
        Individual.born += 1
        self.number = Individual.born

    def train(self) -> Samples:
        x, y = super().train()
        return Samples(x.roll(self.number, dims=-1), y)


@mark.dataset("leaking")
class Leaking(Right):
    """Has six test samples that are training samples."""

    def test(self) -> Samples:
        x, y = super().test()
        return Samples(torch.cat([x[6:], self.train().x[:6]]), torch.cat([y[6:], self.train().y[:6]]))


@mark.dataset("peeking")
class Peeking(Right):
    """Opens the test part to centre the training images."""

    def train(self) -> Samples:
        x, y = super().train()
        return Samples(x - self.test().x.float().mean().to(torch.uint8), y)


@mark.dataset("eager")
class Eager(Right):
    """Reads while it is built."""

    def __init__(self) -> None:
        self.kept = self.train()


@mark.dataset("tiny")
class Tiny(Right):
    """Is too small for three parts of each class."""

    count = 2 * CLASSES


def _reseed_torch() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(1)


SEEDERS = {"torch": _reseed_torch, "numpy": lambda: np.random.seed(0), "random": lambda: random.seed(0)}


@frozen(kw_only=True)
class SeedingConfig:
    which: str = field(default="torch")


@mark.dataset("seeding", config=SeedingConfig)
class Seeding(Right):
    """Seeds a global generator and takes its numbers from there."""

    def __init__(self, config: SeedingConfig) -> None:
        self.which = config.which

    def train(self) -> Samples:
        SEEDERS[self.which]()
        return super().train()


@mark.dataset("absent")
class Absent(Right):
    """Has no files."""

    def train(self) -> Samples:
        raise DataError("noise.bin is not there: set root.")


@mark.dataset("bursting")
class Bursting(Right):
    """Fails with an error that is none of nastk's."""

    def train(self) -> Samples:
        raise ValueError("bad header")


FAULTS: list[tuple[type[Dataset], set[str]]] = [
    (Noise, set()),
    (Recorded, set()),
    (Floats, {"samples_have_their_types"}),
    (Beyond, {"samples_have_their_types"}),
    (OneSided, {"every_class_occurs"}),
    (Cropped, {"test_fits_train"}),
    (Restless, {"train_is_always_the_same"}),
    (Individual, {"train_is_always_the_same"}),
    (Leaking, {"test_is_apart"}),
    (Peeking, {"training_leaves_test_closed"}),
    (Eager, {"training_leaves_test_closed"}),
    (Tiny, {"splits_are_disjoint"}),
]


@pytest.fixture(autouse=True)
def _own_random_state() -> Any:
    """What a fault does to global generators ends with its test."""
    pythons, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=()):
        yield
    random.setstate(pythons)
    np.random.set_state(numpys)


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Dataset], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


@pytest.mark.parametrize("which", SEEDERS)
def test_no_global_generator_may_be_seeded(which: str, failed: Any) -> None:
    broken = failed(Seeding, which=which)
    assert set(broken) == {"global_random_state_is_kept"}
    assert which in broken["global_random_state_is_kept"]


def test_the_share_of_known_test_samples_is_told(failed: Any) -> None:
    assert "6 of 30 test samples (20.0 %)" in failed(Leaking)["test_is_apart"]


def test_missing_files_are_no_fault_but_a_crash_is(failed: Any) -> None:
    assert not failed(Absent)
    assert "ValueError: bad header" in failed(Bursting)["samples_have_their_types"]
    registry().offer(Absent)
    try:
        verdicts = check(Kind.DATASET, "absent")
    finally:
        registry().withdraw(Absent)
    assert {(v.outcome, v.detail) for v in verdicts} == {("does not apply", "noise.bin is not there: set root.")}


def test_files_are_read_a_few_times_for_all_laws(failed: Any) -> None:
    """Data sets of hundreds of megabytes are checked in seconds."""
    reads: list[str] = []

    @mark.dataset("counted")
    class Counted(Right):
        """Counts."""

        def made(self, part: str, count: int) -> Samples:
            reads.append(part)
            return super().made(part, count)

    assert not failed(Counted)
    assert reads.count("train") <= 5
    assert reads.count("test") <= 2


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_no_law_leaves_out_what_is_bundled_with_its_samples(name: str) -> None:
    assert {v.outcome for v in check(Kind.DATASET, name)} == {"holds"}
