"""Search spaces: the set of genotypes a search may return, and how to walk in it. Torch-free."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, final

from attrs import frozen

from nastk.core.cell.graph import Genotype
from nastk.core.errors import NotInSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

Choice = tuple[int, ...]


@frozen
class Decision:
    """One thing a search decides: its name, and what can be chosen."""

    name: str
    options: tuple[Any, ...]


def _below(count: int, rng: random.Random) -> int:
    """``rng.randrange(count)``, the same draw from the same state, at a quarter of its time."""
    bits = count.bit_length()
    number = rng.getrandbits(bits)
    while number >= count:
        number = rng.getrandbits(bits)
    return number


class SearchSpace(ABC):
    """A finite set of genotypes: the product of its decisions.

    A choice is one option number for each decision; ``decode`` and ``encode`` are inverse to each other, so the space
    has exactly :attr:`size` members. A plug-in class is built as ``cls(model, config)`` from the run's ``[model]``
    table (:class:`~nastk.core.settings.ModelConfig`) and its own settings.
    """

    decisions: tuple[Decision, ...]

    @abstractmethod
    def decode(self, choice: Sequence[int]) -> Genotype:
        """The genotype of a choice."""

    @abstractmethod
    def encode(self, genotype: Genotype) -> Choice:
        """The choice of a genotype. Raises :class:`NotInSpace`, saying why, for a stranger."""

    @property
    @final
    def size(self) -> int:
        """Number of genotypes."""
        return prod(len(decision.options) for decision in self.decisions)

    @final
    def __contains__(self, genotype: object) -> bool:
        try:
            return isinstance(genotype, Genotype) and self.decode(self.encode(genotype)) == genotype
        except NotInSpace:
            return False

    @final
    def sample(self, rng: random.Random) -> Genotype:
        """A uniform draw."""
        return self.decode([_below(len(decision.options), rng) for decision in self.decisions])

    @final
    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """A copy with exactly one decision changed; the genotype itself when nothing can change (size one)."""
        choice = list(self.encode(genotype))
        open_ = [i for i, decision in enumerate(self.decisions) if len(decision.options) > 1]
        if not open_:
            return genotype
        i = rng.choice(open_)
        choice[i] = (choice[i] + rng.randrange(1, len(self.decisions[i].options))) % len(self.decisions[i].options)
        return self.decode(choice)

    @final
    def crossover(self, first: Genotype, second: Genotype, rng: random.Random) -> Genotype:
        """A child whose every decision comes from one parent or the other."""
        pairs = zip(self.encode(first), self.encode(second), strict=True)
        return self.decode([rng.choice(pair) for pair in pairs])

    @final
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every genotype that differs in exactly one decision, in a fixed order."""
        choice = self.encode(genotype)
        for i, decision in enumerate(self.decisions):
            for option in range(len(decision.options)):
                if option != choice[i]:
                    yield self.decode([*choice[:i], option, *choice[i + 1 :]])


class Relaxable(SearchSpace):
    """A space with a supernet: its full genotype, in which every edge is a mixture of candidates."""

    @abstractmethod
    def full(self) -> Genotype:
        """Every edge present, its operation the mixture ``"a|b|c"``; fixed parts as in every member."""

    @abstractmethod
    def derive(self, weights: Mapping[str, NDArray[Any]]) -> Genotype:
        """The member that the mixing weights stand for; always in this space for finite weights.

        ``weights`` maps a cell name to ``(E, O)``: a row for each edge of the full cell, a column for each candidate,
        comparable across edges (after the softmax).
        """

    @abstractmethod
    def one_hot(self, genotype: Genotype) -> Mapping[str, NDArray[Any]]:
        """The mixing weights at which the supernet is this member: ones where its operations are, zeros elsewhere."""
