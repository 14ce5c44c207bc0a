"""The bundled data set: small, real, and there without a download.

The images are the test part of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998;
CC BY 4.0), in the form scikit-learn's ``load_digits`` has them: 1,797 images of 8 x 8 pixels with values 0 to 16.
They come without a split. Here 360 of them, stratified, are the test part; ``SPLIT_SEED`` fixes which.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch
from attrs import frozen

from nastk.core import mark
from nastk.core.data.dataset import Samples
from nastk.plugins.datasets.images import ImageDataset, ImagesConfig, Part, crop_field, stratified

TEST_IMAGES = 360
SPLIT_SEED = 1998  # the year of the data set; changing it changes every result on digits


@frozen(kw_only=True)
class DigitsConfig(ImagesConfig):
    crop: int = crop_field(1)


@mark.dataset(
    "digits",
    config=DigitsConfig,
    paper="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository 1998",
)
class Digits(ImageDataset):
    """1,797 handwritten digits of 8x8 grey pixels, 1,437 to train and 360 to test; bundled (UCI, Alpaydin 1998)."""

    classes = 10

    def __init__(self, config: DigitsConfig) -> None:
        super().__init__(config)

    def read(self, part: Part) -> Samples:
        """Images ``(N, 1, 8, 8)``, values scaled from 0..16 to 0..255."""
        with files("nastk.plugins.datasets").joinpath("digits.npz").open("rb") as stream:
            arrays = np.load(stream, allow_pickle=False)
            grey, labels = arrays["images"], arrays["labels"]
        x_NCHW = torch.from_numpy(np.round(grey * (255 / 16)).astype(np.uint8))[:, None]
        y_N = torch.from_numpy(labels.astype(np.int64))
        is_test_N = torch.zeros(len(y_N), dtype=torch.bool)
        is_test_N[stratified(y_N, TEST_IMAGES, SPLIT_SEED)] = True
        wanted_N = is_test_N if part == "test" else ~is_test_N
        return Samples(x_NCHW[wanted_N], y_N[wanted_N])
