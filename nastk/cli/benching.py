"""The command that compares: bench."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nastk.cli.sentences import sentences
from nastk.core.errors import OutputError
from nastk.core.events import StageStarted
from nastk.plugins.reporters.figures import duration
from nastk.plugins.reporters.pace import Pace

if TYPE_CHECKING:
    from rich.table import Table

    from nastk.core.bench.outcome import BenchResult, Score

PLOTS = (".png", ".svg")
OUT = {"bench.json": "json", "regret.png": "plot", "regret.svg": "plot"}
"""What ``--out`` writes."""
HEADINGS = ("strategy", "n", "mean ± sd", "95 % CI", "median", "best", "regret", "wins", "p", "failed")


@sentences
def bench(
    benchmark: Annotated[
        str, typer.Argument(help="Table to search in, see `nastk plugins --kind benchmark`.", metavar="BENCHMARK")
    ],
    strategy: Annotated[
        list[str] | None, typer.Option(help="Strategies, with commas or repeated; random-search is added.", metavar="S[,S2...]")
    ] = None,
    budget: Annotated[int, typer.Option(help="Evaluations of a search.", metavar="N")] = 100,
    seeds: Annotated[int, typer.Option(help="Searches of each strategy: seeds 0 to K - 1.", metavar="K")] = 50,
    dataset: Annotated[str | None, typer.Option(help="Data set of the table (benchmark.dataset).", metavar="NAME")] = None,
    objective: Annotated[
        str, typer.Option(help="What the found member is worth: its test or its validation accuracy.", metavar="test|validation")
    ] = "test",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One setting, e.g. strategy.population=10, for all that have it. Repeatable.", metavar="PATH=VALUE"
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.  [default: one a core]", metavar="W")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Simulated seconds of training of a search, as a further limit.", metavar="SECONDS")
    ] = None,
    estimators: Annotated[
        list[str] | None, typer.Option(help="Estimators, ranked against the table; with commas or repeated.", metavar="E[,E2...]")
    ] = None,
    cells: Annotated[int, typer.Option(help="Members of the table that estimators are tried on.", metavar="N")] = 500,
    json_: Annotated[Path | None, typer.Option("--json", help="New file for every seed's result.", metavar="FILE")] = None,
    plot: Annotated[Path | None, typer.Option(help="New picture of the regret curves.", metavar="FILE.png|svg")] = None,
    out: Annotated[
        Path | None, typer.Option(help="New or empty directory for bench.json, regret.png, regret.svg.", metavar="DIR")
    ] = None,
) -> None:
    """Compare strategies in a table: many seeds, random search beside them, intervals and tests. Nothing is trained."""
    files = _files(json_, plot, out, drawn=bool(strategy))
    from nastk.core.bench.bench import bench as played

    with _progress() as progress:
        result = played(
            benchmark,
            strategy or (),
            budget=budget,
            seeds=seeds,
            dataset=dataset,
            objective=objective,  # type: ignore[arg-type]  # any text; it is checked there
            set=set_ or (),
            workers=workers,
            seconds=seconds,
            estimators=estimators or (),
            cells=cells,
            progress=progress,
        )
    _print(result)
    _write(result, files)


def _files(json_: Path | None, plot: Path | None, out: Path | None, drawn: bool) -> dict[Path, str]:
    """The files to write and their forms. Refuses what cannot be written before anything is played: :class:`OutputError`."""
    if plot is not None and plot.suffix.lower() not in PLOTS:
        raise OutputError(f"The picture {plot} must end in {' or '.join(PLOTS)}.")
    if plot is not None and not drawn:
        raise OutputError(f"The picture {plot} is of strategies: name one with --strategy.")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"The output directory {out} is there and not empty: choose another with --out.")
    files = {} if out is None else {out / name: Path(name).suffix[1:] for name, form in OUT.items() if form == "json" or drawn}
    files |= {path: path.suffix[1:].lower() if path is plot else "json" for path in (json_, plot) if path is not None}
    for path in files:
        if path.exists():
            raise OutputError(f"The file {path} exists already: choose another name.")
        nearest = next((folder for folder in (path.parent, *path.parent.parents) if folder.exists()), Path())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise OutputError(f"The file {path} cannot be written: {nearest} is no directory that can be written to.")
    return files


def _write(result: BenchResult, files: dict[Path, str]) -> None:
    from nastk.core.bench.draw import draw_regret
    from nastk.core.run.store import RunDirectory

    for path, form in files.items():
        content = json.dumps(result.document(), indent=1) + "\n" if form == "json" else draw_regret(result, form)  # type: ignore[arg-type]
        typer.echo(f"Wrote {RunDirectory(path.parent).write(path.name, content)}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error with the time left at the pace so far; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("bench"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[time]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False) as shown:
        task = shown.add_task("bench", total=None, time="starting")
        left = Left(time.monotonic)

        def told(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, time=left.told(done, total))

        yield told


class Left:
    """How long it will still take, by the pace since the first search ended: starting processes is no part of it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pace: Pace | None = None

    def told(self, done: int, total: int) -> str:
        """``about 0:35 left``; ``starting`` before anything is done, and nothing while nobody can know."""
        now = self._clock()
        if not done:
            return "starting"
        if self._pace is None or self._pace.total != total:
            self._pace = Pace.of(StageStarted("bench", total, "searches", done), now)
        for _ in range(done - self._pace.done):
            self._pace = self._pace.stepped({}, now)
        left = self._pace.left(now)
        return "" if left is None else f"about {duration(left)} left"


def _print(result: BenchResult) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if result.scores:
        limits = f"{result.budget} evaluations" + (f" or {result.seconds:,.0f} simulated seconds" if result.seconds else "")
        where = result.benchmark + (f", {result.dataset}" if result.dataset else "")
        best = "best of the table" if result.optimum.source == "table" else "best that any seed saw"
        title = f"{where}: {result.seeds} seed{'s' * (result.seeds > 1)} of {limits}; {result.objective} accuracy in percent"
        console.print(title, style="bold", markup=False)
        console.print(f"{best}: {_percent(result.optimum.value)}\n", markup=False)
        console.print(_scores(result))
        console.print(f"\n{_notes(result)}", markup=False, soft_wrap=True)
    if result.estimators:
        console.print(_estimators(result))


def _notes(result: BenchResult) -> str:
    from nastk.core.bench.statistics import INTERVAL, TEST

    played = sum(run.evaluations for score in result.scores for run in score.runs)
    notes = [f"CI: {INTERVAL}." if result.seeds > 1 else "One seed: no interval, no test."]
    if result.baseline is not None and result.seeds > 1:
        notes.append(f"p: {TEST.replace('the baseline', result.baseline)}.")
        notes.append("wins: share of pairs of seeds in which the strategy ends higher, a tie as half.")
    notes.append(f"{played:,} evaluations in {result.wall_seconds:.1f} s, {result.workers} worker{'s' * (result.workers > 1)}.")
    return "\n".join(notes)


def _scores(result: BenchResult) -> Table:
    rows = [_row(score, result.optimum.value) for score in result.scores]
    headings = [heading for heading in HEADINGS if any(row[heading] for row in rows)]
    return _table(headings, [[row[heading] for heading in headings] for row in rows])


def _row(score: Score, best: float) -> dict[str, str]:
    """A cell for each heading; a column that is empty in every row is not shown."""
    value, tested = score.value, score.against
    failed = sum(run.failed for run in score.runs)
    cells = (
        score.strategy,
        str(value.n),
        _percent(value.mean) + ("" if value.deviation is None else f" ± {_percent(value.deviation)}"),
        "" if value.low is None or value.high is None else f"{_percent(value.low)} - {_percent(value.high)}",
        _percent(value.median),
        _percent(value.best),
        _percent(best - value.mean),
        "" if tested is None else f"{tested.better:.2f}",
        "" if tested is None else f"{tested.holm:.2g}",
        f"{failed:,}" if failed else "",
    )
    return dict(zip(HEADINGS, cells, strict=True))


def _estimators(result: BenchResult) -> Table:
    headings = ("estimator", "n", "Kendall tau", "95 % CI", "Spearman rho", "95 % CI", "refused", "s a network")
    rows = [
        (
            row.estimator,
            str(row.n),
            f"{row.kendall:.3f}",
            f"{row.kendall_low:.3f} - {row.kendall_high:.3f}",
            f"{row.spearman:.3f}",
            f"{row.spearman_low:.3f} - {row.spearman_high:.3f}",
            str(row.failed),
            f"{row.seconds:.3g}",
        )
        for row in result.estimators
    ]
    return _table(headings, rows)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
