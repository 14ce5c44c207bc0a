"""Benchmarks: tables of candidates that somebody trained. To evaluate is to look up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from nastk.core.cell.graph import Genotype
from nastk.core.types import Shape


class Benchmark(ABC):
    """What every member of one search space is worth. A plug-in class is built as ``cls(config)``.

    A run that names a benchmark reads no data set and trains nothing: trials and the final test are look-ups. The
    class attribute ``defaults`` names the space that the table is about, and a strategy that samples::

        defaults = {"space": "nas-bench-201", "strategy": "random-search"}
    """

    epochs: tuple[int, ...]
    """The lengths of training that the table has for every member, ascending."""
    shape: Shape
    """``(T, C, H, W)`` of one sample of the data that its candidates were trained on; ``T = 1`` for pictures."""
    classes: int
    """How many classes these data have. With :attr:`shape` it is what an estimator needs to measure a candidate."""

    @abstractmethod
    def look_up(self, genotype: Genotype, epochs: int) -> Mapping[str, float]:
        """The figures of a member trained for ``epochs`` epochs, one of :attr:`epochs`.

        ``accuracy`` on validation data is among them, a share in [0, 1]. Where the table has them: ``seconds`` of
        simulated training, not fewer after more epochs; and costs that need no training (``parameters``, ``latency`` in
        ms). What is not known of a member is left out. Raises :class:`~nastk.core.errors.NotInSpace` for a stranger.
        """

    @abstractmethod
    def test(self, genotype: Genotype) -> float:
        """The test accuracy after the longest training, a share in [0, 1]; asked for once, at the end of a run."""
