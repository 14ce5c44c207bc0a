"""The command that compares settings: ablate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nastk.cli.estimating import duration
from nastk.cli.sentences import sentences

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from nastk.core.ablation.ablate import StudyEstimate
    from nastk.core.ablation.outcome import StudyResult
    from nastk.core.ablation.runner import Progress, Standing

SHOWN = 8
"""Running cells that the live view names."""


@sentences
def ablate(
    study: Annotated[
        Path | None,
        typer.Argument(help="Study file (TOML): a run file with [vary]. May be left out with --resume.", metavar="STUDY"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New or empty directory.  [default: a fresh one below studies/]", metavar="DIR")
    ] = None,
    workers: Annotated[int, typer.Option(help="Runs side by side, each a process; 1: in this one.", metavar="N")] = 1,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a study; with STUDY, under its cells, seeds and metrics.", metavar="DIR")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: go on with runs that failed, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show cells, number of runs and an estimate.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live view; print the result as JSON.")] = False,
) -> None:
    """Run a study: every cell under every seed, compared with statistics; tables and pictures in one directory."""
    from nastk.core.ablation.ablate import ablate as carried_out
    from nastk.core.ablation.ablate import estimate_study

    if dry_run:
        _show(estimate_study(study, resume=resume, workers=workers), quiet)
        return
    with _live(quiet) as progress:
        result = carried_out(study, out=out, resume=resume, retry_failed=retry_failed, workers=workers, progress=progress)
    if quiet:
        typer.echo(json.dumps(result.document(), indent=2))
    else:
        _print(result)


@contextmanager
def _live(quiet: bool) -> Iterator[Progress]:
    """A live table on standard error; lines where that is no terminal; nothing when it shall be quiet."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:

        def told(standing: Standing) -> None:
            if standing.last and not quiet:
                console.print(f"{standing.done + standing.failed}/{standing.total} {standing.last}", markup=False, soft_wrap=True)

        yield told
        return
    view = View(time.monotonic())
    with Live(get_renderable=view.rendered, console=console, refresh_per_second=2, transient=True):
        yield view.told


class View:
    """What the live view shows: counts, what is running, the time it took and the time it will take."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.heard = began
        self.standing: Standing | None = None

    def told(self, standing: Standing) -> None:
        """Take in how far the study is."""
        self.standing, self.heard = standing, time.monotonic()

    def rendered(self) -> RenderableType:
        """The view of now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if self.standing is None:
            return Text("starting")
        now, s = time.monotonic(), self.standing
        words = f"{s.done} of {s.total} done, {len(s.running)} running, {s.failed} failed, {duration((now - self.began) / 60)}"
        if s.left is not None:
            words += f", about {duration(max(0.0, s.left - (now - self.heard)) / 60)} left"
        lines = [Text(f"  {name}", style="dim") for name in s.running[:SHOWN]]
        return Group(Text(words, style="bold"), ProgressBar(total=s.total, completed=s.done + s.failed, width=60), *lines)


def _show(found: StudyEstimate, quiet: bool) -> None:
    if quiet:
        typer.echo(json.dumps(found.document(), indent=2))
        return
    console = _console()
    for label, role in found.cells:
        console.print(label + ("" if role == "cell" else f"  [{role}]"), markup=False, soft_wrap=True)
    seeds = len(found.seeds)
    console.print(f"\n{len(found.cells)} cells, {seeds} seed{'s' * (seeds > 1)}, {found.jobs} runs and shared searches")
    console.print(f"about {duration(found.minutes)} with {found.workers} worker{'s' * (found.workers > 1)}; nothing was written")
    console.print("All cells are taken to cost what the baseline does.", style="dim")


def _print(result: StudyResult) -> None:
    from nastk.core.ablation.conclusions import conclusions

    console = _console()
    for found in result.metrics:
        console.print(_table(found, result), soft_wrap=False)
    for sentence in conclusions(result):
        console.print(f"- {sentence}", markup=False, soft_wrap=True)
    for label, seed, reason in result.failed:
        console.print(f"failed: {label}, seed {seed}: {reason}", markup=False, style="red", soft_wrap=True)
    console.print(f"\nTables and pictures: {result.directory}", markup=False, soft_wrap=True)


def _table(found: Any, result: StudyResult) -> RenderableType:
    from rich.table import Table

    from nastk.core.ablation.conclusions import number, signed

    table = Table(
        title=f"{found.metric.heading} ({found.metric.better} is better)", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("cell", no_wrap=True)
    for heading in ("n", "mean", "sd", "difference", "95 % interval", "p (Holm)"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        own, pair = row.described, row.against
        label = f"{row.label} (baseline)" if row.label == result.baseline else row.label
        compared = ("", "", "")
        if pair is not None:
            p = "-" if pair.holm is None else f"{pair.holm:.2g}"
            compared = (signed(pair.mean), f"{number(pair.low)} to {number(pair.high)}", p)
        table.add_row(label, str(own.n), number(own.mean), number(own.deviation), *compared)
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
