"""Operations with one fault each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nastk import Face, Operation, Site, mark, over_time
from nastk.core.errors import ShapeError
from nastk.core.laws.operation import BOOK
from nastk.core.model.operation import fire


class Right(Operation):
    """Convolution, norm, neuron, gain; what every faulty one below is but for its fault."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        C = site.shape.C
        self.block = nn.Sequential(nn.Conv2d(C, C, 3, site.stride, 1, bias=False), nn.BatchNorm2d(C, affine=site.affine))
        self.neuron = site.make_neuron()
        self.gain = nn.Parameter(torch.ones(C, 1, 1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        current = over_time(self.block, x_TBCHW)
        return (current + fire(self.neuron, current)) * self.gain


@mark.operation("planted_right")
class Gained(Right):
    """No fault."""


@mark.operation("planted_skip")
class RightSkip(Operation):
    """No fault: the identity, at stride 1."""

    reads = Face.VALUE
    identity = True

    def __init__(self, site: Site) -> None:
        if site.stride > 1:
            raise ShapeError(f"planted_skip keeps the size, got stride {site.stride}.")
        super().__init__()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW


@mark.operation("planted_unstrided")
class Unstrided(Right):
    """Forgets the stride."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.block[0].stride = (1, 1)


@mark.operation("planted_padded")
class Padded(Right):
    """Rounds even sizes up, as if there were one pixel more."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(F.pad(x_TBCHW, (0, 1, 0, 1)) if self.site.stride > 1 else x_TBCHW)


@mark.operation("planted_floored")
class Floored(Right):
    """Rounds odd sizes down."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        if self.site.stride == 1:
            return super().forward(x_TBCHW)
        H, W = (size // 2 * 2 for size in x_TBCHW.shape[-2:])
        return super().forward(x_TBCHW[..., :H, :W])


@mark.operation("planted_faceless")
class Faceless(Right):
    """Reads what is no face."""

    reads = "both"


@mark.operation("planted_liar")
class Liar(Right):
    """Says that it is the identity."""

    identity = True


@mark.operation("planted_batch_mixer")
class BatchMixer(Right):
    """Takes the mean over the batch off its input."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW - x_TBCHW.mean(dim=1, keepdim=True))


@mark.operation("planted_prophet")
class Prophet(Right):
    """Takes the mean over time off its input."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW - 0.5 * x_TBCHW.mean(dim=0, keepdim=True))


@mark.operation("planted_trace")
class Trace(Right):
    """Sums its input up over time: causal, but no neuron says so."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW.cumsum(dim=0))


@mark.operation("planted_remembering")
class Remembering(Right):
    """Scales by what it met at calls before, in evaluation too."""

    met: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.register_buffer("met", torch.zeros(()))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW = super().forward(x_TBCHW) / (1 + self.met)
        self.met += x_TBCHW.detach().abs().mean()
        return y_TBCHW


@mark.operation("planted_scribbling")
class Scribbling(Right):
    """Rectifies its input in place."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(F.leaky_relu(x_TBCHW, 0.1, inplace=True))


@mark.operation("planted_viewing")
class Viewing(Right):
    """Takes the input's memory for contiguous."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        return super().forward(x_TBCHW.view(T * B, C, H, W).view(T, B, C, H, W))


@mark.operation("planted_biased")
class Biased(Right):
    """Has a bias in front of its norm."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.bias = nn.Parameter(torch.ones(site.shape.C, 1, 1))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW + self.bias)


@mark.operation("planted_severed")
class Severed(Right):
    """Has a weight that no gradient reaches."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) / self.gain * self.gain.detach()


@mark.operation("planted_exploding")
class Exploding(Right):
    """Has a root whose slope at zero is infinite."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) + x_TBCHW.abs().sqrt().sum() * 0.0


@mark.operation("planted_rounded")
class Rounded(Right):
    """Answers in float32 whatever it is given."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW).float()


@mark.operation("planted_pixel_weights")
class PixelWeights(Right):
    """Has a weight for each pixel."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.pixels = nn.Parameter(torch.ones(site.shape.H, site.shape.W))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW * self.pixels)


@mark.operation("planted_branching")
class Branching(Right):
    """Takes a way that hangs on a value."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return super().forward(x_TBCHW) if self.gain.sum() > -1e9 else x_TBCHW


@mark.operation("planted_affine")
class Affine(Right):
    """Gives its norm a scale and a shift everywhere."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.block[1] = nn.BatchNorm2d(site.shape.C)


FAULTS: list[tuple[type[Operation], set[str]]] = [
    (Gained, set()),
    (RightSkip, set()),
    (Unstrided, {"stride_and_shape", "odd_sizes"}),
    (Padded, {"stride_and_shape"}),
    (Floored, {"odd_sizes"}),
    (Faceless, {"reads"}),
    (Liar, {"identity"}),
    (BatchMixer, {"batch_independent"}),
    (Prophet, {"causal"}),
    (Trace, {"causal"}),
    (Remembering, {"repeatable"}),
    (Scribbling, {"repeatable"}),
    (Viewing, {"memory_layout"}),
    (Biased, {"silent_at_rest"}),
    (Severed, {"gradient_reaches_input_and_parameters"}),
    (Exploding, {"gradient_reaches_input_and_parameters"}),
    (Rounded, {"dtype_follows"}),
    (PixelWeights, {"parameters_do_not_depend_on_size"}),
    (Branching, {"runs_on_meta"}),
    (Affine, {"affine_is_the_sites"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Operation], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_every_law_is_broken_by_some_fault() -> None:
    assert {law.name for law in BOOK.laws} == set().union(*(laws for _, laws in FAULTS))
