"""Executors: who runs trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from nastk.core.run.trial import Proposal, Report

Work = Callable[[Proposal], Report]
"""What turns a trial into its report. A pickle can carry it to another process (:class:`~nastk.core.run.work.TrialWork`)."""


class Executor(ABC):
    """Runs trials somewhere. A plug-in class is built as ``cls(config)``."""

    isolated: bool = False
    """Whether a trial that ends its process (out of memory, a crash) costs that trial alone, and not the run."""

    @abstractmethod
    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        """Exactly one report for each trial, failed ones too, in the order of the trials.

        A search that has no more budget closes the iterator early: trials that have not begun then are not run.
        """

    def close(self) -> None:  # noqa: B027  optional
        """Release what was started for trials; a later :meth:`run` starts it anew."""
