"""Writes ``reference.md``, every setting of every run file, from the code: ``python docs/reference.py``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from attrs import validators

from nastk.core.config import Options, Part, unstructure
from nastk.core.mark import NoConfig
from nastk.core.registry import INTERFACES, registry
from nastk.core.settings import RunConfig
from nastk.core.types import Kind

FILE = Path(__file__).with_name("reference.md")
TABLES = ("model", "proxy", "train", "split", "budget")
WORDS = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", type(None): "unset"}
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


def settings(config: type[Any]) -> list[tuple[str, str, str, str, str]]:
    """Name, type, default, bounds and help of every field of a configuration class."""
    hints = get_type_hints(config)
    return [
        (a.name, type_words(hints[a.name]), default_words(a), bounds(a.validator), a.metadata.get("help", ""))
        for a in attrs.fields(config)
    ]


def type_words(hint: Any) -> str:
    """A type as a reader of run files wants it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Options:
        return f"{type_words(args[0])}, or choices"
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in args)
    if origin is tuple:
        return f"list of {type_words(args[0])}"
    if args:  # a union
        return " or ".join(type_words(arg) for arg in args)
    if isinstance(hint, type) and issubclass(hint, Part):
        return str(hint.kind)
    return WORDS.get(hint) or f"table `[{hint.__name__.removesuffix('Config').lower()}]`"


def default_words(attribute: attrs.Attribute[Any]) -> str:
    """A default as it would stand in a run file."""
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return "required"
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if attribute.converter is not None:
        default = attribute.converter(default)  # type: ignore[operator]
    if isinstance(default, Options):
        default = default.values[0]
    if attrs.has(type(default)) and not isinstance(default, Part):
        return "see below"
    return "unset" if default is None else f"`{_toml(default.name if isinstance(default, Part) else unstructure(default))}`"


def bounds(validator: Callable[..., Any] | None) -> str:
    """What a validator asks for; nothing where every value of the type will do."""
    if validator is None:
        return ""
    if isinstance(validator, type(validators.and_(validators.ge(0)))):
        return ", ".join(bounds(part) for part in validator._validators)
    if isinstance(validator, type(validators.optional(validators.ge(0)))):
        return bounds(validator.validator)
    if isinstance(validator, type(validators.in_(()))):
        options = validator.options
        if isinstance(options, range):
            return f"{options[0]} to {options[-1]}"
        return "one of " + ", ".join(f"`{_toml(option)}`" for option in options)
    if isinstance(validator, type(validators.matches_re(""))):
        pattern = validator.pattern.pattern.replace("|", "\\|")
        return f"matches `{pattern}`"
    for name in ("ge", "gt", "le", "lt"):
        if getattr(validator, "compare_func", None) is getattr(operator, name):
            return {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}[name] + f" {validator.bound}"
    inner = [cell.cell_contents for cell in getattr(validator, "__closure__", None) or ()]
    if inner:  # a validator of each option
        return ", ".join(bounds(part) for part in inner)
    return (validator.__doc__ or "").strip().partition(".")[0].removeprefix("attrs validator: ")


def _run_file() -> Iterator[str]:
    hints = get_type_hints(RunConfig)
    yield "## The run file\n"
    yield f"{RunConfig.__doc__}\n"
    yield from _table(settings(RunConfig))
    for name in TABLES:
        yield f"### `[{name}]`\n"
        yield f"{hints[name].__doc__}\n"
        yield from _table(settings(hints[name]))


def _plugins() -> Iterator[str]:
    everything = list(bundled())
    for kind in INTERFACES:
        yield f"## Kind {kind}\n"
        module, _, name = INTERFACES[kind].partition(":")
        yield f"Derives from `{module}.{name}`.\n"
        plain = [(name, cls) for k, name, cls in everything if k is kind and _config(cls) is NoConfig]
        if plain:
            yield "Without settings:\n"
            yield "| name | what it is |"
            yield "| --- | --- |"
            yield from (f"| `{name}` | {_cell(_summary(cls))} |" for name, cls in plain)
            yield ""
        for k, name, cls in everything:
            if k is kind and _config(cls) is not NoConfig:
                yield f"### {kind} `{name}`\n"
                yield f"{_summary(cls)}\n"
                yield from _defaults(cls)
                first = next(other for _, other, seen in everything if _config(seen) is _config(cls))
                yield from _table(settings(_config(cls))) if first == name else [f"The same settings as `{first}`.\n"]
            elif k is kind and getattr(cls, "defaults", None):
                yield f"### {kind} `{name}`\n"
                yield from _defaults(cls)


def _defaults(cls: type[Any]) -> Iterator[str]:
    """What a space or a strategy changes in the defaults of a run."""
    for table, entries in getattr(cls, "defaults", {}).items():
        text = ", ".join(f"`{name} = {_toml(value)}`" for name, value in entries.items())
        yield f"Unless the run says otherwise, in `[{table}]`: {text}.\n"


def _config(cls: type[Any]) -> type[Any]:
    found: type[Any] = vars(cls)["__nastk__"].config
    return found


def _summary(cls: type[Any]) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0].replace("``", "`")


def _table(rows: list[tuple[str, str, str, str, str]]) -> Iterator[str]:
    yield "| name | type | default | bounds | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for name, *cells in rows:
        yield f"| `{name}` | " + " | ".join(_cell(cell) for cell in cells) + " |"
    yield ""


def _cell(text: str) -> str:
    return text if "\\|" in text else text.replace("|", "\\|")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, (list, tuple)) else str(value)


if __name__ == "__main__":
    main()
