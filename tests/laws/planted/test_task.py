"""Tasks with one fault each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nastk import mark
from nastk.core.data.splits import TrainingData
from nastk.core.data.task import Task


class Right(Task):
    """Cross-entropy; what every faulty task below would be without its fault."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits_TBK.mean(0), y_B, label_smoothing=label_smoothing)


@mark.task("right")
class Plain(Right):
    """No fault."""


@mark.task("voting")
class Voting(Right):
    """No fault: three outputs vote for each class."""

    @property
    def outputs(self) -> int:
        return 3 * self.data.classes

    def votes(self, logits_TBK: Tensor) -> Tensor:
        return logits_TBK.unflatten(-1, (-1, 3)).mean(-1)

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(self.votes(logits_TBK), y_B, label_smoothing)

    def correct(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:
        return super().correct(self.votes(logits_TBK), y_B)


@mark.task("vector")
class Vector(Right):
    """Gives a loss of shape (1,)."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits_TBK, y_B, label_smoothing)[None]


@mark.task("severed")
class Severed(Right):
    """Gives a number without a gradient."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits_TBK, y_B, label_smoothing).detach()


@mark.task("blind")
class Blind(Right):
    """Takes all samples for the first class."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits_TBK, torch.zeros_like(y_B), label_smoothing)


@mark.task("summed")
class Summed(Right):
    """Sums over the batch."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits_TBK.mean(0), y_B, label_smoothing=label_smoothing, reduction="sum")


@mark.task("neighbours")
class Neighbours(Right):
    """Mixes each sample with the one before it."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        mixed = 0.01 * (logits_TBK.roll(1, dims=1).tanh() * logits_TBK).mean()
        return super().loss(logits_TBK, y_B, label_smoothing) + mixed


@mark.task("share")
class Share(Right):
    """Gives the accuracy where a count is asked for."""

    def correct(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:
        return super().correct(logits_TBK, y_B) / len(y_B)


@mark.task("generous")
class Generous(Right):
    """Calls everything right."""

    def correct(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:
        return (logits_TBK.mean(0).argmax(-1) >= 0).sum() + 0 * y_B.sum()


@mark.task("unsmoothed")
class Unsmoothed(Right):
    """Takes no label smoothing."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:  # type: ignore[override]
        return super().loss(logits_TBK, y_B)


@mark.task("smoothed")
class Smoothed(Right):
    """Smooths where nobody asked for it."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.1) -> Tensor:
        return super().loss(logits_TBK, y_B, label_smoothing)


@mark.task("double")
class Double(Right):
    """Computes in float64 whatever it is given."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits_TBK.double(), y_B, label_smoothing)


@mark.task("at-home")
class AtHome(Right):
    """Brings the count to the CPU."""

    def correct(self, logits_TBK: Tensor, y_B: Tensor) -> Tensor:
        hits = super().correct(logits_TBK, y_B)
        return torch.zeros((), dtype=torch.int64) if hits.is_meta else hits


@mark.task("scribbler")
class Scribbler(Right):
    """Clamps the logits in place."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        logits_TBK.data.clamp_(-1, 1)
        return super().loss(logits_TBK, y_B, label_smoothing)


@mark.task("grudge")
class Grudge(Right):
    """Adds to the loss when the last batch had other classes."""

    def __init__(self, data: TrainingData) -> None:
        super().__init__(data)
        self.last: set[int] | None = None

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        classes = set(y_B.tolist())
        changed = self.last not in (None, classes)
        self.last = classes
        return super().loss(logits_TBK, y_B, label_smoothing) + changed


@mark.task("seeding")
class Seeding(Right):
    """Adds the same noise each time, from the global generator."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        torch.manual_seed(0)
        return super().loss(logits_TBK, y_B, label_smoothing) + 0.01 * torch.rand((), dtype=logits_TBK.dtype)


@mark.task("smooth")
class Smooth(Right):
    """Adds the mean change from step to step, of which there is none at T = 1."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits_TBK, y_B, label_smoothing) + logits_TBK.diff(dim=0).square().mean()


FAULTS: list[tuple[type[Task], set[str]]] = [
    (Plain, set()),
    (Voting, set()),
    (Vector, {"loss_is_a_finite_scalar"}),
    (Severed, {"loss_is_a_finite_scalar"}),
    (Blind, {"right_logits_cost_less"}),
    (Summed, {"loss_is_a_mean"}),
    (Neighbours, {"order_does_not_matter"}),
    (Share, {"correct_is_a_count"}),
    (Generous, {"correct_is_a_count"}),
    (Unsmoothed, {"label_smoothing_is_taken"}),
    (Smoothed, {"label_smoothing_is_taken"}),
    (Double, {"dtype_and_device_follow"}),
    (AtHome, {"dtype_and_device_follow"}),
    (Scribbler, {"nothing_is_kept"}),
    (Grudge, {"nothing_is_kept"}),
    (Seeding, {"global_random_state_is_kept"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Task], laws: set[str], failed: Any) -> None:
    with torch.random.fork_rng(devices=()):
        assert set(failed(cls)) == laws


def test_one_time_step_is_tried(failed: Any) -> None:
    """NaN is in every comparison, so other laws fail too."""
    assert "nan" in failed(Smooth)["loss_is_a_finite_scalar"]
