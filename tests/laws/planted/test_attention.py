"""Attention modules with one fault each."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from nastk import Attention, Axis, Shape, mark
from nastk.core.errors import ShapeError
from nastk.core.laws.attention import BOOK


class Right(Attention):
    """A learned gain for each channel, less where a map is strong; what every faulty one below is but for its fault."""

    axes: ClassVar[Any] = frozenset({Axis.HW})

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, shape.C)[:, None, None])

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return torch.sigmoid(self.gain * x_TBCHW.square().mean(dim=(-2, -1), keepdim=True))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW * self.gate(x_TBCHW)


@mark.attention("gained")
class Gained(Right):
    """No fault."""


@mark.attention("rounded")
class Rounded(Right):
    """Answers in float32 whatever it is given."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW).float()


@mark.attention("overflowing")
class Overflowing(Right):
    """Leaves the numbers of a small dtype."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) * 1e60 / 1e60


@mark.attention("batch-axis")
class BatchAxis(Right):
    """Declares an axis that there is not."""

    axes = frozenset({Axis.HW, "B"})


@mark.attention("time-mixer")
class TimeMixer(Right):
    """Pools over time, and does not say so."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW.mean(dim=0, keepdim=True))


@mark.attention("pixel-mixer")
class PixelMixer(Right):
    """Pools over the map, and does not say so."""

    axes = frozenset()


@mark.attention("batch-mixer")
class BatchMixer(Right):
    """Pools over the batch."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW.mean(dim=1, keepdim=True))


@mark.attention("batch-normed")
class BatchNormed(Right):
    """Normalises its gate over the batch, in training only, and keeps no statistics."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        gate = super().gate(x_TBCHW)
        return gate / gate.mean(dim=1, keepdim=True) if self.training else gate


@mark.attention("biased")
class Biased(Right):
    """Adds a bias."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.bias = nn.Parameter(torch.ones(shape.C, 1, 1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) + self.bias


@mark.attention("late-biased")
class LateBiased(Biased):
    """Adds a bias that is zero before training."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        nn.init.zeros_(self.bias)


@mark.attention("remembering")
class Remembering(Right):
    """Gates with the mean over all calls before."""

    mean: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW = super().forward(x_TBCHW) * torch.sigmoid(self.mean.to(x_TBCHW.dtype))
        self.mean += 0.1 * (x_TBCHW.detach().abs().mean() - self.mean)
        return y_TBCHW


@mark.attention("scribbling")
class Scribbling(Right):
    """Multiplies its input in place."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW.mul_(torch.sigmoid(self.gain))


@mark.attention("viewing")
class Viewing(Right):
    """Takes the input's memory for contiguous."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        return super().forward(x_TBCHW.view(T * B, C, H * W).view(T, B, C, H, W))


@mark.attention("severed")
class Severed(Right):
    """Has a weight that no gradient reaches."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return torch.sigmoid(self.gain.detach() * x_TBCHW.square().mean(dim=(-2, -1), keepdim=True))


@mark.attention("rooted")
class Rooted(Right):
    """Takes a root, whose slope is infinite on a silent map."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return torch.sigmoid(self.gain * x_TBCHW.square().mean(dim=(-2, -1), keepdim=True).sqrt())


@mark.attention("truncated")
class Truncated(Right):
    """Cuts the gradient of the first step."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(torch.cat((x_TBCHW[:1].detach(), x_TBCHW[1:])))


@mark.attention("spread-over-time")
class SpreadOverTime(Right):
    """Divides by a spread that one time step does not have."""

    axes = frozenset({Axis.T, Axis.HW})

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW) / (1 + x_TBCHW.var(dim=0, keepdim=True))


@mark.attention("spread-over-channels")
class SpreadOverChannels(Right):
    """Divides by a spread that one channel does not have."""

    axes = frozenset({Axis.C, Axis.HW})

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW) / (1 + x_TBCHW.var(dim=2, keepdim=True))


@mark.attention("spread-over-pixels")
class SpreadOverPixels(Right):
    """Divides by a spread that one pixel does not have."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW) / (1 + x_TBCHW.var(dim=(-2, -1), keepdim=True))


@mark.attention("paired")
class Paired(Right):
    """Wants channels in pairs, and finds out when it runs."""

    axes = frozenset({Axis.C, Axis.HW})

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        C = x_TBCHW.shape[2]
        return super().gate(x_TBCHW) if C == 1 else super().gate(x_TBCHW.unflatten(2, (C // 2, 2)).flatten(2, 3))


@mark.attention("refusing")
class Refusing(Right):
    """Refuses one time step when it is built, as it may."""

    def __init__(self, shape: Shape) -> None:
        if shape.T == 1:
            raise ShapeError(f"refusing needs two time steps, got T = {shape.T}.")
        super().__init__(shape)


@mark.attention("crashing")
class Crashing(Right):
    """Does not refuse one time step, but crashes on it."""

    def __init__(self, shape: Shape) -> None:
        if shape.T == 1:
            raise ValueError("T")
        super().__init__(shape)


@mark.attention("branching")
class Branching(Right):
    """Takes a way that hangs on a value."""

    def gate(self, x_TBCHW: Tensor) -> Tensor:
        return super().gate(x_TBCHW) if self.gain.sum() > -1e9 else torch.ones_like(x_TBCHW)


@frozen(kw_only=True)
class FlooredConfig:
    """Settings of ``floored``."""

    floor: bool = False


@mark.attention("floored", config=FlooredConfig)
class Floored(Right):
    """Adds a bias where a setting says so that is off by default."""

    def __init__(self, shape: Shape, config: FlooredConfig) -> None:
        super().__init__(shape)
        self.floor = 0.1 if config.floor else 0.0

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) + self.floor


FAULTS: list[tuple[type[Attention], set[str]]] = [
    (Gained, set()),
    (Refusing, set()),
    (Rounded, {"shape_and_dtype"}),
    (Overflowing, {"shape_and_dtype"}),
    (BatchAxis, {"declares_axes"}),
    (TimeMixer, {"mixes_only_declared_axes"}),
    (PixelMixer, {"mixes_only_declared_axes"}),
    (BatchMixer, {"batch_independent"}),
    (BatchNormed, {"batch_independent"}),
    (Biased, {"zero_in_zero_out"}),
    (LateBiased, {"zero_in_zero_out"}),
    (Floored, {"zero_in_zero_out"}),
    (Remembering, {"repeatable"}),
    (Scribbling, {"repeatable"}),
    (Viewing, {"memory_layout"}),
    (Severed, {"gradient_reaches_input_and_parameters"}),
    (Rooted, {"gradient_reaches_input_and_parameters"}),
    (Truncated, {"gradient_reaches_input_and_parameters"}),
    (SpreadOverTime, {"one_time_step"}),
    (Crashing, {"one_time_step"}),
    (SpreadOverChannels, {"one_channel"}),
    (SpreadOverPixels, {"one_pixel"}),
    (Paired, {"odd_sizes"}),
    (Branching, {"runs_on_meta"}),
]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Attention], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_the_counter_example_says_where(failed: Any) -> None:
    detail = failed(Floored)["zero_in_zero_out"]
    assert detail.startswith("zero input gives an output [Place(shape=Shape(T=")
    assert "with floor = 1]" in detail


def test_every_law_is_broken_by_some_fault() -> None:
    assert {law.name for law in BOOK.laws} == set().union(*(laws for _, laws in FAULTS))
