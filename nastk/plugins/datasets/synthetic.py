"""Images made from a seed, for tests with a known answer: only a convolution can tell the classes apart."""

from __future__ import annotations

import math

import torch
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le
from torch import Tensor

from nastk.core import mark, seeds
from nastk.core.data.dataset import Augmentation, Dataset, Samples

DISTANCE = 4.0  # pixels between the two spots: farther than one 3x3 window sees, within two of them
SPREAD = 0.6  # standard deviation of a spot, in pixels
CONTRAST = 110.0  # height of a spot, in grey levels
MARGIN = 3  # pixels that the middle of a pattern keeps from the border
CHUNK = 1024


@frozen(kw_only=True)
class SyntheticConfig:
    classes: int = field(default=4, validator=and_(ge(2), le(16)), metadata={"help": "number of directions"})
    channels: int = field(default=1, validator=gt(0), metadata={"help": "channels; each shows the same edge in its own noise"})
    size: int = field(
        default=12, validator=ge(8), metadata={"help": "height and width in pixels; below 12 the border helps pooling"}
    )
    train_images: int = field(default=1024, validator=gt(0), metadata={"help": "number of training images"})
    test_images: int = field(default=512, validator=gt(0), metadata={"help": "number of test images"})
    seed: int = field(default=0, metadata={"help": "fixes every image"})
    noise: float = field(default=20.0, validator=ge(0), metadata={"help": "standard deviation of the noise, in grey levels"})


@mark.dataset("synthetic", config=SyntheticConfig)
class Synthetic(Dataset):
    """Edges in noise: the class is the direction from a dark spot to a bright one; made from a seed.

    Class ``k`` of ``K`` turns the pair by ``2 pi k / K``. Place is random and both spots weigh the same, so the mean,
    the brightest and the darkest pixel and every 3x3 window say (almost) nothing; a convolution over the answers of a
    convolution reads the direction. Not augmented: a flip would change the class.
    """

    def __init__(self, config: SyntheticConfig) -> None:
        self.config = config
        self.classes = config.classes
        self.augmentation = Augmentation()

    def train(self) -> Samples:
        """``train_images`` images ``(N, channels, size, size)``, classes in turn."""
        return self._made("train", self.config.train_images)

    def test(self) -> Samples:
        """``test_images`` images, drawn apart from the training images."""
        return self._made("test", self.config.test_images)

    def _made(self, part: str, count: int) -> Samples:
        y_N = torch.arange(count) % self.config.classes
        generator = seeds.generator(self.config.seed, "synthetic", part)
        return Samples(torch.cat([self._images(y, generator) for y in torch.split(y_N, CHUNK)]), y_N)

    def _images(self, y_N: Tensor, generator: torch.Generator) -> Tensor:
        config, n = self.config, len(y_N)
        centre_2N = MARGIN + torch.rand(2, n, generator=generator) * (config.size - 1 - 2 * MARGIN)
        angle_N = 2 * math.pi * y_N / config.classes
        half_2N = DISTANCE / 2 * torch.stack([angle_N.sin(), angle_N.cos()])
        edge_N1HW = (_spots(centre_2N + half_2N, config.size) - _spots(centre_2N - half_2N, config.size))[:, None]
        noise_NCHW = torch.randn(n, config.channels, config.size, config.size, generator=generator)
        grey_NCHW = 127.5 + CONTRAST * edge_N1HW + config.noise * noise_NCHW
        return grey_NCHW.round().clamp(0, 255).to(torch.uint8)


def _spots(place_2N: Tensor, size: int) -> Tensor:
    """A round Gaussian spot of height one at each place (row, column): ``(N, size, size)``."""
    distance_2NS = torch.arange(size) - place_2N[:, :, None]
    height_2NS = (-distance_2NS.square() / (2 * SPREAD**2)).exp()
    return height_2NS[0, :, :, None] * height_2NS[1, :, None, :]
