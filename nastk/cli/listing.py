"""The commands that look: plugins, describe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nastk.cli.sentences import sentences
from nastk.core.registry import registry

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nastk.core.describe import Description, Setting

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@sentences
def plugins(
    kind: Annotated[str | None, typer.Option(help="Only plug-ins of this kind.", metavar="KIND")] = None,
    json_: Json = False,
) -> None:
    """List every installed plug-in: kind, name, distribution, summary; and the broken ones with their reason."""
    from nastk.core.describe import kind_named

    entries = registry().entries(kind_named(kind) if kind else None)
    broken = registry().broken  # of any kind: what cannot be read does not say which it is
    if json_:
        found = [
            {
                "kind": e.kind.value,
                "name": e.name,
                "summary": e.summary,
                "distribution": e.source.distribution,
                "version": e.source.version,
                "module": e.module,
            }
            for e in entries
        ]
        bad = [
            {
                "plugin": b.source.plugin,
                "distribution": b.source.distribution,
                "version": b.source.version,
                "module": b.source.module,
                "reason": b.reason,
            }
            for b in broken
        ]
        typer.echo(json.dumps({"plugins": found, "broken": bad}, indent=2))
        return
    console = _console()
    rows = ((e.kind.value, e.name, f"{e.source.distribution} {e.source.version}".strip(), e.summary) for e in entries)
    console.print(_table(("kind", "name", "from", "summary"), list(rows), console.width, whole=2))
    for b in broken:
        text = f"broken: {b.source.plugin} ({b.source.distribution} {b.source.version}): {b.reason}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


@sentences
def describe(
    kind: Annotated[str, typer.Argument(help="Kind of plug-in.", metavar="KIND")],
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME")],
    json_: Json = False,
) -> None:
    """Show a plug-in: what it is, its paper, where it comes from, how it is built, and every setting with its bounds."""
    from nastk.core.describe import describe as described

    found = described(kind, name)
    if json_:
        typer.echo(json.dumps(found.document(), indent=2))
        return
    console = _console()
    console.print(f"{found.kind} {found.name}", style="bold", markup=False, highlight=False)
    if found.text:
        console.print(f"\n{_without_roles(found.text)}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for label, text in _facts(found):
        console.print(f"{label:<14}{text}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    if found.settings:
        rows = list(_rows(found.settings))
        console.print(_table(("setting", "type", "default", "meaning"), rows, console.width, whole=1))
    else:
        console.print("It takes no settings.", highlight=False)


def _without_roles(text: str) -> str:
    """A docstring with ``Name`` for ``:class:`~module.Name```."""
    return re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"\1", text)


def _facts(found: Description) -> Iterator[tuple[str, str]]:
    """What is known beside the docstring, each with its label; left out where there is nothing to say."""
    from nastk.core.words import toml

    if found.paper:
        yield "paper", found.paper
    yield "from", f"{found.distribution} {found.version}".strip()
    yield "class", f"{found.module}.{found.attribute}"
    if found.source:
        yield "source", f"{found.source.file}:{found.source.line}"
    yield "derives from", found.interface
    yield "built as", found.signature
    for where, value in found.defaults.items():
        entries = {f"{where}.{key}": v for key, v in value.items()} if isinstance(value, Mapping) else {where: value}
        for path, setting in entries.items():
            yield "run default", f"{path} = {toml(setting)}"


def _rows(settings: Iterable[Setting], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """One row a setting, those of a table below it with dotted names."""
    from nastk.core.describe import default_words

    for setting in settings:
        asked = ", ".join(filter(None, (setting.type, setting.bounds)))
        yield path + setting.name, asked, default_words(setting), setting.help
        yield from _rows(setting.settings, f"{path}{setting.name}.")


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int, whole: int) -> Table:
    """Columns of plain text, broken where the terminal is narrow and never cut off.

    The first ``whole`` columns hold what is copied, and are broken only when they take more than 3/5 of the width.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    fits = sum(max((len(row[i]) for row in rows), default=0) for i in range(whole)) <= width * 3 // 5
    for i, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=fits and i < whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _console() -> Console:
    from rich.console import Console

    return Console()
