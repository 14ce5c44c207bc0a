"""What a ``metrics.jsonl`` tells: stages with their steps and figures, notices, and how long it will take. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from nastk.core.report.amounts import finite, number_at, text_at

Point = tuple[float, float]


@frozen
class Stage:
    """One stage of a run: ``search``, ``train``, ``test``."""

    name: str
    unit: str
    total: int
    begun: float
    """When it was begun, or gone on with last; seconds since 1970."""
    before: int
    """Units that were done then."""
    heard: float
    """When it was last heard of."""
    seconds: float | None
    """What it took, where it has ended."""
    steps: Mapping[int, Mapping[str, Any]]
    """Figures by step, from 1 on; of a step that was done twice the later ones."""
    fresh: int
    """Steps since ``begun``."""

    @property
    def done(self) -> int:
        """Units that are done."""
        return self.total if self.seconds is not None else self.before + self.fresh

    @property
    def last(self) -> Mapping[str, Any]:
        """The figures of the last step; empty before the first."""
        return self.steps[max(self.steps)] if self.steps else {}

    def series(self, *path: str | int) -> list[Point]:
        """The finite numbers at a path of the figures, as ``(step, number)``."""
        found = ((float(step), number_at(figures, *path)) for step, figures in sorted(self.steps.items()))
        return [(step, value) for step, value in found if value is not None]

    def left(self, now: float) -> float | None:
        """Seconds to its end at the pace of this process's steps; ``None`` while nobody can know, 0 at the end.

        Between two steps it counts down, but never below the steps that have not begun.
        """
        if self.seconds is not None:
            return 0.0
        spent = self.heard - self.begun
        if not self.fresh or spent <= 0:
            return None
        each, to_do = spent / self.fresh, self.total - self.done
        return max(each * to_do - max(0.0, now - self.heard), each * max(0, to_do - 1))


@frozen
class Timeline:
    """All that was told of a run so far."""

    stages: tuple[Stage, ...] = ()
    """In the order in which they were begun."""
    notices: tuple[str, ...] = ()

    def stage(self, name: str) -> Stage | None:
        """A stage by its name, or ``None``."""
        return next((stage for stage in self.stages if stage.name == name), None)


@define
class _Draft:
    unit: str = ""
    total: int = 0
    begun: float = 0.0
    before: int = 0
    heard: float = 0.0
    seconds: float | None = None
    steps: dict[int, Mapping[str, Any]] = field(factory=dict)
    fresh: int = 0


def timeline(entries: Iterable[Mapping[str, Any]]) -> Timeline:
    """From the entries of :func:`nastk.core.run.metrics.read`; one of another form is passed over."""
    drafts: dict[str, _Draft] = {}
    notices: list[str] = []
    for entry in entries:
        event, time = entry.get("event"), finite(entry.get("time")) or 0.0
        if event == "notice":
            notices.append(text_at(entry, "text"))
            continue
        name = text_at(entry, "stage")
        if not name:
            continue
        draft = drafts.setdefault(name, _Draft())
        draft.heard = time
        if event == "stage_started":
            drafts[name] = drafts.pop(name)  # the last one begun stands last
            draft.unit, draft.begun, draft.fresh, draft.seconds = text_at(entry, "unit"), time, 0, None
            draft.total, draft.before = (int(number_at(entry, key) or 0) for key in ("total", "done"))
        elif event == "step" and isinstance(entry.get("step"), int) and isinstance(entry.get("figures"), Mapping):
            draft.steps[entry["step"]] = entry["figures"]
            draft.fresh += 1
        elif event == "stage_done":
            draft.seconds = number_at(entry, "seconds") or 0.0
    stages = (Stage(name, d.unit, d.total, d.begun, d.before, d.heard, d.seconds, d.steps, d.fresh) for name, d in drafts.items())
    return Timeline(tuple(stages), tuple(filter(None, notices)))


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most about ``most`` of the points, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]
