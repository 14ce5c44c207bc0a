"""The commands that show: report, watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nastk
from nastk.cli.sentences import sentences

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from nastk.core.report.standing import RunStanding, Standing, StudyStanding
    from nastk.core.report.timeline import Stage

EVERY = 1.0
"""Seconds between two looks."""
NOTICES, RUNNING, FAILED = 4, 8, 4
"""How many of them a view shows, the last ones."""
STYLES = {"done": "green", "running": "cyan", "interrupted": "yellow"}
FIGURES = (
    ("loss", ("loss",), False),
    ("accuracy", ("accuracy",), True),
    ("validation", ("valid_accuracy",), True),
    ("best", ("best_accuracy",), True),
    ("entropy", ("entropy",), False),
    ("skip share", ("skip_share",), True),
    ("spikes (train)", ("nos", "train", "total"), False),
    ("spikes (validation)", ("nos", "validation", "total"), False),
)
"""Figures of a step that a view shows: name, path, whether it is a share."""


@sentences
def report(
    paths: Annotated[list[Path], typer.Argument(help="Run and study directories.", metavar="RUN_OR_STUDY...")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="HTML file; replaced when it is there.  [default: report.html in the one directory, else here]", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Write one HTML file about runs and studies, whole in itself; prints its path."""
    typer.echo(nastk.report(paths, out))


@sentences
def watch(
    directory: Annotated[Path, typer.Argument(help="Run or study directory; it is only read.", metavar="RUN")],
    once: Annotated[bool, typer.Option("--once", help="Show how far it is, and end.")] = False,
) -> None:
    """Watch a run or a study: how far it is, its figures, the time left. Ends with the run, or with Ctrl-C."""
    from rich.console import Console

    from nastk.core.report.standing import Watch

    looking, console = Watch(directory), Console(highlight=False)
    if once:
        console.print(view(looking.look()))
        return
    try:
        (_live if console.is_terminal else _lines)(looking.look, console)
    except KeyboardInterrupt:
        console.print("Stopped watching; the run goes on.")


def _live(look: Callable[[], Standing], console: Console) -> None:
    """A view that is drawn anew until nobody writes any more; the last one stays."""
    from rich.live import Live

    with Live(view(look()), console=console, auto_refresh=False) as live:
        while True:
            standing = look()
            live.update(view(standing), refresh=True)
            if standing.over:
                return
            time.sleep(EVERY)


def _lines(look: Callable[[], Standing], console: Console) -> None:
    """A line whenever something has changed, and the whole view at the end."""
    said = ""
    while not (standing := look()).over:
        line = headline(standing)
        if line != said:
            console.print(line, markup=False, soft_wrap=True)
        said = line
        time.sleep(EVERY)
    console.print(view(standing))


def view(standing: Standing) -> RenderableType:
    """A run or a study at one moment."""
    from nastk.core.report.standing import RunStanding

    return _run(standing) if isinstance(standing, RunStanding) else _study(standing)


def headline(standing: Standing) -> str:
    """The same in one line, without what changes by the second."""
    from nastk.core.report.standing import RunStanding

    if not isinstance(standing, RunStanding):
        counts = (f"{standing.count(state)} {state}" for state in ("done", "running", "failed", "waiting"))
        return f"{standing.state}: {', '.join(counts)}"
    stage = standing.stage
    where = f" {stage.name} {stage.done}/{stage.total} {stage.unit}" if stage else ""
    told = "  ".join(f"{name} {value}" for name, value in _figures(stage))
    return f"{standing.state}:{where or ' not begun'}" + (f"  {told}" if told else "")


def _run(standing: RunStanding) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from nastk.core.report.amounts import percent, span

    rows = []
    for stage in standing.timeline.stages:
        over = stage.seconds is not None
        words = f"took {span(stage.seconds)}" if over else _left(stage.left(standing.now), standing.over, "of this stage")
        rows.append((stage.name, stage.done, stage.total, f"{stage.done}/{stage.total} {stage.unit}", words))
    parts: list[RenderableType] = [_title(standing, standing.about), *([_bars(rows)] if rows else [])]
    figures = Text()
    for name, value in _figures(standing.stage):
        figures.append(f"  {name} ", style="dim").append(value)
    if standing.trials:
        figures.append("  trials ", style="dim").append(str(standing.trials))
        figures.append("  best trial ", style="dim").append(percent(standing.best))
    if figures.plain:
        parts.append(figures)
    if standing.accuracy is not None:
        parts.append(Text(f"test accuracy {percent(standing.accuracy)}", style="bold green"))
    parts += [Text(text, style="yellow") for text in standing.timeline.notices[-NOTICES:]]
    if standing.state == "interrupted":
        parts.append(Text(f"Nobody goes on with it: nastk run --resume {standing.path}", style="yellow"))
    return Group(*parts)


def _study(standing: StudyStanding) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    total, ended = len(standing.jobs), standing.count("done") + standing.count("failed")
    words = f"{ended}/{total} runs, {standing.count('failed')} failed"
    left = _left(standing.left, standing.over, "at the pace so far")
    parts: list[RenderableType] = [_title(standing, "study"), _bars([("study", ended, total, words, left)])]
    for name, stage in standing.running[:RUNNING]:
        where = "" if stage is None else f"  {stage.name} {stage.done}/{stage.total} {stage.unit}"
        told = "".join(f"  {figure} {value}" for figure, value in _figures(stage)[:3])
        parts.append(Text(f"  {name}{where}{told}"))
    failed = [job for job in standing.jobs if job.state == "failed"]
    parts += [
        Text(f"failed: {job.cell}, seed {job.seed}: {' '.join(job.reason.split())}", style="red") for job in failed[-FAILED:]
    ]
    if standing.state == "interrupted":
        parts.append(Text(f"Nobody goes on with it: nastk ablate --resume {standing.path}", style="yellow"))
    return Group(*parts)


def _title(standing: Standing, about: str) -> RenderableType:
    from rich.text import Text

    text = Text.assemble((standing.state, STYLES[standing.state]), "  ", (str(standing.path), "bold"), f"  {about}")
    return text.append(f"  ({standing.holder})", style="dim") if standing.holder else text


def _bars(rows: Sequence[tuple[str, int, int, str, str]]) -> RenderableType:
    """A line for each: name, done, total, the count in words, what is left in words."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2, 0, 0))
    for name, done, total, count, words in rows:
        bar = ProgressBar(total=max(1, total), completed=done, width=24)
        lines.add_row(Text(name, style="bold"), bar, Text(count), Text(words, "dim"))
    return lines


def _left(seconds: float | None, over: bool, of: str) -> str:
    from nastk.core.report.amounts import span

    if over:
        return "stopped" if seconds is None or seconds > 0 else ""
    return "" if seconds is None else f"about {span(seconds)} left {of}"


def _figures(stage: Stage | None) -> list[tuple[str, str]]:
    from nastk.core.report.amounts import amount, number_at, percent

    if stage is None:
        return []
    found = ((name, number_at(stage.last, *path), share) for name, path, share in FIGURES)
    return [(name, percent(value, 1) if share else amount(value)) for name, value, share in found if value is not None]
