"""The laws of benchmarks: a figure for every member of the space, always the same one, and none for a stranger."""

from __future__ import annotations

import math
import random
from functools import cached_property, lru_cache
from typing import Any

from attrs import evolve, frozen

from nastk.core import seeds
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.space import SearchSpace
from nastk.core.config import Part, SpacePart
from nastk.core.errors import NastkError, NotInSpace
from nastk.core.laws.law import LawBook, LawBroken, applies, ensure
from nastk.core.laws.watch import random_state_kept
from nastk.core.registry import registry
from nastk.core.run.benchmark import Benchmark
from nastk.core.run.runfile import configure
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind, Shape


@frozen
class Draw:
    """A member of the space, from a seed."""

    seed: int

    def member(self, space: SearchSpace) -> Genotype:
        return space.sample(seeds.rng(self.seed, "member"))


class Opened:
    """A benchmark that is built once, however many laws look at it, and the space it is about."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.table: Benchmark = part.build()

    @cached_property
    def again(self) -> Benchmark:
        """A second instance."""
        built: Benchmark = self.part.build()
        return built

    @cached_property
    def space(self) -> SearchSpace:
        """The space that ``defaults`` names, with the settings of a run that names the benchmark."""
        defaults = getattr(self.table, "defaults", {})
        ensure("space" in defaults, "its class attribute defaults names no space")
        config = configure(defaults)
        built: SearchSpace = config.space.build(config.model)
        return built


def draw(rng: random.Random) -> Draw:
    """Any member."""
    return Draw(rng.randrange(10**6))


@lru_cache(maxsize=4)
def opened(cls: object, part: Part) -> Opened:
    """The benchmark of this class and these settings; the last ones are kept, as every law asks for each of them."""
    del cls  # another class of the same name is another benchmark
    return Opened(part)


def prepare(part: Part, case: Draw) -> Opened:
    """The benchmark, its files read. Raises :class:`NastkError` when they are missing."""
    cls: object = registry().load(part.kind, part.name)
    found = opened(cls, part)
    try:
        found.table.look_up(case.member(found.space), found.table.epochs[0])
    except Exception as error:
        # A table that cannot be read is a refusal; whatever else goes wrong, a law meets again and says so.
        if isinstance(error, NastkError) and not isinstance(error, NotInSpace):
            raise
    return found


BOOK: LawBook[Opened, Draw] = LawBook(Kind.BENCHMARK, draw, prepare, examples=20, vary=True)


@BOOK.law_tried(1)
def epochs_ascend(it: Opened, case: Draw) -> None:
    """``epochs`` is a tuple of positive whole numbers, ascending, at least one."""
    del case
    epochs = it.table.epochs
    ensure(isinstance(epochs, tuple) and epochs, f"epochs is {epochs!r}")
    ensure(all(type(n) is int and n > 0 for n in epochs), f"epochs holds what is no positive whole number: {epochs}")
    ensure(list(epochs) == sorted(set(epochs)), f"epochs does not ascend: {epochs}")


@BOOK.law_tried(1)
def data_are_described(it: Opened, case: Draw) -> None:
    """``shape`` is the ``Shape`` of a sample, its sizes positive; ``classes`` is a whole number of at least two."""
    del case
    shape: object = getattr(it.table, "shape", None)
    ensure(isinstance(shape, Shape), f"shape is {shape!r}, no Shape")
    ensure(all(type(size) is int and size > 0 for size in it.table.shape), f"shape has sizes that are not positive: {shape}")
    classes: object = getattr(it.table, "classes", None)
    ensure(type(classes) is int and classes >= 2, f"classes is {classes!r}")


@BOOK.law
def every_member_has_figures(it: Opened, case: Draw) -> None:
    """Every member of its space has finite figures at each of ``epochs``, an ``accuracy`` in [0, 1] among them."""
    member = case.member(it.space)
    for epochs in it.table.epochs:
        figures = it.table.look_up(member, epochs)
        ensure("accuracy" in figures, f"after {epochs} epochs there is no accuracy, but {', '.join(figures) or 'nothing'}")
        ensure(is_share(figures["accuracy"]), f"after {epochs} epochs the accuracy is {figures['accuracy']!r}, no share")
        strange = {name: value for name, value in figures.items() if not math.isfinite(value)}
        ensure(not strange, f"after {epochs} epochs it has the figures {strange}")
        ensure(figures.get("seconds", 0) >= 0, f"after {epochs} epochs the seconds are {figures.get('seconds')}")


@BOOK.law
def longer_training_takes_longer(it: Opened, case: Draw) -> None:
    """Where a table has ``seconds``, more epochs take no fewer of them."""
    member = case.member(it.space)
    lengths = sorted(it.table.epochs)
    found = [it.table.look_up(member, epochs).get("seconds", 0.0) for epochs in lengths]
    ensure(found == sorted(found), f"the seconds after {lengths} epochs are {found}")


@BOOK.law
def test_is_a_share(it: Opened, case: Draw) -> None:
    """Every member has a test accuracy in [0, 1]."""
    found = it.table.test(case.member(it.space))
    ensure(is_share(found), f"the test accuracy is {found!r}, no share")


def is_share(value: Any) -> bool:
    """Whether it is a number in [0, 1]."""
    return isinstance(value, (int, float)) and 0 <= value <= 1


@BOOK.law
def answers_stay_the_same(it: Opened, case: Draw) -> None:
    """A second look-up, and one in a second instance, give the same figures and the same test accuracy."""
    member = case.member(it.space)

    def answers(table: Benchmark) -> list[Any]:
        return [table.test(member), *(dict(table.look_up(member, epochs)) for epochs in table.epochs)]

    first = answers(it.table)
    ensure(equal(answers(it.table), first), "a second look-up gave other figures")
    ensure(equal(answers(it.again), first), "a second instance gave other figures")


def equal(left: Any, right: Any) -> bool:
    """Whether two answers are equal; NaN is equal to itself."""
    return repr(left) == repr(right)


@BOOK.law
def strangers_are_refused(it: Opened, case: Draw) -> None:
    """A genotype that is not in its space raises ``NotInSpace``, in ``look_up`` and in ``test``."""
    member = case.member(it.space)
    epochs = it.table.epochs[-1]
    for what, stranger in strangers(member, it.space).items():
        for name in ("look_up", "test"):
            found: object
            try:
                found = it.table.look_up(stranger, epochs) if name == "look_up" else it.table.test(stranger)
            except NotInSpace:
                continue
            raise LawBroken(f"{name} of {what} answers {found!r}")


def strangers(member: Genotype, space: SearchSpace) -> dict[str, Genotype]:
    """Genotypes near a member that are not in the space, by what they are."""
    made = {"a genotype of another space": evolve(member, space="no-such-space")}
    for name, cell in member.cells:
        made[f"a cell {name!r} that ends elsewhere"] = _with(member, name, evolve(cell, outputs=(cell.nodes,)))
        if cell.edges:
            first, *others = cell.edges
            unknown = evolve(cell, edges=(Edge(first.src, first.dst, "no-such-operation"), *others))
            made[f"a cell {name!r} with another operation"] = _with(member, name, unknown)
            made[f"a cell {name!r} without an edge"] = _with(member, name, evolve(cell, edges=tuple(others)))
    toy = SpacePart.named("toy").build(ModelConfig())
    made["a member of the space toy"] = toy.sample(seeds.rng(0, "stranger"))
    return {what: genotype for what, genotype in made.items() if genotype not in space}


def _with(member: Genotype, name: str, cell: Cell) -> Genotype:
    return evolve(member, cells={**dict(member.cells), name: cell})


@BOOK.law_tried(1)
def unknown_lengths_are_refused(it: Opened, case: Draw) -> None:
    """A length of training that is not in ``epochs`` raises a ``NastkError``, and no other error."""
    member = case.member(it.space)
    applies(it.table.epochs, "it has no epochs")
    for epochs in {0, -1, it.table.epochs[-1] + 1, it.table.epochs[0] - 1} - {*it.table.epochs}:
        try:
            figures = it.table.look_up(member, epochs)
        except NastkError:
            continue
        except Exception as error:
            raise LawBroken(f"{epochs} epochs raised {type(error).__name__}: {error}") from error
        raise LawBroken(f"it has the figures {dict(figures)} after {epochs} epochs, which is none of {it.table.epochs}")


@BOOK.law_tried(2)
def global_random_state_is_kept(it: Opened, case: Draw) -> None:
    """Building it and looking up neither draw from the global random state (torch, numpy, random) nor seed it."""
    member = case.member(it.space)
    with random_state_kept(case.seed, "benchmark"):
        table: Benchmark = it.part.build()
        table.look_up(member, table.epochs[0])
        table.test(member)
