"""Tasks: what is learned from the data. Loss, metric and width of the head; never a door to the test data."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from nastk.core.data.splits import TrainingData


class Task(ABC):
    """What a network is trained for on labelled samples. A plug-in class is built as ``cls(data, config)``.

    The accuracy that everything is judged by is :meth:`correct` over the number of samples. Both methods get the
    logits of a batch at every time step, ``(T, B, K)``, and labels ``(B,)``.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data = data

    @property
    def outputs(self) -> int:
        """Width ``K`` of the head; the number of classes unless the task says otherwise."""
        return self.data.classes

    @abstractmethod
    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch, a scalar to differentiate."""

    def correct(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:
        """How many of a batch are right, as a tensor on the device: the largest mean logit over time decides."""
        return (logits_TBK.mean(0).argmax(-1) == y_B).sum()
