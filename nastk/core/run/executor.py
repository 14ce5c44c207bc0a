"""Executors: who runs trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from nastk.core.run.trial import Proposal, Report

Work = Callable[[Proposal], Report]


class Executor(ABC):
    """Runs trials somewhere. A plug-in class is built as ``cls(config)``."""

    isolated: bool = False
    """Whether a trial that ends its process (out of memory, a crash) costs that trial alone, and not the run."""

    @abstractmethod
    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        """Exactly one report for each trial, failed ones too, in the order of the trials."""
