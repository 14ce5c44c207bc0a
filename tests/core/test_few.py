"""The clock that jumps over batches which are left out: it adds up whatever the consumer does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.data.splits import TrainingData
from nastk.core.run import few
from nastk.core.run.few import Clock, FewBatches
from nastk.core.run.runfile import configure
from nastk.core.types import Split

torch.set_num_threads(1)
A, B, HELD = Split.WEIGHTS, Split.ALPHA, Split.VALID


class World:
    """Time that passes only where somebody works."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def work(self, seconds: float) -> None:
        self.seconds += seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The clock of the module under test."""
    made = World()
    monkeypatch.setattr(few.time, "perf_counter", made)
    return made


def data_of(images: int = 640) -> FewBatches:
    config = configure(sets=["dataset=synthetic", "dataset.size=8", f"dataset.train_images={images}"])
    whole = TrainingData(config.dataset.build(), config.split, config.seed, torch.device("cpu"))
    return FewBatches(whole, 8, Clock())


def passes(data: FewBatches, split: Split, purpose: str, batch: int = 8) -> Iterator[Any]:
    return data.batches(batch, 0, purpose, splits=[split])


Consumer = Callable[[FewBatches, World], None]


def plain(data: FewBatches, world: World) -> None:
    """One pass, with fixed work around it."""
    world.work(5)
    for _ in passes(data, A, "w"):
        world.work(0.5)
    world.work(2)


def counted(data: FewBatches, world: World) -> None:
    """As the epochs of core: stopped by the number of steps, never exhausted."""
    for _, _ in zip(range(data.steps(8, A)), passes(data, A, "w"), strict=False):
        world.work(0.5)


def in_step(data: FewBatches, world: World) -> None:
    """A second stream goes along with the first, opened within its first batch."""

    def endless() -> Iterator[Any]:
        while True:
            yield from passes(data, B, "a")

    held = endless()
    for _ in passes(data, A, "w"):
        next(held)
        world.work(0.5)


def side_by_side(data: FewBatches, world: World) -> None:
    for _ in zip(passes(data, B, "a"), passes(data, A, "w"), strict=False):
        world.work(0.5)


def nested(data: FewBatches, world: World) -> None:
    """A whole pass within each batch of another."""
    for _ in passes(data, A, "w", batch=64):
        world.work(1)
        for _ in passes(data, B, "a"):
            world.work(0.5)


def half(data: FewBatches, world: World) -> None:
    """Half an epoch."""
    for _, _ in zip(range(data.steps(8, A) // 2), passes(data, A, "w"), strict=False):
        world.work(0.5)


def shorter(data: FewBatches, world: World) -> None:
    """Two streams of unequal length, up to the end of the shorter one."""
    for _ in zip(passes(data, A, "w", batch=4), passes(data, B, "a"), strict=False):
        world.work(0.5)


def so_many(data: FewBatches, world: World) -> None:
    """Three batches, whatever there are; within each batch of a pass, too."""
    for _ in islice(passes(data, A, "w"), 3):
        world.work(0.5)
    for _ in passes(data, A, "w"):
        for _ in islice(passes(data, B, "r"), 3):
            world.work(0.5)


def after_each_other(data: FewBatches, world: World) -> None:
    """Training, then a look at the held-out part while the first pass is still open."""
    batches = passes(data, A, "w")
    for _, _ in zip(range(data.steps(8, A)), batches, strict=False):
        world.work(0.5)
    for _ in data.unaugmented(HELD, batch=4):
        world.work(0.25)
    del batches


def slow_start(data: FewBatches, world: World) -> None:
    """Something is compiled in the first batch; a run that goes through all of them would hardly notice."""
    for number, _ in enumerate(passes(data, A, "w")):
        world.work(100 if number == 0 else 0.5)


@pytest.mark.parametrize(
    "consumer", [plain, counted, in_step, side_by_side, nested, half, so_many, after_each_other], ids=lambda c: c.__name__
)
def test_the_clock_stands_where_all_batches_would_have_taken_it(consumer: Consumer, world: World) -> None:
    data = data_of()
    start = world.seconds
    consumer(data, world)  # with few = None these are real passes
    whole = world.seconds - start
    handed, data.handed = data.handed, 0
    _, seconds = data.measure(lambda: consumer(data, world))
    assert seconds == pytest.approx(whole, rel=1e-6)
    assert data.handed < handed
    assert data.few is None
    assert data.clock.now() - world.seconds == pytest.approx(seconds - (world.seconds - start - whole))


def test_of_two_streams_the_shorter_one_ends_a_step(world: World) -> None:
    """A is twice as long in batches as B: a zip takes half of it."""
    data = data_of()
    start = world.seconds
    shorter(data, world)
    whole = world.seconds - start
    _, seconds = data.measure(lambda: shorter(data, world))
    assert seconds == pytest.approx(whole, rel=0.3)  # the batch of A that finds no partner stands for others, too


def test_what_is_done_once_is_not_taken_for_the_cost_of_a_batch(world: World) -> None:
    data = data_of()
    _, seconds = data.measure(lambda: slow_start(data, world))
    assert seconds == pytest.approx(0.5 * data.steps(8, A), rel=0.05)


@settings(deadline=None, max_examples=20)
@given(images=st.integers(40, 400), batch=st.integers(2, 16), few_=st.integers(1, 9))
def test_no_pass_is_longer_than_the_real_one_and_batches_are_real(images: int, batch: int, few_: int) -> None:
    data = data_of(images)
    for splits in ([A], [B], [A, B], [A, B, HELD]):
        real = data.steps(batch, *splits)
        data.few = few_
        found = list(data.batches(batch, 0, "x", splits=splits))
        assert min(real, few.LEAST) <= len(found) == data.steps(batch, *splits) <= real
        assert {len(y) for _, y in found} == {batch}
        data.few = None
        assert all(
            torch.equal(one[0], two[0]) for one, two in zip(found, data.batches(batch, 0, "x", splits=splits), strict=False)
        )


def test_quick_work_is_looked_at_twice_and_slow_work_once(world: World) -> None:
    data = data_of()
    calls: list[float] = []

    def work(seconds: float) -> Callable[[], None]:
        return lambda: (calls.append(data.few or 0), world.work(seconds))[0]

    assert data.measure(work(10.0))[1] == 10
    assert calls == [few.LEAST]
    calls.clear()
    assert data.measure(work(0.5))[1] == 0.5
    assert calls == [few.LEAST, few.LEAST * few.ENOUGH / 0.5]
    calls.clear()
    assert data.measure(work(0.5), lambda: False)[1] == 0.5
    assert calls == [few.LEAST]
    assert data.clock.now() == pytest.approx(11), "the clock has gone by what was asked for, once each"
