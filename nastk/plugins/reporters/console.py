"""Shows a run to the person before the terminal, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nastk.core import mark
from nastk.core.events import Event, Figures, Notice, Progress, Reporter, RunDone, RunStarted, StageDone, StageStarted, StepDone
from nastk.plugins.reporters.closing import closing_table
from nastk.plugins.reporters.figures import duration, short
from nastk.plugins.reporters.pace import Pace

WIDE = 140
"""Columns from which on the figures stand beside the bar, not below it."""

BAR = range(6, 31)
REFRESHES_A_SECOND = 4


class Screen(RichConsole):
    """Falls silent where rich would end the process: when who read standard error has gone."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


@mark.reporter("console")
class Console(Reporter):
    """A live display of the run on standard error; plain lines where that is no terminal.

    ``screen`` and ``clock`` (seconds, monotonic) are for tests and for who embeds it.
    """

    def __init__(self, directory: Path, screen: Screen | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self._screen = screen if screen is not None else Screen(stderr=True)
        self._clock = clock
        self._is_live = self._screen.is_terminal and not self._screen.is_dumb_terminal
        self._live: Live | None = None
        self._open: Mapping[str, Pace] = {}  # replaced, never changed: the refreshing thread reads it

    def hear(self, event: Event) -> None:
        """Show the event."""
        match event:
            case RunStarted():
                self._say(header(event))
            case StageStarted(stage):
                self._keep(Pace.of(event, self._clock()), stage)
            case Progress(stage, fraction) if stage in self._open:
                self._keep(self._open[stage].progressed(fraction, self._clock()), stage)
            case StepDone(stage, step, figures):
                self._step(stage, step, figures)
            case StageDone(stage, seconds):
                self._end(stage, seconds, "done")
            case Notice(text):
                self._say(Text(text, style="yellow"))
            case RunDone(directory, result):
                self.close()
                self._screen.print()
                self._screen.print(closing_table(directory, result))

    def close(self) -> None:
        """Take the display away; a stage that did not end leaves a line that says so."""
        for stage, pace in self._open.items():
            self._end(stage, pace.elapsed(self._clock()), "stopped")

    def _step(self, stage: str, step: int, figures: Figures) -> None:
        pace = self._open.get(stage)
        if pace is not None:
            pace = pace.stepped(figures, self._clock())
            self._keep(pace, stage)
        if pace is None or not self._is_live:
            count = pace.count if pace is not None and pace.count else f"step {step}"
            self._tell(f"{stage}: {count}", "" if pace is None else times(pace, self._clock()), figures)

    def _end(self, stage: str, seconds: float, word: str) -> None:
        pace = self._open.get(stage)
        self._keep(None, stage)
        style = "green" if word == "done" else "yellow"
        head = Text.assemble((f"{stage} {word}", style), f", {pace.count}" if pace is not None and pace.count else "")
        self._tell(head, duration(seconds), {} if pace is None else pace.figures)

    def _keep(self, pace: Pace | None, stage: str) -> None:
        others = {name: other for name, other in self._open.items() if name != stage or pace is not None}
        self._open = others if pace is None else {**others, stage: pace}
        if not self._is_live:
            return
        if self._live is None and self._open:
            self._live = Live(
                console=self._screen,
                get_renderable=self._bars,
                transient=True,
                redirect_stdout=False,  # results may be piped from there
                refresh_per_second=REFRESHES_A_SECOND,
            )
            self._live.start(refresh=True)
        elif self._live is not None and not self._open:
            self._live.stop()
            self._live = None

    def _tell(self, head: str | Text, time_text: str, figures: Figures) -> None:
        """A line that stays: what, how long, figures; the figures go below where the screen is too narrow."""
        parts = [Text(head) if isinstance(head, str) else head, Text(time_text, style="dim"), words(figures)]
        whole = Text("  ").join(part for part in parts if part.plain)
        if not self._is_live or whole.cell_len <= self._screen.width:
            self._say(whole)
        else:
            self._say(Text("  ").join(part for part in parts[:2] if part.plain))
            self._say(below(figures, self._screen.width))

    def _say(self, text: Text) -> None:
        self._screen.print(text, soft_wrap=not self._is_live)  # a log keeps one line an event, however long

    def _bars(self) -> RenderableType:
        now, width = self._clock(), self._screen.width
        return Group(*(bar(pace, now, width) for pace in self._open.values()))


def header(event: RunStarted) -> Text:
    """One line: strategy, space, data set, seed, directory."""
    names = {key: _name(event.config.get(key)) for key in ("strategy", "space", "dataset")}
    text = Text.assemble(("nastk", "bold"), f" {names['strategy']} in {names['space']} on {names['dataset']}")
    text.append(f", seed {event.config.get('seed', '?')}, ")
    text.append("resumed in " if event.resumed else "in ", style="dim")
    return text.append(str(event.directory))


def _name(part: Any) -> str:
    """The name of a part, which is written as a name or as a table with a name."""
    return str(part.get("name", "?") if isinstance(part, Mapping) else "?" if part is None else part)


def times(pace: Pace, clock: float) -> str:
    """``0:12, about 0:35 left``; without an estimate while there is none."""
    left = pace.left(clock)
    return duration(pace.elapsed(clock)) + (f", about {duration(left)} left" if left else "")


def words(figures: Figures, room: int | None = None) -> Text:
    """``loss 0.412  accuracy 87.3 %``, names dimmed; only the first ones that fit, whole, into ``room`` columns."""
    text = Text()
    for name, value in short(figures):
        longer = Text.assemble(text, "  " if text else "", (f"{name} ", "dim"), value)
        if room is not None and longer.cell_len > room:
            break
        text = longer
    return text


def bar(pace: Pace, clock: float, width: int) -> RenderableType:
    """The bar of one stage with its count and times; figures beside it on a wide screen, else below."""
    count, time_text = pace.count, times(pace, clock)
    time_room = max(len("00:00, about 00:00 left"), len(time_text))  # keeps the rest in place as the text grows
    taken = cell_len(pace.stage) + cell_len(count) + time_room + 6
    length = min(BAR[-1], max(BAR[0], width - taken))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=time_room if width - taken >= BAR[0] else None)
    drawn = ProgressBar(total=1.0, completed=pace.share, width=length, complete_style="cyan", finished_style="cyan")
    beside = [words(pace.figures)] if pace.figures and width >= WIDE else []
    grid.add_row(Text(pace.stage, style="bold"), drawn, Text(count), Text(time_text, style="dim"), *beside)
    return grid if beside or not pace.figures else Group(grid, below(pace.figures, width))


def below(figures: Figures, width: int) -> Text:
    """Figures on an indented line of their own."""
    return Text.assemble("  ", words(figures, width - 2))
