"""The laws of reporters: they hear whatever is said, and leave everything else alone."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from nastk.core.config import Part
from nastk.core.events import Event, Notice, Progress, Reporter, RunDone, RunStarted, StageDone, StageStarted, StepDone
from nastk.core.laws.law import LawBook, LawBroken, applies, ensure
from nastk.core.laws.watch import contents, scratch
from nastk.core.types import Kind

LINES = (".jsonl", ".csv", ".tsv", ".log", ".txt")
"""Suffixes of files to which lines are added."""

STRANGE: dict[str, Any] = {
    "none": None,
    "nan": math.nan,
    "infinity": -math.inf,
    "huge": 10**400,
    "tiny": -1e-300,
    "truth": True,
    "text": "[/bold] 100 % \u00b5J\n",
    "empty": {},
    "nested": {"total": None, "layers": {"1": [1, math.nan, {"x": None}]}},
    "list": [0.5, None, []],
    "": 1.0,
}
"""Figures that no reporter may fall over, by what is strange about them."""


@frozen
class Story:
    """A small run: a search of so many steps, then training and test; figures from a seed."""

    steps: int
    seed: int

    @property
    def size(self) -> int:
        """How many steps."""
        return self.steps

    def figures(self, step: int) -> dict[str, Any]:
        """Figures as a run has them; other ones at another step."""
        rng = random.Random(f"{self.seed} {step}")
        plain = {name: rng.random() for name in ("loss", "accuracy", "entropy")}
        return {**plain, "nos": {"total": 10 * rng.random(), "layers": [rng.random(), rng.random()]}}

    def begun(self, directory: Path, resumed: bool = False, done: int = 0) -> list[Event]:
        """From the start to the middle of the search, of which ``done`` steps are there already."""
        config = {"strategy": "random-search", "space": "toy", "dataset": "digits", "seed": self.seed, "test": None}
        events: list[Event] = [RunStarted(directory, config, resumed), StageStarted("search", self.steps, "steps", done)]
        for step in range(done + 1, self.steps + 1):
            events += [Progress("search", 0.5), StepDone("search", step, self.figures(step))]
        return events

    def ended(self, directory: Path) -> list[Event]:
        """From the end of the search to the end of the run."""
        result = {"status": "done", "test": {"accuracy": 0.5, "n": 10, "ci95": [0.2, 0.8]}, "parameters": 1234, "energy_nj": None}
        return [
            StageDone("search", 1.5),
            Notice("A sentence to read."),
            StageStarted("train", 1, "epochs"),
            StepDone("train", 1, self.figures(0)),
            StageDone("train", 0.5),
            StageStarted("test", 1, "passes"),
            StageDone("test", 0.25),
            RunDone(directory, result),
        ]

    def events(self, directory: Path) -> list[Event]:
        """The whole run."""
        return self.begun(directory) + self.ended(directory)


def draw(rng: random.Random) -> Story:
    """Two to four steps."""
    return Story(rng.randint(2, 4), rng.randrange(10**6))


def prepare(part: Part, case: Story) -> Part:
    """The part itself: a law builds its reporters in a folder that goes with it. Raises what building it does."""
    del case
    with scratch() as place:
        end(part.build(place.folder))
    return part


BOOK: LawBook[Part, Story] = LawBook(Kind.REPORTER, draw, prepare, examples=2)


def hears(reporter: Reporter, event: Event, where: str) -> None:
    """Raises :class:`LawBroken` when the reporter raises."""
    try:
        reporter.hear(event)
    except Exception as error:
        raise LawBroken(f"{where}: it raised {type(error).__name__}: {error}") from error


def tell(reporter: Reporter, events: Iterable[Event]) -> None:
    """Tell what the law is not about: what the reporter raises here is the business of another law."""
    for event in events:
        with suppress(Exception):
            reporter.hear(event)


def end(reporter: Reporter) -> None:
    """Close, where the law is not about closing."""
    with suppress(Exception):
        reporter.close()


@BOOK.law
def hears_every_event(part: Part, case: Story) -> None:
    """It raises at no event of a run, and any event may be the first."""
    with scratch() as place:
        whole: Reporter = part.build(place.folder)
        for event in case.events(place.folder):
            hears(whole, event, f"at {type(event).__name__} of a run")
        end(whole)
        for event in case.events(place.folder):
            single: Reporter = part.build(place.folder)
            hears(single, event, f"at {type(event).__name__} as the first event")
            end(single)


@BOOK.law_tried(1)
def survives_strange_figures(part: Part, case: Story) -> None:
    """None, NaN, infinities, huge numbers, text, lists and tables among the figures make it raise nowhere."""
    with scratch() as place:
        reporter: Reporter = part.build(place.folder)
        tell(reporter, case.begun(place.folder))
        try:
            reporter.hear(StepDone("search", 0, case.figures(0)))
        except Exception as error:
            applies(False, f"it hears no plain figures either: {type(error).__name__}: {error}")
        for name, value in STRANGE.items():
            for known in (name, *case.figures(0)):
                figures = {**case.figures(1), known: value}
                hears(reporter, StepDone("search", 1, figures), f"at the figure {known!r} = {str(value)[:40]!r}")
        hears(reporter, StepDone("search", 2, {}), "at a step without figures")
        end(reporter)


@BOOK.law_tried(1)
def may_be_closed_at_any_time(part: Part, case: Story) -> None:
    """``close`` raises nowhere: before any event, in the middle of a run, after it, and twice."""
    with scratch() as place:
        told: tuple[tuple[str, list[Event]], ...] = (
            ("before any event", []),
            ("in the middle of a run", case.begun(place.folder)),
            ("after a run", case.events(place.folder)),
        )
        for when, events in told:
            reporter: Reporter = part.build(place.folder)
            tell(reporter, events)
            for time in ("", " for the second time"):
                try:
                    reporter.close()
                except Exception as error:
                    raise LawBroken(f"close {when}{time} raised {type(error).__name__}: {error}") from error


@BOOK.law_tried(1)
def writes_in_its_directory_only(part: Part, case: Story) -> None:
    """It writes, changes and removes files in its own directory only."""
    with scratch() as place:
        reporter: Reporter = part.build(place.folder)
        tell(reporter, case.events(place.folder))
        end(reporter)
        touched = place.touched()
        ensure(not touched, f"it touched {', '.join(touched[:3])} outside its directory")


@BOOK.law
def a_resumed_run_keeps_what_was_written(part: Part, case: Story) -> None:
    """When a run goes on, no file is gone, and files of lines (.jsonl, .csv, .tsv, .log, .txt) only grow."""
    with scratch() as place:
        first: Reporter = part.build(place.folder)
        tell(first, case.begun(place.folder)[:-1])
        end(first)
        before = contents(place.folder)
        second: Reporter = part.build(place.folder)
        tell(second, case.begun(place.folder, resumed=True, done=case.steps - 1) + case.ended(place.folder))
        end(second)
        after = contents(place.folder)
        gone = sorted(before.keys() - after.keys())
        ensure(not gone, f"{', '.join(gone[:3])} of before the resume is gone")
        for path, content in before.items():
            if path.endswith(LINES):
                ensure((after[path] or b"").startswith(content or b""), f"{path} lost lines of before the resume")


@BOOK.law_tried(1)
def figures_are_left_alone(part: Part, case: Story) -> None:
    """It does not change what it is told: figures, configuration and result are the same afterwards."""
    with scratch() as place:
        events = case.events(place.folder)
        kept = copy.deepcopy(events)
        reporter: Reporter = part.build(place.folder)
        for event, before in zip(events, kept, strict=True):
            tell(reporter, [event])
            ensure(event == before, f"it changed {type(event).__name__}")
        end(reporter)
        ensure(events == kept, "it changed what it was told, later")
