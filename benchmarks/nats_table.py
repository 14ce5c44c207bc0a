"""The numbers about ``nats-bench`` in docs/benchmarks.md: ``python benchmarks/nats_table.py``."""

from __future__ import annotations

import time

import numpy as np

from nastk.core.config import BenchmarkPart
from nastk.plugins.spaces.nas_bench_201 import from_arch_string
from nastk.testing import build_space

REPETITIONS = 1000


def main() -> None:
    """Optimum, median, rank correlation, what uniform draws find, and the speed of a look-up."""
    space = build_space("nas-bench-201", {"neuron": "relu", "time_steps": 1})
    for dataset in ("cifar10", "cifar100"):
        start = time.perf_counter()
        table = BenchmarkPart.named("nats-bench", dataset=dataset).build()
        table.test(from_arch_string(table.architecture(0), space))
        opened = time.perf_counter() - start
        members = [from_arch_string(table.architecture(i), space) for i in range(space.size)]
        start = time.perf_counter()
        valid = np.array([table.look_up(member, 12)["accuracy"] for member in members])
        rate = len(members) / (time.perf_counter() - start)
        test = np.array([table.test(member) for member in members])
        ranks = [np.argsort(np.argsort(column, kind="stable")) for column in (valid, test)]
        print(f"{dataset}: best {100 * test.max():.3f} % (index {test.argmax()}), median {100 * np.median(test):.2f} %")
        print(f"  best on validation data: {100 * test[valid.argmax()]:.3f} %; Spearman {np.corrcoef(*ranks)[0, 1]:.2f}")
        rng = np.random.default_rng(0)
        for draws in (10, 100, 1000):
            drawn = rng.integers(0, len(members), (REPETITIONS, draws))
            found = 100 * test[drawn[np.arange(REPETITIONS), valid[drawn].argmax(1)]]
            print(f"  the best of {draws} draws: {found.mean():.2f} +- {found.std():.2f} % (n = {REPETITIONS})")
        print(f"  opened in {1000 * opened:.0f} ms; {rate:,.0f} look-ups a second")


if __name__ == "__main__":
    main()
