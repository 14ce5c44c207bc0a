"""The command that hands a trained network on: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import nastk
from nastk.cli.sentences import sentences


@sentences
def export(
    directory: Annotated[Path, typer.Argument(help="Run directory with a finished training.", metavar="RUN_DIR")],
    to: Annotated[str, typer.Option(help="Exporter, see `nastk plugins --kind exporter`.", metavar="NAME")] = "safetensors",
    out: Annotated[Path | None, typer.Option(help="New file.  [default: network.* in RUN_DIR]", metavar="FILE")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of the exporter, e.g. precision=float16. Repeatable.", metavar="KEY=VALUE"),
    ] = None,
) -> None:
    """Write the trained network of a run to a file; prints the file's path. The test data stay closed."""
    typer.echo(nastk.export(directory, to, out, set=set_ or ()))
