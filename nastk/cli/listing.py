"""The commands that look: plugins, describe."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from nastk.cli.sentences import sentences
from nastk.core.errors import NastkError, near
from nastk.core.registry import registry
from nastk.core.types import Kind

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _kind(name: str) -> Kind:
    kinds = [kind.value for kind in Kind]
    if name not in kinds:
        raise NastkError(f"There is no kind of plug-in named {name!r}.{near(name, kinds)} Kinds: {', '.join(kinds)}.")
    return Kind(name)


@sentences
def plugins(
    kind: Annotated[str | None, typer.Option(help="Only plug-ins of this kind.", metavar="KIND")] = None,
    json_: Json = False,
) -> None:
    """List every installed plug-in: kind, name, distribution, summary; and the broken ones with their reason."""
    entries = registry().entries(_kind(kind) if kind else None)
    broken = registry().broken
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
        bad = [{"plugin": b.source.plugin, "distribution": b.source.distribution, "reason": b.reason} for b in broken]
        typer.echo(json.dumps({"plugins": found, "broken": bad}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("kind", "name", "from", "summary"):
        table.add_column(heading, no_wrap=heading != "summary")
    for e in entries:
        table.add_row(e.kind.value, e.name, f"{e.source.distribution} {e.source.version}".strip(), e.summary)
    console = Console()
    console.print(table)
    for b in broken:
        text = f"broken: {b.source.plugin} ({b.source.distribution} {b.source.version}): {b.reason}"
        console.print(text, style="red", markup=False)


@sentences
def describe(
    kind: Annotated[str, typer.Argument(help="Kind of plug-in.", metavar="KIND")],
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME")],
    json_: Json = False,
) -> None:
    """Show a plug-in: what it is, where it comes from, every setting with type, default and help."""
    entry = registry().find(_kind(kind), name, "the command line")
    loaded = registry().load(entry.kind, name)
    document = _description(entry, loaded)
    if json_:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{kind} {name}  ({entry.source.distribution} {entry.source.version}, {entry.module}.{entry.attribute})\n")
    typer.echo(document["text"] + "\n")
    for setting in document["settings"]:
        typer.echo(f"  {setting['name']}: {setting['type']} = {setting['default']}\n      {setting['help']}")
    if not document["settings"]:
        typer.echo("  It takes no settings.")


def _description(entry: Any, loaded: type) -> dict[str, Any]:
    import inspect

    import attrs

    config = vars(loaded)["__nastk__"].config
    settings = []
    for attribute in attrs.fields(config):
        default: Any = attribute.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        shown = getattr(default, "name", default)
        settings.append(
            {
                "name": attribute.name,
                "type": str(attribute.type).replace("typing.", "").removeprefix("<class '").removesuffix("'>"),
                "default": None if default is attrs.NOTHING else shown,
                "help": attribute.metadata.get("help", ""),
            }
        )
    return {
        "kind": entry.kind.value,
        "name": entry.name,
        "distribution": entry.source.distribution,
        "version": entry.source.version,
        "text": inspect.getdoc(loaded) or "",
        "defaults": dict(getattr(loaded, "defaults", {})),
        "settings": settings,
    }
