"""How far a stage is, and when it will end: a value, so that a display may read it from another thread."""

from __future__ import annotations

from attrs import evolve, field, frozen

from nastk.core.events import Figures, StageStarted

ENOUGH_SECONDS = 2.0
"""No estimate before this: the first steps pay for warming up."""


@frozen
class Pace:
    """A stage under way; times in seconds of one monotonic clock.

    ``before`` units were there at the start (a resume); ``now`` units were done since, plus ``fraction`` of the next,
    heard of at ``heard``.
    """

    stage: str
    unit: str
    total: int
    before: int
    started: float
    heard: float
    now: int = 0
    fraction: float = 0.0
    figures: Figures = field(factory=dict)

    @classmethod
    def of(cls, event: StageStarted, clock: float) -> Pace:
        """The stage that starts at this time."""
        return cls(event.stage, event.unit, event.total, event.done, clock, clock)

    def progressed(self, fraction: float, clock: float) -> Pace:
        """Part of the current unit is done; a fraction out of [0, 1], NaN too, counts as the nearer end."""
        inside = min(1.0, fraction) if fraction > 0 else 0.0
        return evolve(self, fraction=inside, heard=clock)

    def stepped(self, figures: Figures, clock: float) -> Pace:
        """The current unit is done."""
        return evolve(self, now=self.now + 1, fraction=0.0, figures=figures, heard=clock)

    @property
    def done(self) -> int:
        """Whole units done, those of before a resume too."""
        return self.before + self.now

    @property
    def count(self) -> str:
        """``3/10 epochs``; nothing for a stage of a single unit."""
        return f"{self.done}/{self.total} {self.unit}" if self.total > 1 else ""

    @property
    def share(self) -> float:
        """Share of the stage that is done, in [0, 1]."""
        return min(1.0, max(0.0, (self.done + self.fraction) / self.total)) if self.total > 0 else 1.0

    def elapsed(self, clock: float) -> float:
        """Seconds since the stage started here."""
        return clock - self.started

    def left(self, clock: float) -> float | None:
        """Seconds to the end at the mean pace of what was done *now*; ``None`` while nobody can know.

        Between two signs of life it counts down, but never below the units that have not begun. An overdue last unit
        gives ``None``, not zero.
        """
        spent, units = self.heard - self.started, self.now + self.fraction
        if units <= 0 or spent < ENOUGH_SECONDS:
            return None
        each = spent / units
        to_do = max(0.0, self.total - self.before - units)
        not_begun = max(0, self.total - self.done - 1)
        seconds = max(to_do * each - (clock - self.heard), not_begun * each)
        return seconds if seconds > 0 or to_do == 0 else None
