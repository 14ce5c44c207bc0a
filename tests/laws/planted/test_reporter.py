"""Reporters with one fault each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nastk import Reporter, mark
from nastk.core.events import Event, Notice, Progress, RunDone, RunStarted, StageDone, StepDone
from nastk.core.laws.check import check
from nastk.core.types import Kind


class Right(Reporter):
    """Adds a line for each step; what every faulty reporter below would be without its fault."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def hear(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self.add(f"{event.stage} {event.step} {self.words(event)}")

    def words(self, event: StepDone) -> str:
        return str(event.figures.get("accuracy"))[:20]

    def add(self, line: str, mode: str = "a") -> None:
        with (self.directory / "steps.log").open(mode) as file:
            file.write(line + "\n")


@mark.reporter("lines")
class Lines(Right):
    """No fault."""


@mark.reporter("summary")
class Summary(Right):
    """No fault: writes a file anew with every step, which is none of lines."""

    def add(self, line: str, mode: str = "w") -> None:
        with (self.directory / "last.json").open(mode) as file:
            json.dump({"line": line}, file)


@mark.reporter("deaf")
class Deaf(Right):
    """Has not heard of notices."""

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, Notice):
            raise NotImplementedError


@mark.reporter("presuming")
class Presuming(Right):
    """Takes it that a stage has begun before there is progress in it."""

    stage = ""

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, RunStarted):
            self.open = {"search": 0.0}
        if isinstance(event, Progress):
            self.open[event.stage] = event.fraction


@mark.reporter("naive")
class Naive(Right):
    """Formats whatever it gets as a number."""

    def words(self, event: StepDone) -> str:
        return f"{event.figures['accuracy']:.3f}"


@mark.reporter("strict")
class Strict(Right):
    """Refuses NaN."""

    def words(self, event: StepDone) -> str:
        return json.dumps(event.figures, allow_nan=False)


@mark.reporter("once")
class Once(Right):
    """Can be closed once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.handle = os.open(directory / "handle", os.O_CREAT | os.O_RDONLY)

    def close(self) -> None:
        os.close(self.handle)
        self.handle = -1


@mark.reporter("unopened")
class Unopened(Right):
    """Cannot be closed when it has heard nothing."""

    def hear(self, event: Event) -> None:
        self.heard = True
        super().hear(event)

    def close(self) -> None:
        self.add(f"heard {self.heard}")


@mark.reporter("litterer")
class Litterer(Right):
    """Writes into the current folder."""

    def hear(self, event: Event) -> None:
        super().hear(event)
        Path("events.log").write_text("heard\n")


@mark.reporter("neighbour")
class Neighbour(Right):
    """Writes beside the runs."""

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, RunDone):
            (self.directory.parent / "runs.csv").write_text("done\n")


@mark.reporter("tidy")
class Tidy(Right):
    """Removes files of others."""

    def hear(self, event: Event) -> None:
        super().hear(event)
        for path in self.directory.parent.glob("another/*"):
            path.unlink()


@mark.reporter("forgetful")
class Forgetful(Right):
    """Begins its file anew when the run goes on."""

    fresh = True

    def add(self, line: str, mode: str = "a") -> None:
        super().add(line, "w" if self.fresh else mode)
        self.fresh = False


@mark.reporter("sweeper")
class Sweeper(Right):
    """Removes what was there when a run goes on."""

    def hear(self, event: Event) -> None:
        if isinstance(event, RunStarted) and event.resumed:
            for path in self.directory.iterdir():
                path.rename(self.directory / "old.bin")
        super().hear(event)


@mark.reporter("meddler")
class Meddler(Right):
    """Takes figures out before it writes."""

    def words(self, event: StepDone) -> str:
        dict.pop(event.figures, "entropy", None)  # type: ignore[arg-type]
        return super().words(event)


@mark.reporter("late-meddler")
class LateMeddler(Right):
    """Keeps figures, and changes them when the stage is over."""

    kept: Any = None

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, StepDone):
            self.kept = event.figures.get("nos")
        if isinstance(event, StageDone) and isinstance(self.kept, dict):
            self.kept["layers"] = None


FAULTS: list[tuple[type[Reporter], set[str]]] = [
    (Lines, set()),
    (Summary, set()),
    (Deaf, {"hears_every_event"}),
    (Presuming, {"hears_every_event"}),
    (Naive, {"survives_strange_figures"}),
    (Strict, {"survives_strange_figures"}),
    (Once, {"may_be_closed_at_any_time"}),
    (Unopened, {"may_be_closed_at_any_time"}),
    (Litterer, {"writes_in_its_directory_only"}),
    (Neighbour, {"writes_in_its_directory_only"}),
    (Tidy, {"writes_in_its_directory_only"}),
    (Forgetful, {"a_resumed_run_keeps_what_was_written"}),
    (Sweeper, {"a_resumed_run_keeps_what_was_written"}),
    (Meddler, {"figures_are_left_alone"}),
    (LateMeddler, {"figures_are_left_alone"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Reporter], laws: set[str], failed: Any) -> None:
    here = sorted(Path.cwd().iterdir())
    assert set(failed(cls)) == laws
    assert sorted(Path.cwd().iterdir()) == here


@pytest.mark.parametrize("name", ["console", "jsonl"])
def test_a_check_says_nothing_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert {v.outcome for v in check(Kind.REPORTER, name)} == {"holds"}
    assert capsys.readouterr() == ("", "")
