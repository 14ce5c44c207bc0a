"""The command that tries: check."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nastk
from nastk.cli.listing import Json
from nastk.cli.sentences import sentences
from nastk.core.document import assign
from nastk.core.errors import NastkError

if TYPE_CHECKING:
    from nastk.core.laws.check import Verdict

WORDS = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "fails as declared": ("fails as declared", "fail as declared"),
    "does not apply": ("does not apply", "do not apply"),
}
STYLES = {"holds": "green", "fails": "bold red", "fails as declared": "yellow", "does not apply": "dim"}


@sentences
def check(
    kind: Annotated[str | None, typer.Argument(help="Kind of plug-in.", metavar="KIND")] = None,
    name: Annotated[str | None, typer.Argument(help="Its name.", metavar="NAME")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every installed plug-in, or every one of KIND.")] = False,
    law: Annotated[list[str] | None, typer.Option(help="Only this law. Repeatable.", metavar="LAW")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of the plug-in, e.g. tau=3.0. Repeatable.", metavar="NAME=VALUE"),
    ] = None,
    json_: Json = False,
) -> None:
    """Run the laws of its kind on a plug-in: which hold, which fail and with what counter-example. Exit code 1 if one fails."""
    if all_:
        if name is not None or set_ or law:
            raise NastkError("--all takes at most a KIND: no NAME, no --law, no --set.")
        failed = _all(kind, json_)
    else:
        if kind is None or name is None:
            raise NastkError("Say which plug-in: nastk check KIND NAME, or nastk check --all.")
        settings: dict[str, Any] = {}
        for text in set_ or ():
            assign(settings, text)
        verdicts = nastk.check(kind, name, only=law or (), **settings)
        failed = any(v.outcome == "fails" for v in verdicts)
        if json_:
            typer.echo(json.dumps({"kind": kind, "name": name, "laws": _plain(verdicts)}, indent=2))
        else:
            _show(f"{kind} {name}", verdicts)
    if failed:
        raise typer.Exit(1)


def _all(kind: str | None, as_json: bool) -> bool:
    """Check everything, one line a plug-in as it is done; whether a law failed."""
    from nastk.core.describe import kind_named

    kinds = tuple(nastk.Kind) if kind is None else (kind_named(kind),)
    found: list[dict[str, Any]] = []
    failed = False
    for which, name, outcome in nastk.check_all(kinds):
        if isinstance(outcome, NastkError):
            found.append({"kind": which.value, "name": name, "refused": str(outcome)})
            line = f"not checked: {outcome}"
        else:
            count: Counter[str] = Counter(v.outcome for v in outcome)
            failed = failed or count["fails"] > 0
            found.append({"kind": which.value, "name": name, "laws": _plain(outcome)})
            line = ", ".join(f"{count[o]} {WORDS[o][count[o] != 1]}" for o in STYLES if count[o])
            line += "".join(f"\n    {v.law} fails: {v.detail}" for v in outcome if v.outcome == "fails")
        if not as_json:
            typer.echo(f"{which} {name}: {line}")
    if as_json:
        typer.echo(json.dumps({"plugins": found}, indent=2))
    return failed


def _plain(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [{"law": v.law, "text": v.text, "outcome": v.outcome, "cases": v.cases, "detail": v.detail} for v in verdicts]


def _show(title: str, verdicts: Sequence[Verdict]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    for v in verdicts:
        line = Text("  ")
        line.append(f"{v.outcome:<19}", style=STYLES[v.outcome])
        line.append(f"{v.law}  ")
        line.append(v.text, style="dim")
        console.print(line, soft_wrap=True)
        if v.detail:
            console.print(Text(f"{' ' * 21}{v.detail}", style="red" if v.outcome == "fails" else "dim"), soft_wrap=True)
