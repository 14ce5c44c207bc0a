"""The commands that look at what lies on disk: runs, verify, distance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import nastk
from nastk.cli.listing import Json
from nastk.cli.sentences import sentences
from nastk.core.errors import NastkError

STYLES = {"done": "green", "running": "cyan", "interrupted": "yellow", "damaged": "bold red"}


@sentences
def runs(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="A folder of runs (default: runs), or `compare` and two runs.", metavar="DIR"),
    ] = None,
    json_: Json = False,
) -> None:
    """List the runs in a folder: state, progress, result. `nastk runs compare A B`: where two runs differ."""
    words = words or ["runs"]
    if words[0] == "compare":
        if len(words) != 3:
            raise NastkError(f"`nastk runs compare` takes two run directories, got {len(words) - 1}.")
        _compare(Path(words[1]), Path(words[2]), json_)
    elif len(words) > 1:
        raise NastkError(f"`nastk runs` takes one folder, got {len(words)}: {', '.join(words)}.")
    else:
        _list(Path(words[0]), json_)


def _list(folder: Path, json_: bool) -> None:
    found = nastk.runs(folder)
    if json_:
        rows = [
            {"path": str(r.path), "state": r.state, **r.about, "stage": r.stage, "done": r.done, "total": r.total,
             "accuracy": r.accuracy, "started": r.started, "holder": r.holder, "fault": r.fault}
            for r in found
        ]  # fmt: skip
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("run", "state", "what", "progress", "test accuracy", "started", box=None, pad_edge=False)
    for r in found:
        what = " ".join(str(r.about[name]) for name in ("strategy", "space", "dataset", "benchmark") if name in r.about)
        seed = f" seed {r.about['seed']}" if "seed" in r.about else ""
        told = r.fault or r.holder or (f"{r.stage} {r.done}/{r.total}" if r.stage else "")
        accuracy = "" if r.accuracy is None else f"{100 * r.accuracy:.2f} %"
        started = r.started[:16].replace("T", " ")
        state = f"[{STYLES[r.state]}]{r.state}[/]"
        table.add_row(escape(str(r.path)), state, escape(what + seed), escape(told), accuracy, started)
    console = Console(highlight=False)
    console.print(table if found else f"No run below {escape(str(folder))}.")


def _compare(first: Path, second: Path, json_: bool) -> None:
    found = nastk.compare_runs(first, second)
    if json_:
        typer.echo(json.dumps({name: list(pair) for name, pair in found.items()}, indent=2, default=str))
        return
    _pairs(("entry", str(first), str(second)), found, "The two runs differ in nothing.")


@sentences
def verify(
    directory: Annotated[Path, typer.Argument(help="Run directory; it is only read.", metavar="RUN_DIR")],
    steps: Annotated[int, typer.Option(min=1, help="Go back at least so many steps of each stage.")] = 1,
    json_: Json = False,
) -> None:
    """Execute the last steps of a run again, from a checkpoint, and compare the bits. Exit code 1 when they differ."""
    found = nastk.verify(directory, steps)
    if json_:
        stages = [{"stage": s.stage, "first": s.first, "last": s.last, "difference": s.difference} for s in found.stages]
        told: dict[str, Any] = {"holds": found.holds, "stages": stages}
        told["surroundings"] = {name: list(pair) for name, pair in found.surroundings.items()}
        typer.echo(json.dumps(told, indent=2, default=str))
    else:
        for stage in found.stages:
            what = f"differs at {stage.difference.lstrip('.')}" if stage.difference else "equal to the bit"
            typer.echo(f"{stage.stage}: steps {stage.first + 1} to {stage.last} again: {what}")
        if not found.stages:
            typer.echo("Nothing to repeat: the run has no checkpoint yet.")
        if found.surroundings:
            _pairs(("not as it was", "then", "now"), found.surroundings, "")
    if not found.holds:
        raise typer.Exit(1)


@sentences
def distance(
    first: Annotated[Path, typer.Argument(help="Genotype file.", metavar="A.json")],
    second: Annotated[Path, typer.Argument(help="Genotype file.", metavar="B.json")],
    weight: Annotated[
        list[str] | None,
        typer.Option(help="How much an operation counts, in (0, 1]; 1 unless given. Repeatable.", metavar="OP=NUMBER"),
    ] = None,
    json_: Json = False,
) -> None:
    """How far two architectures are apart, 0 to 1: the mean over their cells (D-DARTS)."""
    from nastk.core.cell.distance import distances
    from nastk.core.run.run import load_genotype

    weights = dict(map(_weight, weight or ()))
    pair = load_genotype(first), load_genotype(second)
    found = {"distance": nastk.distance(*pair, weights), "cells": distances(*pair, weights)}
    typer.echo(json.dumps(found, indent=2) if json_ else f"{found['distance']:.4f}")


def _weight(text: str) -> tuple[str, float]:
    op, _, number = text.partition("=")
    try:
        return op, float(number)
    except ValueError:
        raise NastkError(f"--weight takes an operation and a number, as conv_3x3=0.5, got {text!r}.") from None


def _pairs(titles: tuple[str, str, str], pairs: Any, nothing: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*(escape(title) for title in titles), box=None, pad_edge=False)
    for name, (one, two) in pairs.items():
        table.add_row(*(escape(str(value)) for value in (name, one, two)))
    Console(highlight=False).print(table if pairs else nothing)
