"""Recordings as frames: every event is counted once, where SpikingJelly counts it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import structure
from nastk.core.errors import ConfigError, DataError
from nastk.plugins.datasets.event_frames import EventDataset, Events, EventsConfig, Recordings, checked, counted, slots

H, W = 5, 7


def events(seed: int, count: int, longest: int = 40) -> Events:
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.integers(0, longest, count)) + int(rng.integers(1000))
    return Events(rng.integers(0, W, count), rng.integers(0, H, count), rng.integers(0, 2, count), t)


some = st.builds(events, st.integers(0, 10**6), st.integers(0, 200), st.sampled_from([1, 2, 40]))
frames = st.integers(1, 9)
ways = st.sampled_from(["count", "time"])


@given(some, frames, ways)
@settings(deadline=None, max_examples=60)
def test_every_event_is_counted_once_in_its_pixel(recording: Events, T: int, by: str) -> None:
    found = counted(recording, T, by, (H, W))
    assert found.shape == (T, 2, H, W)
    assert found.dtype == np.uint8
    whole = np.zeros((2, H, W), dtype=int)
    for x, y, p in zip(recording.x, recording.y, recording.p, strict=True):
        whole[p, y, x] += 1
    assert np.array_equal(found.astype(int).sum(0), whole)


@given(some.filter(lambda e: len(e.t)), frames, ways)
@settings(deadline=None, max_examples=60)
def test_windows_are_in_the_order_of_time(recording: Events, T: int, by: str) -> None:
    found = slots(recording.t, T, by)
    assert ((np.diff(found) >= 0) & (found[:-1] >= 0)).all()
    assert found[0] == 0
    assert found.max() < T
    if by == "count" and len(recording.t) >= T:
        assert np.bincount(found, minlength=T)[:-1].tolist() == [len(recording.t) // T] * (T - 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("by", "theirs"), [("count", "number"), ("time", "time")])
@pytest.mark.parametrize("T", [1, 3, 4, 10])
def test_spikingjelly(by: str, theirs: str, T: int, spikingjelly_readers: ModuleType) -> None:
    """Dense recordings: it has no answer to a window without events."""
    for seed in range(5):
        recording = events(seed, 500)
        wanted = spikingjelly_readers.integrate_events_by_fixed_frames_number(recording._asdict(), theirs, T, H, W)
        assert np.array_equal(counted(recording, T, by, (H, W)), wanted)


def test_a_pixel_counts_to_255() -> None:
    many = Events(*(np.zeros(300, dtype=np.int64) for _ in range(4)))
    assert counted(many, 1, "count", (H, W))[0, 0, 0, 0] == 255


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x": np.array([W, 0])}, "beside the 5 x 7 pixels"),
        ({"y": np.array([0, H])}, "beside"),
        ({"p": np.array([0, 2])}, "beside"),
        ({"x": np.array([0, -1])}, "beside"),
        ({"t": np.array([5, 4])}, "not in the order of time"),
    ],
)
def test_events_that_cannot_be(change: dict[str, Any], complaint: str) -> None:
    right = Events(*(np.array([0, 1]) for _ in range(4)))
    assert checked(right, (H, W), "it") is right
    with pytest.raises(DataError, match=f"it has events.*{complaint}|it has events that are {complaint}"):
        checked(right._replace(**change), (H, W), "it")


class Made(EventDataset):
    """Recordings whose number can be read off: so many events in one pixel."""

    classes = 2
    size = (H, W)

    def __init__(self, config: EventsConfig) -> None:
        super().__init__(config)
        self.opened: list[int] = []

    def recordings(self, part: str) -> Recordings:
        def read(number: int) -> Events:
            self.opened.append(number)
            return Events(*(np.full(number, 1) for _ in range(3)), np.arange(number))

        return Recordings(np.arange(20 if part == "train" else 6) % 2, read)


def test_a_subset_is_stratified_and_alone_is_read() -> None:
    made = Made(EventsConfig(train_images=8, frames=2))
    x, y = made.train()
    assert (x.shape, x.dtype, y.dtype) == ((8, 2, 2, H, W), torch.uint8, torch.int64)
    assert torch.bincount(y).tolist() == [4, 4]
    assert x[:, :, 1, 1, 1].sum(1).tolist() == made.opened
    assert len(made.test().y) == 6


def test_settings_reach_the_augmentation() -> None:
    wanted = {"crop": 1, "flip": True, "cutout": 2, "drop": 0.25, "jitter": 3}
    augmentation = Made(EventsConfig(**wanted)).augmentation
    assert {name: getattr(augmentation, name) for name in wanted} == wanted


@pytest.mark.parametrize("setting", [{"frames": 0}, {"by": "number"}, {"drop": 1.0}, {"drop": -0.1}, {"jitter": -1}])
def test_settings_are_checked(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        structure(setting, EventsConfig, "a test")
