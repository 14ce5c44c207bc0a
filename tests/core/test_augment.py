"""Batched augmentation against a slow reference, one image at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.data.augment import STD_FLOOR, Augmenter, statistics
from nastk.core.data.dataset import Augmentation
from nastk.core.errors import ShapeError

UNCHANGED = torch.zeros(1), torch.full((1,), 1 / 255)  # normalising with these gives the grey levels back


def images(seed: int, *shape: int) -> torch.Tensor:
    """Grey levels 1 to 255, so that a zero can only come from padding or cutout."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(augmentation: Augmentation, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The augmented grey levels, batch first: ``(B, T, C, H, W)``."""
    return Augmenter(augmentation, *UNCHANGED).train(x, generator(seed)).movedim(1, 0).round()


shapes = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9))
seed_values = st.integers(0, 2**32)


@given(shapes, st.integers(1, 4), seed_values)
@settings(deadline=None, max_examples=40)
def test_every_crop_is_a_window_of_the_padded_image(shape, pad, seed):
    x = images(seed, *shape)
    height, width = shape[-2:]
    for before, after in zip(x, trained(Augmentation(crop=pad), x, seed), strict=True):
        padded = torch.zeros(shape[1], height + 2 * pad, width + 2 * pad)
        padded[:, pad : pad + height, pad : pad + width] = before
        windows = [padded[:, i : i + height, j : j + width] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
        assert any(torch.equal(window, after[0]) for window in windows)


def test_crops_reach_every_offset_evenly():
    pad, copies = 1, 4500
    x = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).expand(copies, 1, 3, 3)
    corner = trained(Augmentation(crop=pad), x)[:, 0, 0, 1, 1].long()  # the middle pixel tells the offset
    counts = torch.bincount(corner, minlength=10)[1:]
    assert (counts - copies / 9).abs().max() < 5 * (copies / 9) ** 0.5


@given(shapes, seed_values)
@settings(deadline=None, max_examples=30)
def test_a_flip_mirrors_left_and_right_or_does_nothing(shape, seed):
    x = images(seed, *shape)
    for before, after in zip(x, trained(Augmentation(flip=True), x, seed), strict=True):
        assert torch.equal(after[0], before.float()) or torch.equal(after[0], before.flip(-1).float())


def test_half_of_the_images_are_flipped():
    x = torch.tensor([1, 2], dtype=torch.uint8).expand(2000, 1, 1, 2)
    flipped = (trained(Augmentation(flip=True), x)[:, 0, 0, 0, 0] == 2).float().mean()
    assert abs(flipped - 0.5) < 0.06


@given(shapes, st.integers(1, 5), seed_values)
@settings(deadline=None, max_examples=40)
def test_cutout_blanks_one_rectangle_in_all_channels_and_nothing_else(shape, side, seed):
    x = images(seed, *shape)
    height, width = shape[-2:]
    for before, after in zip(x, trained(Augmentation(cutout=side), x, seed), strict=True):
        blank = after[0] == 0
        assert (blank == blank[:1]).all(), "channels differ"
        rows, columns = blank[0].any(1), blank[0].any(0)
        assert torch.equal(blank[0], rows[:, None] & columns[None, :]), "not a rectangle"
        for hit, size in ((rows, height), (columns, width)):
            places = hit.nonzero().flatten()
            assert len(places) == int(places[-1] - places[0]) + 1 <= side, "not in one piece"
            assert len(places) == min(side, size) or hit[0] or hit[-1], "clipped away from the border"
        assert torch.equal(after[0][~blank], before.float()[~blank])


def test_cutout_area_inside_is_the_square():
    x = images(0, 400, 1, 20, 20)
    areas = (trained(Augmentation(cutout=4), x) == 0).sum((1, 2, 3, 4))
    assert areas.max() == 16
    assert (areas == 16).float().mean() > 0.6  # (17 / 20) ** 2 of the centres are far enough from the border
    assert areas.min() >= 4


def test_cutout_is_the_mean_after_normalising():
    x = images(1, 8, 2, 6, 6)
    mean, std = statistics(x)
    out = Augmenter(Augmentation(cutout=3), mean, std).train(x, generator())
    plain = Augmenter(Augmentation(), mean, std).evaluate(x)
    changed = out != plain
    assert changed.any()
    assert (out[changed] == 0).all()


EVERYTHING = Augmentation(crop=2, flip=True, cutout=3)


@given(st.integers(2, 8), seed_values)
@settings(deadline=None, max_examples=30)
def test_a_sample_does_not_see_its_batch(batch, seed):
    x = images(seed, batch, 2, 6, 7)
    y = x.clone()
    y[1:] = images(seed + 1, batch - 1, 2, 6, 7)
    whole = trained(EVERYTHING, x, seed)
    assert torch.equal(whole[0], trained(EVERYTHING, y, seed)[0])
    assert torch.equal(whole[:-1], trained(EVERYTHING, x[:-1], seed)), "fewer samples change the others"


@given(seed_values)
@settings(deadline=None, max_examples=20)
def test_only_the_given_generator_decides(seed):
    x = images(seed, 12, 1, 8, 8)
    torch.manual_seed(1)
    first = trained(EVERYTHING, x, seed)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, trained(EVERYTHING, x, seed))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"
    assert not torch.equal(first, trained(EVERYTHING, x, seed + 1))


def test_one_augmentation_does_not_move_another():
    x = images(3, 16, 1, 8, 8)
    crop_only, both = trained(Augmentation(crop=2), x), trained(Augmentation(crop=2, cutout=2), x)
    kept = both != 0
    assert torch.equal(both[kept], crop_only[kept])


def test_a_recording_keeps_one_augmentation_over_time():
    x = images(4, 5, 1, 2, 9, 9).expand(5, 4, 2, 9, 9)
    out = trained(EVERYTHING, x)
    assert out.shape == (5, 4, 2, 9, 9)
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert torch.equal(out[:, 0], trained(EVERYTHING, x[:, 0])[:, 0]), "the same as for a still image"


@given(shapes, seed_values, st.booleans())
@settings(deadline=None, max_examples=30)
def test_evaluate_is_normalisation_only(shape, seed, events):
    batch, channels, height, width = shape
    x = images(seed, batch, 3, channels, height, width) if events else images(seed, *shape)
    before = x.clone()
    mean, std = statistics(x)
    out = Augmenter(EVERYTHING, mean, std).evaluate(x)
    expected = (x.double() / 255 - mean.double().view(-1, 1, 1)) / std.double().view(-1, 1, 1)
    expected = expected.movedim(1, 0) if events else expected[None]
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-3)
    assert torch.equal(x, before), "the samples were written to"
    torch.testing.assert_close(Augmenter(Augmentation(), mean, std).train(x, generator()), out, rtol=0, atol=0)


@given(shapes, seed_values, st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_statistics_are_exact_in_any_chunks(shape, seed, chunk):
    x = images(seed, *shape)
    mean, std = statistics(x, chunk)
    values = x.double().div(255).movedim(1, 0).reshape(shape[1], -1)
    torch.testing.assert_close(mean, values.mean(1).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(std, values.std(1, correction=0).clamp(min=STD_FLOOR).float(), rtol=1e-5, atol=0)
    events = statistics(x[:, None].expand(-1, 3, -1, -1, -1), chunk)
    torch.testing.assert_close(events, (mean, std), rtol=1e-6, atol=0)


def test_a_constant_channel_gives_finite_numbers():
    x = torch.full((3, 1, 4, 4), 7, dtype=torch.uint8)
    mean, std = statistics(x)
    assert std.item() == pytest.approx(STD_FLOOR)
    assert Augmenter(Augmentation(), mean, std).evaluate(x).abs().max() < 1e-3


@pytest.mark.parametrize("x", [torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8)])
def test_anything_but_bytes_of_samples_is_refused(x):
    augmenter = Augmenter(Augmentation(crop=1), *UNCHANGED)
    for use in (statistics, augmenter.evaluate, lambda x: augmenter.train(x, generator())):
        with pytest.raises(ShapeError, match="uint8 samples"):
            use(x)
