"""The command that begins a plug-in: new."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

import nastk
from nastk.cli.sentences import sentences


@sentences
def new(
    kind: Annotated[str, typer.Argument(help="Kind of plug-in.", metavar="KIND")],
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, dashes.", metavar="NAME")],
    directory: Annotated[Path, typer.Argument(help="New or empty directory for the package.", metavar="DIR")],
) -> None:
    """Write a package with one small, working plug-in of a kind, its settings, its tests and a README."""
    made = nastk.new(kind, name, directory)
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        typer.echo(str(path))
    place = str(made) if made.is_absolute() else f"./{made}"
    typer.echo(f"Next: pip install -e {shlex.quote(f'{place}[test]')} && nastk check {kind} {name}")
