"""The stratified subset, and the settings that all image data sets share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import DatasetPart
from nastk.core.errors import ConfigError, DataError
from nastk.plugins.datasets.images import stratified

labels = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(torch.tensor)


@given(labels, st.data(), st.integers(0, 100))
@settings(deadline=None, max_examples=80)
def test_a_subset_has_each_class_in_proportion(y, data, seed):
    count = data.draw(st.integers(1, len(y)))
    kept = stratified(y, count, seed)
    assert len(kept) == len(set(kept.tolist())) == count
    assert torch.equal(kept, kept.sort().values)
    share = torch.bincount(y, minlength=5) * count / len(y)
    assert (torch.bincount(y[kept], minlength=5) - share).abs().max() < 1
    assert torch.equal(kept, stratified(y, count, seed))


def test_the_seed_decides_which():
    y = torch.arange(10).repeat(20)
    assert not torch.equal(stratified(y, 50, 0), stratified(y, 50, 1))
    assert torch.equal(stratified(y, len(y), 3), torch.arange(len(y)))


def test_a_subset_of_a_data_set_keeps_the_test_part():
    small = DatasetPart.named("digits", train_images=100).build()
    assert torch.bincount(small.train().y).tolist() == [10] * 10
    assert len(small.test().y) == 360
    other = DatasetPart.named("digits", train_images=100, subset_seed=1).build()
    assert not torch.equal(small.train().x, other.train().x)


def test_more_images_than_there_are_is_an_error():
    with pytest.raises(DataError, match="1438 images were asked for, but there are only 1437"):
        DatasetPart.named("digits", train_images=1438).build().train()


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "fashion-mnist"])
def test_settings_are_checked_and_reach_the_augmentation(name):
    dataset = DatasetPart.named(name, crop=3, flip=True, cutout=5).build()
    assert (dataset.augmentation.crop, dataset.augmentation.flip, dataset.augmentation.cutout) == (3, True, 5)
    with pytest.raises(ConfigError, match="train_images"):
        DatasetPart.named(name, train_images=0)
