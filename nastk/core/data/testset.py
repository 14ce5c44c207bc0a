"""The one door to the test data, opened by the last stage of a run."""

from __future__ import annotations

from collections.abc import Iterator

from nastk.core.data.dataset import Dataset
from nastk.core.data.splits import Batch, TrainingData, sample_shape
from nastk.core.errors import DataError


def test_batches(dataset: Dataset, data: TrainingData, batch: int = 256) -> Iterator[Batch]:  # noqa: PT028  no test of pytest
    """Every test sample once, normalised by the training data's statistics."""
    samples = dataset.test()
    if sample_shape(samples) != data.shape:
        raise DataError(f"Test samples are {sample_shape(samples)} (T, C, H, W), training samples {data.shape}.")
    for start in range(0, len(samples.y), batch):
        x, y_B = samples.x[start : start + batch].to(data.device), samples.y[start : start + batch].to(data.device)
        yield data.augmenter.evaluate(x), y_B
