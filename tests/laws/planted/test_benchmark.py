"""Benchmarks with one fault each."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

from nastk import mark
from nastk.core import seeds
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NotInSpace
from nastk.core.run.benchmark import Benchmark
from nastk.core.run.runfile import configure
from nastk.core.types import Shape


class Right(Benchmark):
    """Numbers from digests; what every faulty benchmark below would be without its fault."""

    defaults: ClassVar[Mapping[str, Any]] = {"space": "toy", "strategy": "random-search", "model": {"neuron": "lif"}}
    epochs = (1, 4)
    shape = Shape(1, 3, 8, 8)
    classes = 10

    def __init__(self) -> None:
        config = configure(self.defaults)
        self.space = config.space.build(config.model)

    def known(self, genotype: Genotype, epochs: int) -> None:
        if genotype not in self.space:
            raise NotInSpace(f"{genotype.digest} is not in the table.")
        if epochs not in self.epochs:
            raise DataError(f"The table has {self.epochs} epochs, not {epochs}.")

    def share(self, genotype: Genotype, epochs: int) -> float:
        return seeds.key(epochs, genotype.digest) / 2**63

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        self.known(genotype, epochs)
        return {"accuracy": self.share(genotype, epochs), "seconds": 10.0 * epochs}

    def test(self, genotype: Genotype) -> float:
        self.known(genotype, self.epochs[0])
        return self.share(genotype, 0)


@mark.benchmark("digests")
class Digests(Right):
    """No fault."""


@mark.benchmark("percent")
class Percent(Right):
    """Gives percent."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        return {"accuracy": 100 * super().look_up(genotype, epochs)["accuracy"]}


@mark.benchmark("gaps")
class Gaps(Right):
    """Has no figures for some members after the longest training."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        figures = super().look_up(genotype, epochs)
        return {**figures, "accuracy": math.nan} if epochs == 4 and figures["accuracy"] < 0.3 else figures


@mark.benchmark("narrow")
class Narrow(Right):
    """Does not know some members of the space that it names."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        figures = super().look_up(genotype, epochs)
        if epochs == 4 and figures["accuracy"] < 0.5:
            raise NotInSpace("It is not in the table.")
        return figures


@mark.benchmark("descending")
class Descending(Right):
    """Names the longest training first."""

    epochs = (4, 1)


@mark.benchmark("listed")
class Listed(Right):
    """Has a list for the shape of a sample."""

    shape: ClassVar[Any] = [1, 3, 8, 8]


@mark.benchmark("flat")
class Flat(Right):
    """Has samples without height."""

    shape = Shape(1, 3, 0, 8)


@mark.benchmark("single")
class Single(Right):
    """Has one class."""

    classes = 1


@mark.benchmark("backwards")
class Backwards(Right):
    """Takes less time for longer training."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        return {**super().look_up(genotype, epochs), "seconds": 10.0 / epochs}


@mark.benchmark("boastful")
class Boastful(Right):
    """Has test accuracies above one."""

    def test(self, genotype: Genotype) -> float:
        return 1.0 + super().test(genotype)


@mark.benchmark("noisy")
class Noisy(Right):
    """Draws one of several runs at random."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = random.Random(0)

    def share(self, genotype: Genotype, epochs: int) -> float:
        return super().share(genotype, epochs) * self.rng.choice([0.9, 1.0])


@mark.benchmark("numbered")
class Numbered(Right):
    """Has other numbers in every instance."""

    born = 0

    def __init__(self) -> None:
        super().__init__()
        Numbered.born += 1
        self.number = Numbered.born

    def share(self, genotype: Genotype, epochs: int) -> float:
        return super().share(genotype, epochs) / self.number


@mark.benchmark("welcoming")
class Welcoming(Right):
    """Knows everybody."""

    def known(self, genotype: Genotype, epochs: int) -> None:
        if epochs not in self.epochs:
            raise DataError(f"{genotype.digest} has no such length.")


@mark.benchmark("door")
class Door(Right):
    """Lets strangers into the test."""

    def test(self, genotype: Genotype) -> float:
        return self.share(genotype, 0)


@mark.benchmark("mapping")
class Mapped(Right):
    """Says KeyError to strangers."""

    def known(self, genotype: Genotype, epochs: int) -> None:
        try:
            super().known(genotype, epochs)
        except NotInSpace as error:
            raise KeyError(genotype.digest) from error


@mark.benchmark("nearest")
class Nearest(Right):
    """Takes the nearest length that it has."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        return super().look_up(genotype, min(self.epochs, key=lambda e: abs(e - epochs)))


@mark.benchmark("indexing")
class Indexing(Right):
    """Says KeyError to other lengths."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        return super().look_up(genotype, {1: 1, 4: 4}[epochs])


@mark.benchmark("seeding")
class Seeding(Right):
    """Seeds torch while it is built."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)


@mark.benchmark("absent")
class Absent(Right):
    """Has no file."""

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        raise DataError(f"table.npz is not there to look up {genotype.digest} at {epochs}: set path.")


FAULTS: list[tuple[type[Benchmark], set[str]]] = [
    (Digests, set()),
    (Absent, set()),
    (Percent, {"every_member_has_figures"}),
    (Gaps, {"every_member_has_figures"}),
    (Descending, {"epochs_ascend"}),
    (Listed, {"data_are_described"}),
    (Flat, {"data_are_described"}),
    (Single, {"data_are_described"}),
    (Backwards, {"longer_training_takes_longer"}),
    (Boastful, {"test_is_a_share"}),
    (Noisy, {"answers_stay_the_same"}),
    (Numbered, {"answers_stay_the_same"}),
    (Welcoming, {"strangers_are_refused"}),
    (Door, {"strangers_are_refused"}),
    (Mapped, {"strangers_are_refused"}),
    (Nearest, {"unknown_lengths_are_refused"}),
    (Indexing, {"unknown_lengths_are_refused"}),
    (Seeding, {"global_random_state_is_kept"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Benchmark], laws: set[str], failed: Any) -> None:
    with torch.random.fork_rng(devices=()):
        assert set(failed(cls)) == laws


def test_a_member_that_is_not_known_is_a_fault_and_no_refusal(failed: Any) -> None:
    """A look-up that fails has no answer to compare either."""
    assert set(failed(Narrow)) == {"every_member_has_figures", "answers_stay_the_same", "longer_training_takes_longer"}
