"""A small table with everything that the bundled one lacks: seconds, two lengths of training, members that fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest
from attrs import field, frozen

from nastk import Benchmark, Genotype, Shape, mark, registry
from nastk.core.errors import DataError, NotInSpace

LENGTHS = (1, 10)


@frozen(kw_only=True)
class CountedConfig:
    dataset: str = field(default="made-up", metadata={"help": "a word"})
    broken: int = field(default=0, metadata={"help": "members with so many skips cannot be looked up; 0: all can"})


@mark.benchmark("counted-table", config=CountedConfig)
class Counted(Benchmark):
    """A member is worth its convolutions; validation after one epoch likes skips a little, and so is misleading."""

    defaults: ClassVar = {"space": "toy", "strategy": "random-search"}
    epochs = LENGTHS
    shape = Shape(1, 3, 8, 8)
    classes = 10

    def __init__(self, config: CountedConfig) -> None:
        self.config = config

    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        if epochs not in self.epochs:
            raise DataError(f"no figures after {epochs} epochs")
        convolutions, skips = self._count(genotype)
        if self.config.broken and skips == self.config.broken:
            raise DataError("it diverged")
        worth = 0.3 + 0.1 * convolutions
        return {"accuracy": worth + (0.15 * skips if epochs == 1 else 0.0), "seconds": 5.0 * epochs + convolutions}

    def test(self, genotype: Genotype) -> float:
        return 0.2 + 0.1 * self._count(genotype)[0]

    def _count(self, genotype: Genotype) -> tuple[int, int]:
        if genotype.space != "toy":
            raise NotInSpace("not of the toy space")
        operations = [edge.op for edge in genotype.cell("shared").edges]
        return operations.count("conv_3x3"), operations.count("skip_connect")


@pytest.fixture
def counted() -> Iterator[type[Benchmark]]:
    """The table, offered to this process."""
    registry().offer(Counted)
    yield Counted
    registry().withdraw(Counted)
