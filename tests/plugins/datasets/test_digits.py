import hashlib

import torch

from nastk.core.config import DatasetPart
from nastk.plugins.datasets.digits import Digits, DigitsConfig


def rows(samples):
    return [bytes(row) for row in samples.x.flatten(1).numpy()]


def test_counts_classes_and_values():
    digits = DatasetPart.named("digits").build()
    train, test = digits.train(), digits.test()
    assert train.x.shape == (1437, 1, 8, 8)
    assert test.x.shape == (360, 1, 8, 8)
    assert train.x.dtype == torch.uint8
    assert train.y.dtype == test.y.dtype == torch.int64
    assert digits.classes == 10
    assert set(train.x.unique().tolist()) == {int(v * 255 / 16 + 0.5) for v in range(17)}
    share = torch.bincount(test.y) / torch.bincount(torch.cat([train.y, test.y]))
    assert torch.bincount(test.y).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert (share - 0.2).abs().max() < 0.01


def test_the_parts_are_disjoint():
    digits = Digits(DigitsConfig())
    assert not set(rows(digits.train())) & set(rows(digits.test()))  # no image occurs twice in the data set


def test_two_instances_give_the_same_bytes():
    first, second = Digits(DigitsConfig()), Digits(DigitsConfig())
    for a, b in zip(first.train() + first.test(), second.train() + second.test(), strict=True):
        assert torch.equal(a, b)


def test_the_split_is_the_published_one():
    """Every result on digits depends on it, so it may not change with a version of anything."""
    x, y = Digits(DigitsConfig()).test()
    content = x.numpy().tobytes() + y.numpy().astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "286b7667bcb11aab"


def test_the_images_show_digits():
    """The nearest class mean reads most of them, so images and labels belong together."""
    digits = Digits(DigitsConfig())
    (x, y), (test_x, test_y) = digits.train(), digits.test()
    means = torch.stack([x[y == k].float().mean(0).flatten() for k in range(10)])
    found = torch.cdist(test_x.float().flatten(1), means).argmin(1)
    assert (found == test_y).float().mean() > 0.85


def test_defaults_of_augmentation():
    augmentation = Digits(DigitsConfig()).augmentation
    assert (augmentation.crop, augmentation.flip, augmentation.cutout) == (1, False, 0)
