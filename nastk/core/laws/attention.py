"""The laws of attention: shape in equals shape out, zero stays zero, and only declared axes are mixed."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.config import Part
from nastk.core.errors import NastkError
from nastk.core.laws.activations import (
    activations,
    answer,
    answers_again,
    any_layout,
    close,
    each_sample_alone,
    fits,
    follows_dtype,
    gradients_reach,
    moved,
    stays_on_meta,
)
from nastk.core.laws.law import DoesNotApply, LawBook, applies, ensure
from nastk.core.model.attention import Attention
from nastk.core.seeds import seeded
from nastk.core.types import Axis, Kind, Shape

DIMENSIONS: Mapping[Axis, tuple[int, ...]] = {Axis.T: (0,), Axis.C: (2,), Axis.HW: (3, 4)}


@frozen
class Place:
    """Where the attention stands, and the seed of its weights and inputs."""

    shape: Shape
    B: int
    seed: int

    @property
    def size(self) -> int:
        """How many numbers."""
        T, C, H, W = self.shape
        return T * self.B * C * H * W

    def another(self, scale: float = 2.0) -> Tensor:
        """A second input, ``(T, B, C, H, W)`` in float64."""
        return activations(self.shape, self.B, self.seed, "another", scale)


@frozen(eq=False)
class Bench:
    """Builds the attention in float64, with its initial values, for any shape."""

    part: Part
    case: Place

    def at(self, **sizes: int) -> tuple[Attention, Tensor]:
        """One for this shape, and an input for it. Raises :class:`DoesNotApply` where it refuses the shape."""
        shape = self.case.shape._replace(**sizes)
        try:
            with seeded(self.case.seed, "attention"):
                module: Attention = self.part.build(shape)
        except NastkError as refusal:
            raise DoesNotApply(str(refusal)) from refusal
        return module.double(), activations(shape, self.case.B, self.case.seed)


def draw(rng: random.Random) -> Place:
    """More than one of everything, and even sizes; what is one or odd has laws of its own."""
    shape = Shape(rng.randint(2, 4), rng.choice([2, 4, 6, 20]), rng.choice([2, 4, 6]), rng.choice([2, 4]))
    return Place(shape, rng.randint(2, 3), rng.randrange(10**6))


BOOK: LawBook[Bench, Place] = LawBook(Kind.ATTENTION, draw, Bench, vary=True)


@BOOK.law
def shape_and_dtype(bench: Bench, _case: Place) -> None:
    """Shape and dtype go out as they came in, in float64, float32 and bfloat16; values stay finite."""
    module, x = bench.at()
    fits(answer(module, x), x.shape)
    follows_dtype(module, x)


@BOOK.law_tried(2)
def declares_axes(bench: Bench, _case: Place) -> None:
    """``axes`` is a set of axes that an attention may mix, which the batch is not."""
    module, _ = bench.at()
    axes: object = getattr(module, "axes", None)
    ensure(isinstance(axes, frozenset) and all(isinstance(a, Axis) for a in axes), f"axes is {axes!r}, no frozenset of Axis")


@BOOK.law
def mixes_only_declared_axes(bench: Bench, case: Place) -> None:
    """Changing one index of an axis that is not in ``axes`` leaves the output at all other indices as it was."""
    module, x = bench.at()
    free = [axis for axis in Axis if axis not in module.axes]
    applies(free, "it declares every axis")
    before, louder = answer(module, x), case.another(scale=10.0)
    for axis in free:
        for dim in DIMENSIONS[axis]:
            changed = case.seed % x.shape[dim]
            others = torch.tensor([i for i in range(x.shape[dim]) if i != changed])
            other = x.clone()
            other.select(dim, changed).copy_(louder.select(dim, changed))
            now, was = answer(module, other).index_select(dim, others), before.index_select(dim, others)
            ensure(close(now, was), f"{axis} is not among axes, and input at index {changed} changed the output at others")


@BOOK.law
def batch_independent(bench: Bench, case: Place) -> None:
    """What a sample gives does not depend on the other samples, in training either."""
    module, x = bench.at()
    before = answer(module, x)
    for b in range(case.B):
        other = case.another(scale=10.0)
        other[:, b] = x[:, b]
        ensure(close(answer(module, other)[:, b], before[:, b]), f"in training, sample {b} depends on the others")
    each_sample_alone(module, x)


@BOOK.law
def zero_in_zero_out(bench: Bench, case: Place) -> None:
    """Zero gives zero, whatever the weights, so that an absent edge stays absent."""
    module, x = bench.at()
    ensure(not answer(module, torch.zeros_like(x)).any(), "zero input gives an output")
    trained = moved(module, case.seed)
    ensure(not answer(trained, torch.zeros_like(x)).any(), "once its weights have moved, zero input gives an output")


@BOOK.law
def repeatable(bench: Bench, case: Place) -> None:
    """Equal inputs give equal outputs, whatever ran between; the input is left as it is."""
    module, x = bench.at()
    for training in (True, False):
        answers_again(module.train(training), x, case.another())


@BOOK.law
def memory_layout(bench: Bench, _case: Place) -> None:
    """The strides of the input make no difference."""
    any_layout(*bench.at())


@BOOK.law
def gradient_reaches_input_and_parameters(bench: Bench, case: Place) -> None:
    """A finite gradient reaches every time step of the input, and every parameter, at its start or a little off it."""
    module, x = bench.at()
    gradients_reach([module, moved(module, case.seed)], x, case.seed)


@BOOK.law_tried(2)
def one_time_step(bench: Bench, _case: Place) -> None:
    """It works at T = 1, or refuses it when it is built."""
    _works(*bench.at(T=1))


@BOOK.law_tried(2)
def one_channel(bench: Bench, _case: Place) -> None:
    """It works with one channel, or refuses it when it is built."""
    _works(*bench.at(C=1))


@BOOK.law_tried(2)
def one_pixel(bench: Bench, _case: Place) -> None:
    """It works on maps of one pixel, or refuses them when it is built."""
    _works(*bench.at(H=1, W=1))


@BOOK.law_tried(4)
def odd_sizes(bench: Bench, case: Place) -> None:
    """It works at odd numbers of channels, rows and columns, or refuses them when it is built."""
    _works(*bench.at(C=case.shape.C + 1, H=case.shape.H + 1, W=case.shape.W + 3))


def _works(module: Attention, x_TBCHW: Tensor) -> None:
    fits(answer(module, x_TBCHW), x_TBCHW.shape)


@BOOK.law_tried(2)
def runs_on_meta(bench: Bench, _case: Place) -> None:
    """It can be built and run on torch's meta device, where costs are counted: no step hangs on a value."""
    with torch.device("meta"):
        module, _ = bench.at()
    stays_on_meta(module, bench.at()[1])
