"""The laws of data sets: raw samples, always the same, and test samples that stay apart."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.config import Part
from nastk.core.data.augment import statistics
from nastk.core.data.dataset import Augmentation, Dataset, Samples
from nastk.core.data.splits import SEARCHED, TrainingData, sample_shape
from nastk.core.errors import DataError, NastkError
from nastk.core.laws.law import LawBook, ensure
from nastk.core.laws.watch import random_state_kept
from nastk.core.mark import NoConfig
from nastk.core.registry import registry
from nastk.core.settings import SplitConfig
from nastk.core.types import Kind, Split

SHARED = 0.05
"""Share of the test samples that may be training samples too: the published sets have a few duplicates."""


@frozen
class Splitting:
    """The seed and the shares of a split."""

    seed: int
    weights: float
    alpha: float

    def of(self, dataset: Dataset, seed: int | None = None) -> TrainingData:
        """The training data under this split; under another seed where one is given."""
        shares = SplitConfig(weights=self.weights, alpha=self.alpha)
        return TrainingData(dataset, shares, self.seed if seed is None else seed, torch.device("cpu"))


class Opened:
    """A data set whose parts are read once, however many laws look at them."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.dataset: Dataset = part.build()

    @cached_property
    def train(self) -> Samples:
        return self.dataset.train()

    @cached_property
    def test(self) -> Samples:
        return self.dataset.test()

    @property
    def parts(self) -> dict[str, Samples]:
        return {"train()": self.train, "test()": self.test}


class Numbered(Dataset):
    """The labels of a data set, on samples that show nothing but their number: which ones a split has can be read off."""

    def __init__(self, y_N: Tensor, classes: int) -> None:
        self.y_N, self.classes, self.augmentation = y_N, classes, Augmentation()

    def train(self) -> Samples:
        number_N = torch.arange(len(self.y_N))
        bytes_N4 = torch.stack([number_N >> shift & 255 for shift in (0, 8, 16, 24)], dim=1)
        return Samples(bytes_N4.to(torch.uint8)[:, :, None, None], self.y_N)

    def test(self) -> Samples:
        raise DataError("Numbered samples have no test part.")

    def read_off(self, data: TrainingData, split: Split) -> list[int]:
        """The numbers of the samples of a split."""
        mean_C, std_C = statistics(self.train().x)
        x_NC = torch.cat([x_TBCHW[0, :, :, 0, 0] for x_TBCHW, _ in data.unaugmented(split, batch=8192)])
        bytes_N4 = ((x_NC * std_C + mean_C) * 255).round().long()
        found: list[int] = (bytes_N4 << torch.tensor([0, 8, 16, 24])).sum(1).tolist()
        return found


def draw(rng: random.Random) -> Splitting:
    """Shares around the default, which leave a fifth at least for validation."""
    return Splitting(rng.randrange(10**6), rng.choice([0.3, 0.4]), rng.choice([0.3, 0.4]))


@lru_cache(maxsize=1)
def opened(cls: object, part: Part) -> Opened:
    """The data set of this class and these settings; one is kept."""
    del cls  # another class of the same name is another data set
    return Opened(part)


def prepare(part: Part, case: Splitting) -> Opened:
    """The data set with both parts read. Raises :class:`NastkError` when files are missing."""
    del case
    cls: object = registry().load(part.kind, part.name)
    found = opened(cls, part)
    try:
        _ = found.parts
    except NastkError:
        raise
    except Exception:  # the law that looks at the samples meets it again, and says so
        pass
    return found


BOOK: LawBook[Opened, Splitting] = LawBook(Kind.DATASET, draw, prepare, examples=1)


def same(left: Samples, right: Samples) -> bool:
    """Whether two parts are equal to the bit."""
    return torch.equal(left.x, right.x) and torch.equal(left.y, right.y)


@BOOK.law
def samples_have_their_types(data: Opened, case: Splitting) -> None:
    """Samples are uint8 ``(N, C, H, W)`` or ``(N, T, C, H, W)``, labels int64 ``(N,)`` in ``0 .. classes - 1``."""
    del case
    classes = data.dataset.classes
    for name, (x, y) in data.parts.items():
        ensure(x.dtype == torch.uint8 and x.ndim in (4, 5), f"{name} has samples {x.dtype} {tuple(x.shape)}")
        ensure(y.dtype == torch.int64 and y.ndim == 1, f"{name} has labels {y.dtype} {tuple(y.shape)}")
        ensure(len(x) == len(y) > 0, f"{name} has {len(x)} samples and {len(y)} labels")
        low, high = int(y.min()), int(y.max())
        ensure(low >= 0 and high < classes, f"{name} has labels from {low} to {high}, and classes = {classes}")


@BOOK.law
def every_class_occurs(data: Opened, case: Splitting) -> None:
    """Every class has a training sample."""
    del case
    absent = sorted(set(range(data.dataset.classes)) - set(data.train.y.tolist()))
    ensure(not absent, f"train() has no sample of {len(absent)} classes, among them {absent[:3]}")


@BOOK.law
def test_fits_train(data: Opened, case: Splitting) -> None:
    """Test samples have the shape of training samples."""
    del case
    ours, theirs = sample_shape(data.train), sample_shape(data.test)
    ensure(ours == theirs, f"a training sample is {tuple(ours)} (T, C, H, W), a test sample {tuple(theirs)}")


@BOOK.law
def train_is_always_the_same(data: Opened, case: Splitting) -> None:
    """Training samples are the same in the same order: at a second call, and from a second instance."""
    del case
    ensure(same(data.dataset.train(), data.train), "the second call of train() gave other samples, or another order")
    ensure(same(data.part.build().train(), data.train), "a second instance gave other training samples, or another order")


@BOOK.law
def test_is_apart(data: Opened, case: Splitting) -> None:
    """Fewer than 5 % of the test samples, image and label, are training samples."""
    del case
    trained = {_digest(x, y) for x, y in zip(data.train.x, data.train.y, strict=True)}
    known = sum(_digest(x, y) in trained for x, y in zip(data.test.x, data.test.y, strict=True))
    share = known / len(data.test.y)
    ensure(share < SHARED, f"{known} of {len(data.test.y)} test samples ({100 * share:.1f} %) are training samples")


def _digest(x: Tensor, y: Tensor) -> bytes:
    return blake2b(x.numpy().tobytes(), digest_size=12, salt=str(int(y)).encode()).digest()


@BOOK.law
def training_leaves_test_closed(data: Opened, case: Splitting) -> None:
    """Neither building the data set nor ``train()`` calls ``test()``, and building it does not read the training samples."""
    del case
    called: list[str] = []
    cls = type(data.dataset)

    def noted(name: str) -> Callable[[Dataset], Samples]:
        def call(self: Dataset) -> Samples:
            called.append(name)
            found: Samples = getattr(super(watched, self), name)()
            return found

        return call

    watched: type[Dataset] = type(cls.__name__, (cls,), {name: noted(name) for name in ("train", "test")})
    config = data.part.config
    built: Dataset = watched() if isinstance(config, NoConfig) else watched(config)  # type: ignore[call-arg]  # a plug-in's own
    ensure(not called, f"building it called {', '.join(called)}()")
    built.train()
    ensure("test" not in called, "train() called test()")


@BOOK.law_tried(3)
def splits_are_disjoint(data: Opened, case: Splitting) -> None:
    """A seed splits the training samples into three disjoint parts that cover them: again the same, other seeds others."""
    numbered = Numbered(data.train.y, data.dataset.classes)

    def parts(seed: int) -> list[list[int]]:
        made = case.of(numbered, seed)
        return [numbered.read_off(made, split) for split in SEARCHED]

    first = parts(case.seed)
    together = sorted(number for part in first for number in part)
    ensure(together == list(range(len(data.train.y))), "WEIGHTS, ALPHA and VALID are not disjoint, or miss samples")
    ensure(first == parts(case.seed), "the same seed gave another split")
    ensure(any(parts(case.seed + other) != first for other in (1, 2, 3)), "three other seeds gave the same split")


@BOOK.law
def global_random_state_is_kept(data: Opened, case: Splitting) -> None:
    """Building and reading it neither draws from the global random state (torch, numpy, random) nor seeds it."""
    with random_state_kept(case.seed, "dataset"):
        fresh: Any = data.part.build()
        fresh.train()
        fresh.test()
