"""What is done to recordings alone: a shift in time, and pixels that lose their events."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.data.augment import Augmenter
from nastk.core.data.dataset import Augmentation

UNCHANGED = torch.zeros(2), torch.full((2,), 1 / 255)  # normalising with these gives the counts back
seeds = st.integers(0, 2**32)


def recordings(seed: int, *shape: int) -> Tensor:
    """Counts from 1 on, so that a zero comes from augmentation alone."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def trained(augmentation: Augmentation, x: Tensor, seed: int = 0) -> Tensor:
    """Batch first: ``(B, T, C, H, W)``."""
    return Augmenter(augmentation, *UNCHANGED).train(x, torch.Generator().manual_seed(seed)).movedim(1, 0).round()


@given(seeds, st.integers(1, 6), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_a_shift_moves_all_steps_alike_and_leaves_none_behind(seed: int, steps: int, most: int) -> None:
    x = recordings(seed, 5, steps, 2, 3, 4)
    for before, after in zip(x.float(), trained(Augmentation(jitter=most), x, seed), strict=True):
        empty = torch.zeros_like(before[:1]).expand(most, -1, -1, -1)
        padded = torch.cat([empty, before, empty])
        assert any(torch.equal(after, padded[most - by : most - by + steps]) for by in range(-most, most + 1))


def test_every_shift_is_as_likely() -> None:
    x = torch.arange(1, 6, dtype=torch.uint8).view(1, 5, 1, 1, 1).expand(6000, 5, 2, 1, 1)
    middle = trained(Augmentation(jitter=2), x)[:, 2, 0, 0, 0].long()  # step 3 - by
    counts = torch.bincount(middle, minlength=6)[1:]
    assert counts.sum() == 6000
    assert (counts - 1200).abs().max() < 5 * 1200**0.5


@given(seeds, st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=20)
def test_drop_empties_pixels_and_changes_no_other(seed: int, share: float) -> None:
    x = recordings(seed, 8, 4, 2, 16, 16)
    out = trained(Augmentation(drop=share), x, seed)
    gone = out == 0
    assert torch.equal(out[~gone], x.float()[~gone])
    assert abs(float(gone.double().mean()) - share) < 5 * (share * (1 - share) / x.numel()) ** 0.5


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_other_augmentations_stay_as_they_are(seed: int) -> None:
    x = recordings(seed, 6, 3, 2, 7, 7)
    crop = trained(Augmentation(crop=1, flip=True), x, seed)
    both = trained(Augmentation(crop=1, flip=True, drop=0.5), x, seed)
    assert torch.equal(both[both != 0], crop[both != 0])
    assert not torch.equal(both, crop)


@given(seeds, st.integers(2, 6))
@settings(deadline=None, max_examples=20)
def test_a_sample_does_not_see_its_batch(seed: int, batch: int) -> None:
    everything = Augmentation(crop=1, flip=True, cutout=2, drop=0.3, jitter=2)
    x = recordings(seed, batch, 4, 2, 6, 6)
    other = torch.cat([x[:1], recordings(seed + 1, batch - 1, 4, 2, 6, 6)])
    whole = trained(everything, x, seed)
    assert torch.equal(whole[0], trained(everything, other, seed)[0])
    assert torch.equal(whole[:-1], trained(everything, x[:-1], seed))
    assert torch.equal(whole, trained(everything, x, seed))
    assert not torch.equal(whole, trained(everything, x, seed + 1))


def test_evaluation_is_left_alone() -> None:
    x = recordings(0, 3, 4, 2, 5, 5)
    out = Augmenter(Augmentation(drop=0.9, jitter=3), *UNCHANGED).evaluate(x).movedim(1, 0)
    assert torch.equal(out.round(), x.float())
