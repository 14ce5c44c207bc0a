"""The numbers about tables in docs/benchmarks.md: ``python benchmarks/tables.py [--data FOLDER]``.

``nats-bench`` is bundled. The others are looked for below ``--data``: ``spikenas_bench/`` with its two files and
``nas_bench_macro/cifar10.npz.xz``; one that is not there is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import SearchSpace
from nastk.core.config import BenchmarkPart
from nastk.core.errors import DataError
from nastk.core.run.runfile import configure
from nastk.core.run.trial import Proposal, Report
from nastk.core.seeds import rng

REPETITIONS = 1000
LENGTHS = (1, 5, 10, 20, 40, 70, 100)
"""Epochs of a table with many, whose validation accuracies are compared."""


def main() -> None:
    """Each table that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(), help="a folder with the tables that are not bundled")
    for part in parts(parser.parse_args().data):
        start = time.perf_counter()
        try:
            table = part.build()
        except DataError as error:
            print(f"{part.name}: left out. {error}")
            continue
        opened = time.perf_counter() - start
        config = configure(table.defaults)
        space = config.space.build(config.model)
        members = sorted(everybody(space), key=table.index)
        print(f"{part.name} {part.flat()}: {len(members)} members, opened in {1000 * opened:.0f} ms")
        figures(table, members)
        speed(table, space, members)


def parts(data: Path) -> Iterator[Any]:
    """The tables with their settings."""
    for dataset in ("cifar10", "cifar100"):
        yield BenchmarkPart.named("nats-bench", dataset=dataset)
    for validation in ("last", "best"):
        yield BenchmarkPart.named("spikenas-bench", path=str(data / "spikenas_bench"), validation=validation)
    yield BenchmarkPart.named("nas-bench-macro", path=str(data / "nas_bench_macro" / "cifar10.npz.xz"))


def everybody(space: SearchSpace) -> Iterator[Genotype]:
    """Every member."""
    counts = [len(decision.options) for decision in space.decisions]
    for number in range(space.size):
        yield space.decode([int(digit) for digit in np.unravel_index(number, counts)])


def figures(table: Any, members: list[Genotype]) -> None:
    """Optimum, median, rank correlations, and what uniform draws find."""
    lengths = table.epochs if len(table.epochs) < 10 else LENGTHS
    valid = {n: np.array([table.look_up(member, n)["accuracy"] for member in members]) for n in lengths}
    test = np.array([table.test(member) for member in members])
    best = int(test.argmax())
    print(f"  best test {100 * test[best]:.3f} % (index {table.index(members[best])}), median {100 * np.median(test):.2f} %")
    longest = valid[lengths[-1]]
    print(f"  test of the best on validation data: {100 * test[longest.argmax()]:.3f} %")
    for n, accuracy in valid.items():
        print(f"  Spearman of validation after {n} epochs and test: {spearman(accuracy, test):.3f}")
    for (a, first), (b, second) in combinations(valid.items(), 2):
        if b == lengths[-1]:
            print(f"  Spearman of validation after {a} and after {b} epochs: {spearman(first, second):.3f}")
    generator = np.random.default_rng(0)
    for draws in (10, 100, 1000):
        drawn = generator.integers(0, len(members), (REPETITIONS, draws))
        found = 100 * test[drawn[np.arange(REPETITIONS), longest[drawn].argmax(1)]]
        print(f"  the best of {draws} draws: {found.mean():.2f} +- {found.std():.2f} % (n = {REPETITIONS})")


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation, equal values sharing their mean rank."""
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value; equal ones share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return mean


def speed(table: Any, space: SearchSpace, members: list[Genotype]) -> None:
    """Look-ups, and whole evaluations from the sample to the remembered report, in CPU seconds; the best of seven rounds."""
    epochs, some, looked, evaluated = table.epochs[-1], members[::5], [], []
    for turn in range(7):
        start = time.process_time()
        for member in some:
            table.look_up(member, epochs)
        looked.append(len(some) / (time.process_time() - start))
        generator, known = rng(turn, "propose"), {}
        start = time.process_time()
        for _ in some:
            proposal = Proposal(space.sample(generator), epochs)
            if (proposal.genotype, epochs) not in known:
                known[proposal.genotype, epochs] = Report(proposal, table.look_up(proposal.genotype, epochs))
        evaluated.append(len(some) / (time.process_time() - start))
    print(f"  {max(looked):,.0f} look-ups, {max(evaluated):,.0f} evaluations (sample, proposal, report) a CPU second")


if __name__ == "__main__":
    main()
