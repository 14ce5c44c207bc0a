"""What happens in a run, said once; reporters decide who hears it. Strategies and loops never print. Torch-free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

Figures = Mapping[str, Any]
"""Named numbers (or lists of numbers) of one moment: accuracy, loss, entropy ..."""


@frozen
class RunStarted:
    """A run begins or goes on in its directory."""

    directory: Path
    config: Mapping[str, Any]
    resumed: bool


@frozen
class StageStarted:
    """A stage begins: ``total`` units of ``unit``, of which ``done`` are there already (after a resume)."""

    stage: str
    total: int
    unit: str
    done: int = 0


@frozen
class Progress:
    """Fraction of the current unit that is done, for a live display; never stored."""

    stage: str
    fraction: float


@frozen
class StepDone:
    """One unit of a stage is done (an epoch, a batch of trials), with its figures."""

    stage: str
    step: int
    figures: Figures


@frozen
class StageDone:
    """A stage has ended."""

    stage: str
    seconds: float


@frozen
class Notice:
    """A sentence that the user should read."""

    text: str


@frozen
class RunDone:
    """The run has ended with this result."""

    directory: Path
    result: Mapping[str, Any] = field(repr=False)


Event = RunStarted | StageStarted | Progress | StepDone | StageDone | Notice | RunDone
Emit = Callable[[Event], None]


class Reporter(ABC):
    """Hears every event of a run. A plug-in class is built as ``cls(directory)``; a failure in it must not end the run."""

    @abstractmethod
    def hear(self, event: Event) -> None:
        """Take note of one event, quickly."""

    def close(self) -> None:  # noqa: B027  optional
        """The run has ended, in whatever way."""
