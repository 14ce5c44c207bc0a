"""Writes ``reference.md``, every setting of every run file, from the code: ``python docs/reference.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from nastk.core.describe import Setting, default_words, describe, settings
from nastk.core.mark import NoConfig
from nastk.core.registry import INTERFACES, registry
from nastk.core.settings import RunConfig
from nastk.core.types import Kind
from nastk.core.words import toml

FILE = Path(__file__).with_name("reference.md")
TABLES = ("model", "proxy", "train", "split", "budget", "divergence")
HEAD = """# Reference of settings

Written by `python docs/reference.py` from the code; a test fails when it is stale. How a run file is read is in
the [manual](manual.md). A *whole number* is an integer, a *number* a float, *unset* means that the entry is left out. A plug-in
is written as its name, or as a table with a `name` and its settings. *Or choices* means that
`{ choices = [...] }` is accepted too, and then the search decides.
"""


def main() -> None:
    """Write the page."""
    FILE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The content of ``reference.md``."""
    return "\n".join([HEAD, *_run_file(), *_plugins()]).rstrip() + "\n"


def bundled() -> Iterator[tuple[Kind, str, type[Any]]]:
    """Every plug-in of nastk's own distribution: kind, name, class."""
    for entry in registry().entries():
        if entry.source.distribution == "nastk":
            yield entry.kind, entry.name, registry().load(entry.kind, entry.name)


def _run_file() -> Iterator[str]:
    hints = get_type_hints(RunConfig)
    yield "## The run file\n"
    yield f"{RunConfig.__doc__}\n"
    yield from _table(RunConfig)
    for name in TABLES:
        yield f"### `[{name}]`\n"
        yield f"{hints[name].__doc__}\n"
        yield from _table(hints[name])


def _plugins() -> Iterator[str]:
    everything = list(bundled())
    for kind in INTERFACES:
        yield f"## Kind {kind}\n"
        yield f"Derives from `{INTERFACES[kind].replace(':', '.')}`.\n"
        plain = [(name, cls) for k, name, cls in everything if k is kind and _config(cls) is NoConfig]
        if plain:
            yield "Without settings:\n"
            yield "| name | what it is |"
            yield "| --- | --- |"
            yield from (f"| `{name}` | {_cell(_summary(kind, name))} |" for name, _ in plain)
            yield ""
        for k, name, cls in everything:
            if k is kind and _config(cls) is not NoConfig:
                yield f"### {kind} `{name}`\n"
                yield f"{_summary(kind, name)}\n"
                yield from _defaults(kind, name)
                first = next(other for _, other, seen in everything if _config(seen) is _config(cls))
                yield from _table(_config(cls)) if first == name else [f"The same settings as `{first}`.\n"]
            elif k is kind and describe(kind, name).defaults:
                yield f"### {kind} `{name}`\n"
                yield from _defaults(kind, name)


def _defaults(kind: Kind, name: str) -> Iterator[str]:
    """What a space, a strategy or a benchmark changes in the defaults of a run."""
    changed = describe(kind, name).defaults
    tables = {where: entries for where, entries in changed.items() if isinstance(entries, Mapping)}
    if loose := {where: value for where, value in changed.items() if where not in tables}:
        yield f"Unless the run says otherwise: {_entries(loose)}.\n"
    for where, entries in tables.items():
        yield f"Unless the run says otherwise, in `[{where}]`: {_entries(entries)}.\n"


def _entries(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name} = {toml(value)}`" for name, value in values.items())


def _config(cls: type[Any]) -> type[Any]:
    found: type[Any] = vars(cls)["__nastk__"].config
    return found


def _summary(kind: Kind, name: str) -> str:
    return describe(kind, name).summary.replace("``", "`")


def _table(config: type[Any]) -> Iterator[str]:
    yield "| name | type | default | bounds | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for setting in settings(config, "`"):
        yield "| " + " | ".join(_cell(text) for text in _row(setting)) + " |"
    yield ""


def _row(setting: Setting) -> list[str]:
    return [f"`{setting.name}`", setting.type, default_words(setting, "`"), setting.bounds, setting.help]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
