"""The planted answer: a second convolution reads the class, pooling and skipping do not."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nastk.core.config import DatasetPart
from nastk.core.data.augment import Augmenter, statistics
from nastk.core.seeds import generator, seeded
from nastk.plugins.datasets.synthetic import Synthetic, SyntheticConfig

WIDTH = 16


@given(st.integers(2, 16), st.integers(1, 3), st.integers(8, 16), st.integers(1, 40), st.integers(0, 9))
@settings(deadline=None, max_examples=25)
def test_images_have_the_form_asked_for_and_depend_on_the_seed_alone(classes, channels, size, count, seed):
    config = SyntheticConfig(classes=classes, channels=channels, size=size, train_images=count, test_images=count, seed=seed)
    torch.manual_seed(seed + 1)
    train, test = Synthetic(config).train(), Synthetic(config).test()
    assert train.x.shape == (count, channels, size, size)
    assert (train.x.dtype, train.y.dtype) == (torch.uint8, torch.int64)
    counts = torch.bincount(train.y, minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(train.x, Synthetic(config).train().x)
    assert not torch.equal(train.x, test.x)


def test_the_bright_spot_lies_in_the_direction_of_the_class():
    x, y = Synthetic(SyntheticConfig(noise=0.0, train_images=64)).train()
    for image, label in zip(x[:, 0], y.tolist(), strict=True):
        bright, dark = divmod(int(image.argmax()), 12), divmod(int(image.argmin()), 12)
        step = torch.tensor(bright) - torch.tensor(dark)
        expected = torch.tensor([(0, 1), (1, 0), (0, -1), (-1, 0)][label]) * 4
        assert (step - expected).abs().max() <= 1


def network(middle: nn.Module) -> nn.Module:
    def norm() -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU())

    stem = nn.Conv2d(1, WIDTH, 3, padding=1, bias=False)
    return nn.Sequential(stem, norm(), middle, norm(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 4))


def raw_pixels() -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 4))


def accuracy(make, epochs: int = 6) -> float:
    dataset = DatasetPart.named("synthetic").build()
    (x, y), (test_x, test_y) = dataset.train(), dataset.test()
    augmenter = Augmenter(dataset.augmentation, *statistics(x))
    with seeded(0, "model"):
        model = make()
    steps = epochs * (len(x) // 32)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    draws = generator(0, "order")
    for epoch in range(epochs):
        for chosen in torch.randperm(len(x), generator=draws).split(32):
            loss = F.cross_entropy(model(augmenter.train(x[chosen], draws)[0]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        assert loss.isfinite(), epoch
    with torch.no_grad():
        return (model.eval()(augmenter.evaluate(test_x)[0]).argmax(1) == test_y).float().mean().item()


def test_a_second_convolution_reads_the_class():
    assert accuracy(lambda: network(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False))) > 0.9


@pytest.mark.parametrize(
    ("make", "at_most"),
    [
        (raw_pixels, 0.35),
        (lambda: network(nn.Identity()), 0.4),
        (lambda: network(nn.MaxPool2d(3, 1, 1)), 0.45),
        (lambda: network(nn.AvgPool2d(3, 1, 1)), 0.7),
    ],
    ids=["raw pixels", "skip", "max pooling", "average pooling"],
)
def test_nothing_else_does(make, at_most):
    assert accuracy(make) < at_most
