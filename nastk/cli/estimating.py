"""An estimate as a table, or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

import nastk
from nastk.core.errors import NastkError

if TYPE_CHECKING:
    from nastk.core.run.estimate import Estimate


def dry_run(flags: dict[str, Any], *, resume: bool, quiet: bool) -> None:
    """Estimate a run and show what it will take. Raises :class:`NastkError` for one that goes on."""
    if resume:
        raise NastkError("--dry-run estimates a run before its start: give it without --resume.")
    found = nastk.estimate(**flags)
    if quiet:
        typer.echo(json.dumps(found.document(), indent=2))
    else:
        _show(found)


def duration(minutes: float) -> str:
    """Minutes in a unit that fits: ``12 s``, ``3.4 min``, ``5.2 h``."""
    if minutes < 1:
        return f"{60 * minutes:.2g} s"
    return f"{minutes:.3g} min" if minutes < 100 else f"{minutes / 60:.3g} h"


def _show(found: Estimate) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title="Estimate: nothing was written", title_justify="left", show_footer=True)
    table.add_column("stage", footer="whole run")
    table.add_column("steps", justify="right")
    table.add_column("time", justify="right", footer=duration(found.minutes))
    for stage in found.stages:
        table.add_row(stage.stage, f"{stage.steps} {stage.unit}", duration(stage.minutes))
    console.print(table)
    memory = "unknown" if found.memory_mib is None else f"{found.memory_mib:.0f} MiB on {found.device}"
    console.print(f"peak memory  {memory}; precision {found.precision}")
    console.print(f"trials       {found.evaluations}")
    if found.supernet_parameters is not None:
        console.print(f"supernet     {found.supernet_parameters:,} parameters")
    if found.network_parameters is not None:
        few, many = found.network_parameters
        console.print(f"network      {few:,}" + (f" to {many:,}" if many > few else "") + " parameters")
    for note in found.notes:
        console.print(note, style="dim", soft_wrap=True)
