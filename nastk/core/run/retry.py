"""A stage that has diverged goes on from its last good checkpoint at a lower rate, as often as the settings allow.

What was retried is a list of plain values in the stage's checkpoints, so a resumed run does the same, and a repetition too.
"""

from __future__ import annotations

from typing import Any

from nastk.core.errors import Diverged
from nastk.core.settings import DivergenceConfig

KEPT = "The last good checkpoint is kept."


class Retries:
    """The retries of one stage."""

    def __init__(self, config: DivergenceConfig, made: list[dict[str, Any]] | None = None) -> None:
        self.config = config
        self.made: list[dict[str, Any]] = list(made or [])
        """``after``: steps (epochs) that were done before; ``rate``: what learning rates are multiplied by from then on;
        ``reason``: what had happened."""

    def rate(self, step: int) -> float:
        """What the learning rates of a step (from 0) are multiplied by: a power of the factor."""
        return self.config.factor ** sum(int(entry["after"]) <= step for entry in self.made)

    def again(self, step: int, error: Diverged) -> str:
        """Note that the step (from 0) is tried again, and say so. Raises :class:`Diverged` when it shall not be."""
        if len(self.made) >= self.config.retries:
            tried = f"{len(self.made)} tries at lower rates did not help. " if self.made else ""
            raise error.adding(tried + KEPT)
        self.made.append({"after": step, "rate": self.rate(step) * self.config.factor, "reason": str(error)})
        count = f"retry {len(self.made)} of {self.config.retries}"
        return f"{error} It is tried again from the last checkpoint with {self.made[-1]['rate']:g} times the rate ({count})."
