"""The laws of estimators: a number that depends on genotype, sample shape and classes alone, without any data."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable, SearchSpace
from nastk.core.config import Part, SpacePart, structure
from nastk.core.data.dataset import Dataset
from nastk.core.errors import NastkError
from nastk.core.laws.law import DoesNotApply, LawBook, LawBroken, applies, ensure
from nastk.core.laws.watch import elsewhere, random_state_kept
from nastk.core.model.estimator import Estimator, Expected, Measurement
from nastk.core.registry import registry
from nastk.core.seeds import generator
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind, Shape

SPACES: tuple[tuple[str, Mapping[str, Any]], ...] = (("toy", {}), ("nas-bench-201", {}), ("spiking-cells", {"nodes": 2}))
TOLERANCE = 1e-9


@frozen
class Network:
    """A member of a space from a seed, at a size: what an estimator is asked about."""

    space: str
    T: int
    channels: int
    sample: Shape
    classes: int
    seed: int

    @property
    def size(self) -> int:
        """Small networks first."""
        return self.T * self.channels * self.sample.H * self.sample.W

    def built(self) -> SearchSpace:
        """The space, of three cells."""
        model = {"time_steps": self.T, "channels": self.channels, "cells": 3}
        space: SearchSpace = SpacePart.named(self.space, **dict(SPACES)[self.space]).build(structure(model, ModelConfig, "model"))
        return space

    def genotype(self, salt: int = 0) -> Genotype:
        """The member; another one for another ``salt``."""
        return self.built().sample(random.Random(f"{self.seed} {salt}"))


@frozen
class Subject:
    """An estimator, and how to build it once more."""

    part: Part
    estimator: Estimator

    def again(self) -> Estimator:
        """Another instance, from the same settings."""
        built: Estimator = self.part.build()
        return built

    def relaxed(self, case: Network) -> tuple[Expected, Relaxable]:
        """The estimator and the space, where one can be differentiated and the other has a supernet."""
        space = case.built()
        applies(isinstance(self.estimator, Expected), "it is no Expected estimator")
        applies(isinstance(space, Relaxable), f"{case.space!r} is not Relaxable")
        assert isinstance(self.estimator, Expected)
        assert isinstance(space, Relaxable)
        return self.estimator, space


def draw(rng: random.Random) -> Network:
    """A member of one of three spaces, at the size of a small run on images."""
    space, _ = rng.choice(SPACES)
    return Network(space, 2, rng.choice([2, 4]), Shape(1, rng.choice([1, 3]), 8, 8), rng.choice([2, 10]), rng.randrange(10**6))


def prepare(part: Part, case: Network) -> Subject:
    """A fresh estimator."""
    case.built()
    return Subject(part, part.build())


BOOK: LawBook[Subject, Network] = LawBook(Kind.ESTIMATOR, draw, prepare, vary=True)


def measured(estimator: Estimator, case: Network, genotype: Genotype) -> Measurement:
    """The answer; a law does not apply where the estimator refuses the network."""
    try:
        return estimator.estimate(genotype, case.sample, case.classes)
    except NastkError as refusal:
        raise DoesNotApply(str(refusal)) from refusal


def steady(subject: Subject, case: Network, genotype: Genotype) -> Measurement:
    """The answer, where it can be compared: it is finite, and the same when it is asked for again."""
    first, second = (measured(subject.estimator, case, genotype) for _ in range(2))
    applies(first == second, "two calls give two answers: see same_answer_twice")
    applies(math.isfinite(first.value), "the answer is not finite: see finite_with_its_unit")
    return first


def close(first: float, second: float) -> bool:
    """Equal but for the order of a sum."""
    return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@BOOK.law
def finite_with_its_unit(subject: Subject, case: Network) -> None:
    """The estimate is a finite number in the unit that the class declares."""
    found = measured(subject.estimator, case, case.genotype())
    ensure(isinstance(found.value, (int, float)), f"the value {found.value!r} is no number")
    ensure(math.isfinite(found.value), f"the value is {found.value}")
    ensure(subject.estimator.unit and isinstance(subject.estimator.unit, str), f"its unit is {subject.estimator.unit!r}")
    ensure(found.unit == subject.estimator.unit, f"it declares {subject.estimator.unit!r} and measures {found.unit!r}")


@BOOK.law
def same_answer_twice(subject: Subject, case: Network) -> None:
    """The same question has the same answer: again, in another instance, after other questions, at any random state."""
    genotype, other = case.genotype(), case.genotype(1)
    first = measured(subject.estimator, case, genotype)
    fresh = subject.again()
    with suppress(NastkError):
        fresh.estimate(other, case.sample, case.classes)
    with elsewhere(case.seed):
        answers = {
            "asked again": measured(subject.estimator, case, genotype),
            "by another instance that was asked of another network before": measured(fresh, case, genotype),
        }
    for when, found in answers.items():
        same = found == first or (math.isnan(found.value) and math.isnan(first.value))
        ensure(same, f"{first.value!r} at first, {found.value!r} {when}")


@BOOK.law
def depends_on_the_genotype_alone(subject: Subject, case: Network) -> None:
    """A genotype that was written and read again, another object of equal content, has the same number."""
    genotype = case.genotype()
    first = steady(subject, case, genotype)
    again = Genotype.from_json(genotype.to_json())
    built = evolve(again, cells=dict(reversed(again.cells)), parts=dict(reversed(again.parts)))
    for how, other in (("once re-read", again), ("once made again", built)):
        found = measured(subject.estimator, case, other)
        ensure(found == first, f"{genotype.digest} has {first.value!r}, and {found.value!r} {how}")


@BOOK.law
def arguments_are_left_alone(subject: Subject, case: Network) -> None:
    """Neither to estimate nor to expect changes its arguments."""
    genotype = case.genotype()
    kept = genotype.to_json()
    measured(subject.estimator, case, genotype)
    ensure(genotype.to_json() == kept, "the genotype was changed")
    if isinstance(subject.estimator, Expected):
        expected, space = subject.relaxed(case)
        mixing = weights(space, case)
        copies = {name: w.detach().clone() for name, w in mixing.items()}
        with suppress(NastkError):
            expected.expected(space.full(), case.sample, case.classes, mixing)
        ensure(all(torch.equal(copies[name], w) for name, w in mixing.items()), "the mixing weights were written into")


@BOOK.law
def global_random_state_is_kept(subject: Subject, case: Network) -> None:
    """An estimate neither draws from the global random state (torch, numpy, random) nor seeds it."""
    genotype = case.genotype()
    with random_state_kept(case.seed, "estimator"):
        measured(subject.again(), case, genotype)


@BOOK.law
def opens_no_data(subject: Subject, case: Network) -> None:
    """No data set is opened for an estimate, be it training or test data."""
    genotype = case.genotype()
    with closed_data() as opened:
        try:
            measured(subject.again(), case, genotype)
        finally:  # also where it swallows the refusal, or is refused
            ensure(not opened, f"it opened {', '.join(opened)}")


@contextmanager
def closed_data() -> Iterator[list[str]]:
    """All data sets refuse to be read within the block, and are noted."""
    opened: list[str] = []

    def refusing(cls: type[Any], door: str) -> Any:
        def refuse(_: Any) -> Any:
            opened.append(f"{cls.__name__}.{door}")
            raise LawBroken("an estimator needs no data")

        return refuse

    for name in registry().names(Kind.DATASET):
        with suppress(NastkError):  # not a data set that can be opened
            registry().load(Kind.DATASET, name)
    doors = [(cls, door, vars(cls)[door]) for cls in _descendants(Dataset) for door in ("train", "test") if door in vars(cls)]
    try:
        for cls, door, _ in doors:
            setattr(cls, door, refusing(cls, door))
        yield opened
    finally:
        for cls, door, original in doors:
            setattr(cls, door, original)


def _descendants(cls: type[Any]) -> Iterator[type[Any]]:
    for child in cls.__subclasses__():
        yield child
        yield from _descendants(child)


@BOOK.law
def any_size(subject: Subject, case: Network) -> None:
    """It answers, with a finite number, for other time steps, channels, sides and classes too."""
    steady(subject, case, case.genotype())
    sizes = [(1, 1, Shape(1, 1, 8, 8), 2), (3, 5, Shape(1, 2, 9, 7), 3), (4, 3, Shape(4, 2, 10, 12), 101)]
    for steps, channels, sample, classes in sizes:
        other = evolve(case, T=steps, channels=channels, sample=sample, classes=classes)
        found = subject.estimator.estimate(other.genotype(), sample, classes)
        where = f"T = {steps}, {channels} channels, samples {tuple(sample)} and {classes} classes"
        ensure(math.isfinite(found.value), f"at {where} the value is {found.value}")


# What is differentiable


def weights(space: Relaxable, case: Network) -> dict[str, Tensor]:
    """Mixing weights ``(E, O)`` of a supernet, each row a distribution; leaves of the graph."""
    shapes = {name: np.asarray(hot).shape for name, hot in space.one_hot(case.genotype()).items()}
    draws = {n: torch.rand(s, generator=generator(case.seed, n), dtype=torch.float64) for n, s in shapes.items()}
    return {name: (drawn + 0.1).log().softmax(-1).requires_grad_() for name, drawn in draws.items()}


@BOOK.law
def expected_at_one_hot_is_the_estimate(subject: Subject, case: Network) -> None:
    """Under the one-hot mixing weights of a member, what is expected of the supernet is the member's estimate."""
    expected, space = subject.relaxed(case)
    genotype = case.genotype()
    first = steady(subject, case, genotype)
    hot = {name: torch.from_numpy(np.array(w, np.float64)) for name, w in space.one_hot(genotype).items()}
    found = float(expected.expected(space.full(), case.sample, case.classes, hot))
    ensure(close(found, first.value), f"{first.value!r} is estimated for {genotype.digest}, {found!r} expected at its weights")


@BOOK.law
def expected_is_differentiable(subject: Subject, case: Network) -> None:
    """Under mixed weights the expectation is one finite number, with a finite gradient to the weights."""
    expected, space = subject.relaxed(case)
    measured(subject.estimator, case, case.genotype())
    mixing = weights(space, case)
    found = expected.expected(space.full(), case.sample, case.classes, mixing)
    ensure(isinstance(found, Tensor) and found.numel() == 1, f"it expects {found!r}, no tensor of one number")
    ensure(bool(found.isfinite()), f"it expects {found.item()}")
    ensure(found.requires_grad, "what is expected does not hang on the mixing weights")
    grads = torch.autograd.grad(found.sum(), list(mixing.values()), allow_unused=True)
    finite = [name for name, grad in zip(mixing, grads, strict=True) if grad is not None and not bool(grad.isfinite().all())]
    ensure(not finite, f"the gradient of the weights of {', '.join(finite)} is not finite")
