"""Search spaces with one fault each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve

from nastk import Decision, Genotype, SearchSpace, mark
from nastk.core.cell.cells import CellSpace, part_decisions
from nastk.core.cell.space import Choice
from nastk.core.cell.wiring import EveryEdge, full_cell
from nastk.core.laws.space import BOOK
from nastk.core.settings import ModelConfig

OPERATIONS = ("none", "skip_connect", "conv_1x1")


class Right(CellSpace):
    """One cell of two nodes; what every faulty space below would be without its fault."""

    operations: tuple[str, ...] = OPERATIONS

    def __init__(self, model: ModelConfig) -> None:
        wiring = EveryEdge(full_cell(1, 2, self.operations, (2,)))
        super().__init__("planted", {"shared": wiring}, part_decisions(model, membrane="node", norm="node", stem=1))


@mark.space("steady")
class Steady(Right):
    """No fault."""


@mark.space("leaving")
class Leaving(Right):
    """Decodes to genotypes with a part of which it knows nothing."""

    def decode(self, choice: Sequence[int]) -> Genotype:
        return super().decode(choice).with_parts(colour="red")


@mark.space("mirrored")
class Mirrored(Right):
    """Reads the edges of a cell from the last to the first."""

    def encode(self, genotype: Genotype) -> Choice:
        a, b, c, *rest = super().encode(genotype)
        return (c, b, a, *rest)


@mark.space("idle")
class Idle(Right):
    """Has a decision that decides nothing."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.decisions = (*self.decisions, Decision("idle", ("this", "that")))

    def decode(self, choice: Sequence[int]) -> Genotype:
        return super().decode(choice[:-1])

    def encode(self, genotype: Genotype) -> Choice:
        return (*super().encode(genotype), 0)


@mark.space("boast")
class Boastful(Right):
    """Says that it is larger than it is."""

    @property
    def size(self) -> int:  # type: ignore[misc]  # the fault
        return 10**9


@mark.space("shifting")
class Shifting(Right):
    """Numbers its operations anew in every instance."""

    instances = itertools.count()

    def __init__(self, model: ModelConfig) -> None:
        turn = next(self.instances) % len(OPERATIONS)
        self.operations = OPERATIONS[turn:] + OPERATIONS[:turn]
        super().__init__(model)


@mark.space("tupled")
class Tupled(Right):
    """Puts a value into its genotypes that JSON does not give back."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        pairs: Any = (("note", (1, 2)),)
        self.parts = (*self.parts, Decision("note", (pairs,)))
        self.decisions = (*self.decisions, self.parts[-1])


@mark.space("trusting")
class Trusting(Right):
    """Does not look at the space that a genotype names."""

    def encode(self, genotype: Genotype) -> Choice:
        return super().encode(evolve(genotype, space=self.name))


@mark.space("stumbling")
class Stumbling(Right):
    """Raises what it stumbles over."""

    def encode(self, genotype: Genotype) -> Choice:
        genotype.cell("shared")
        return super().encode(genotype)


@mark.space("worn")
class Worn(Right):
    """Samples one member after the other, whatever the generator says."""

    turn = itertools.count()

    def sample(self, rng: random.Random) -> Genotype:  # type: ignore[misc]  # the fault  # noqa: ARG002
        turn = next(self.turn)
        return self.decode([turn % len(decision.options) for decision in self.decisions])


@mark.space("leaping")
class Leaping(Right):
    """Mutates by drawing anew."""

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:  # type: ignore[misc]  # noqa: ARG002
        return self.sample(rng)


@mark.space("stork")
class Stork(Right):
    """Has children that come from nowhere."""

    def crossover(self, first: Genotype, second: Genotype, rng: random.Random) -> Genotype:  # type: ignore[misc]  # noqa: ARG002
        return self.sample(rng)


@mark.space("shy")
class Shy(Right):
    """Keeps its last neighbour to itself."""

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:  # type: ignore[misc]
        yield from list(super().neighbours(genotype))[:-1]


@mark.space("fixed")
class Fixed(Right):
    """Samples one member only."""

    def sample(self, rng: random.Random) -> Genotype:  # type: ignore[misc]  # noqa: ARG002
        return self.decode([0] * len(self.decisions))


@mark.space("seeding")
class Seeding(Right):
    """Seeds Python for the whole process."""

    def decode(self, choice: Sequence[int]) -> Genotype:
        random.seed(0)
        return super().decode(choice)


@mark.space("hollow")
class Hollow(Right):
    """Offers an operation that is not there."""

    operations = (*OPERATIONS, "conv_99x99")


@mark.space("undecided")
class Undecided(Right):
    """Leaves an edge a mixture where its weights are tied."""

    def derive(self, weights: Mapping[str, Any]) -> Genotype:
        tied = any(len(np.unique(row)) == 1 for row in weights["shared"])
        return self.full() if tied else super().derive(weights)


@mark.space("swapped")
class Swapped(Right):
    """Gives the one-hot weights of one edge for those of another."""

    def one_hot(self, genotype: Genotype) -> Mapping[str, Any]:
        return {name: rows[::-1] for name, rows in super().one_hot(genotype).items()}


@mark.space("alien")
class Alien(Right):
    """Has a supernet whose neurons need more current than those of its members."""

    def full(self) -> Genotype:
        return super().full().with_parts(neuron__v_th=9.0)


class Bare(SearchSpace):
    """No cell space, and no relaxation: the product of two decisions, each an edge of a cell."""

    def __init__(self, model: ModelConfig) -> None:
        self.inner = Steady(model)
        self.decisions = self.inner.decisions

    def decode(self, choice: Sequence[int]) -> Genotype:
        return self.inner.decode(choice)

    def encode(self, genotype: Genotype) -> Choice:
        return self.inner.encode(genotype)


FAULTS: list[tuple[type[SearchSpace], set[str]]] = [
    (Steady, set()),
    (mark.space("bare")(Bare), set()),
    (Leaving, {"decode_stays_inside"}),
    (Mirrored, {"round_trip"}),
    (Idle, {"every_decision_counts"}),
    (Boastful, {"size_is_the_product"}),
    (Shifting, {"digest_stable"}),
    (Tupled, {"json_round_trip"}),
    (Trusting, {"strangers_are_refused"}),
    (Stumbling, {"strangers_are_refused"}),
    (Worn, {"samples_are_members"}),
    (Fixed, {"samples_are_members"}),
    (Leaping, {"mutate_is_a_step"}),
    (Stork, {"crossover_takes_from_its_parents"}),
    (Shy, {"neighbours_differ_in_one_decision"}),
    (Seeding, {"global_random_state_is_kept"}),
    (Undecided, {"derive_is_closed"}),
    (Swapped, {"one_hot_derives_back"}),
    (Alien, {"supernet_is_its_members"}),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[SearchSpace], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_an_operation_that_is_not_there_breaks_the_supernet_too(failed: Any) -> None:
    found = failed(Hollow)
    assert set(found) == {"members_run", "supernet_is_its_members"}
    assert "conv_99x99" in found["members_run"]


def test_every_law_has_a_fault() -> None:
    """But the count of parameters, which is wrong where an operation or the estimator is."""
    laws = {law.name for law in BOOK.laws}
    assert laws - set().union(*(broken for _, broken in FAULTS)) == {"members_run", "parameters_add_up"}
