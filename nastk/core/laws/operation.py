"""The laws of operations: the site's shape comes out, steps stay apart, and nothing hangs on height and width."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from nastk.core.cell.graph import NONE
from nastk.core.config import AttentionPart, NeuronPart, Part
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
    stays_on_meta,
)
from nastk.core.laws.law import DoesNotApply, LawBook, LawBroken, applies, ensure
from nastk.core.model.neuron import Neuron
from nastk.core.model.operation import Operation, Site
from nastk.core.seeds import seeded
from nastk.core.types import Face, Kind, Shape

NEURONS = ("plif", "relu")
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@frozen
class Place:
    """A site with attention ``none``, and the seed of weights and inputs."""

    shape: Shape
    B: int
    stride: int
    affine: bool
    neuron: str
    seed: int

    @property
    def size(self) -> int:
        """How many numbers."""
        T, C, H, W = self.shape
        return T * self.B * C * H * W

    @property
    def site(self) -> Site:
        """What the operation is built for."""
        return Site(self.shape, self.stride, self.affine, *_materials(self.neuron))

    def x(self, salt: str = "") -> Tensor:
        """An input ``(T, B, C, H, W)`` in float64; another one for another ``salt``."""
        return activations(self.shape, self.B, self.seed, salt)

    def other(self, sizes: Mapping[str, int] | None = None, **changes: Any) -> Place:
        """The same place but for these."""
        return evolve(self, shape=self.shape._replace(**(sizes or {})), **changes)

    @property
    def out(self) -> tuple[int, ...]:
        """The shape of the output."""
        T, C, H, W = self.site.out
        return (T, self.B, C, H, W)


@cache
def _materials(neuron: str) -> tuple[Any, Any]:
    return NeuronPart.named(neuron), AttentionPart.named("none")


@frozen(eq=False)
class Bench:
    """Builds the operation in float64, with its initial values, at any place."""

    part: Part
    case: Place

    @property
    def absent(self) -> bool:
        """Whether it is ``none``, which stands for no edge at all."""
        return self.part.name == NONE

    def at(self, place: Place | None = None) -> Operation:
        """One for this place. Raises :class:`DoesNotApply` where it refuses it."""
        place = place or self.case
        try:
            with seeded(place.seed, "operation"):
                module: Operation = self.part.build(place.site)
        except NastkError as refusal:
            raise DoesNotApply(str(refusal)) from refusal
        return module.double()

    def each(self, places: Iterable[Place]) -> Iterator[tuple[Operation, Place]]:
        """One for each of these places that it does not refuse. Raises :class:`DoesNotApply` where it refuses all."""
        refusals, built = [""], 0
        for place in places:
            try:
                module = self.at(place)
            except DoesNotApply as refusal:
                refusals.append(str(refusal))
                continue
            built += 1
            yield module, place
        applies(built, refusals[-1])


def draw(rng: random.Random) -> Place:
    """One to three time steps, even sizes, both strides; odd sizes have a law of their own."""
    shape = Shape(rng.randint(1, 3), rng.choice([2, 4, 6]), rng.choice([4, 6]), rng.choice([2, 4]))
    return Place(shape, rng.randint(2, 3), rng.choice([1, 2]), rng.random() < 0.5, rng.choice(NEURONS), rng.randrange(10**6))


BOOK: LawBook[Bench, Place] = LawBook(Kind.OPERATION, draw, Bench, examples=4)


@BOOK.law_tried(1)
def stride_and_shape(bench: Bench, case: Place) -> None:
    """The output has the shape of ``site.out``: at stride 1 and 2, T 1 to 3, with a spiking neuron and with ``relu``."""
    _works_at(bench, (case.other({"T": T}, stride=s, neuron=n) for s, T, n in product((1, 2), (1, 2, 3), NEURONS)))


@BOOK.law_tried(1)
def odd_sizes(bench: Bench, case: Place) -> None:
    """Odd heights and widths round up, down to one pixel, and one channel works; or they are refused when it is built."""
    odd = ({"C": 3, "H": 5, "W": 7}, {"H": 1, "W": 1}, {"C": 1, "H": 3, "W": 5}, {"C": 1, "H": 1, "W": 1})
    _works_at(bench, (case.other(sizes, stride=stride, neuron="plif") for stride, sizes in product((1, 2), odd)))


def _works_at(bench: Bench, places: Iterable[Place]) -> None:
    for module, place in bench.each(places):
        try:
            fits(module(place.x()), place.out)
        except Exception as fault:  # the case that is printed is the one that the places were made from
            raise LawBroken(f"at {place}: {fault}") from fault


@BOOK.law
def reads(bench: Bench, _case: Place) -> None:
    """``reads`` is a face of its source node: VALUE or ACTIVATION."""
    face: object = getattr(bench.at(), "reads", None)
    ensure(isinstance(face, Face), f"reads is {face!r}, no Face")


@BOOK.law
def identity(bench: Bench, case: Place) -> None:
    """What calls itself the identity hands its input on, to the bit; ``none`` gives zeros."""
    module = bench.at()
    applies(bench.absent or module.identity, "it says identity = False")
    for training in (True, False):
        y = answer(module.train(training), case.x())
        if bench.absent:
            ensure(not y.any(), "none gives something")
        else:
            ensure(torch.equal(y, case.x()), "it says identity = True and changes its input")


@BOOK.law
def batch_independent(bench: Bench, case: Place) -> None:
    """In evaluation mode, what a sample gives does not depend on the other samples."""
    each_sample_alone(bench.at(), case.x())


@BOOK.law_tried(3)
def causal(bench: Bench, case: Place) -> None:
    """In evaluation mode a step hangs on itself and, through neurons alone, on the steps before it."""
    steps = {"T": max(case.shape.T, 2)}
    for module, place in bench.each(case.other(steps, neuron=neuron) for neuron in NEURONS):
        _causal(module.eval(), place)


def _causal(module: Operation, place: Place) -> None:
    remembers = any(isinstance(part, Neuron) and part.spiking for part in module.modules())
    x = place.x()
    before = answer(module, x)
    for now in range(place.shape.T):
        other = x.clone()
        other[now] = 1 - 2 * other[now]
        after = answer(module, other)
        ensure(close(after[:now], before[:now]), f"the input at step {now} changed the output before it")
        if not remembers:
            ensure(close(after[now + 1 :], before[now + 1 :]), f"without a spiking neuron, step {now} changed later outputs")


@BOOK.law
def repeatable(bench: Bench, case: Place) -> None:
    """In evaluation mode equal inputs give equal outputs, whatever ran between; the input is left as it is."""
    answers_again(bench.at().eval(), case.x(), case.x("between"))


@BOOK.law
def memory_layout(bench: Bench, case: Place) -> None:
    """The strides of the input make no difference."""
    any_layout(bench.at().eval(), case.x())


@BOOK.law
def silent_at_rest(bench: Bench, case: Place) -> None:
    """Before training zero input gives zero output: there is no bias in front of the norm."""
    for training in (True, False):
        ensure(not answer(bench.at().train(training), torch.zeros_like(case.x())).any(), "zero input gives an output")


@BOOK.law_tried(3)
def gradient_reaches_input_and_parameters(bench: Bench, case: Place) -> None:
    """A finite gradient reaches every time step of the input, and every parameter; ``none`` passes nothing on."""
    applies(not bench.absent, "none stands for no edge, and passes no gradient on")
    for module, place in bench.each(case.other(neuron=neuron) for neuron in NEURONS):
        gradients_reach([copy.deepcopy(module).train(), module.eval()], place.x(), place.seed)


@BOOK.law_tried(3)
def dtype_follows(bench: Bench, case: Place) -> None:
    """Module and input of one dtype give an output of that dtype: float64, float32 and bfloat16."""
    follows_dtype(bench.at(), case.x())


@BOOK.law_tried(3)
def parameters_do_not_depend_on_size(bench: Bench, case: Place) -> None:
    """Parameters and buffers have the same shapes at another height and width, so that weights can go to larger images."""
    larger = bench.at(case.other({"H": 2 * case.shape.H, "W": case.shape.W + 2}))
    here, there = ({name: tuple(t.shape) for name, t in module.state_dict().items()} for module in (bench.at(), larger))
    differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    ensure(not differing, f"on larger images {', '.join(differing)} has another shape")


@BOOK.law_tried(3)
def runs_on_meta(bench: Bench, case: Place) -> None:
    """It can be built and run on torch's meta device, where costs are counted: no step hangs on a value."""
    with torch.device("meta"):
        module = bench.at()
    stays_on_meta(module, case.x())


@BOOK.law_tried(2)
def affine_is_the_sites(bench: Bench, case: Place) -> None:
    """Where ``site.affine`` is false, no batch norm has a scale or a shift: they would blur the mixing weights."""
    for module, place in bench.each(case.other(affine=False, stride=s, neuron=n) for s, n in product((1, 2), NEURONS)):
        scaled = [name for name, part in module.named_modules() if isinstance(part, NORMS) and part.affine]
        ensure(not scaled, f"site.affine is false, and at stride {place.stride} {', '.join(scaled)} has a scale and a shift")
