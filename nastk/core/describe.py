"""What a plug-in is, in words and plain data: where it comes from, how it is built, and every setting with its bounds.

Imports no torch; loading the plug-in that is asked for may.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_type_hints

import attrs
from attrs import Factory, frozen

from nastk.core.config import Options, Part
from nastk.core.errors import BrokenPlugin, UnknownName, near
from nastk.core.mark import Mark
from nastk.core.registry import INTERFACES, registry
from nastk.core.types import Kind
from nastk.core.words import bounds, is_a, toml, type_words, types_in, values_of

CHANGES_RUNS = (Kind.SPACE, Kind.DATASET, Kind.STRATEGY, Kind.BENCHMARK)
"""The kinds whose ``defaults`` lie below what the user writes."""


@frozen
class Setting:
    """One field of a configuration class."""

    name: str
    type: str
    """In words: ``whole number``, ``text or unset``, ``"hard", "soft"``."""
    default: Any
    """Plain data as a run file has it; ``None`` when it is unset, and when it is required."""
    required: bool
    bounds: str
    """What its validator asks for, in words; empty where every value of the type will do."""
    help: str
    choices: tuple[Any, ...]
    """The values of a ``Literal`` or an enumeration; empty otherwise."""
    part: Kind | None
    """The kind of plug-in that stands here, if one does."""
    settings: tuple[Setting, ...] = ()
    """The fields of a table that is no plug-in."""


@frozen
class SourceLine:
    """Where a class is written."""

    file: str
    line: int


@frozen
class Description:
    """A plug-in as ``nastk describe`` shows it."""

    kind: Kind
    name: str
    summary: str
    text: str
    """The whole docstring."""
    paper: str
    """The publication that it implements; empty when there is none."""
    distribution: str
    version: str
    module: str
    attribute: str
    source: SourceLine | None
    """``None`` for a class that is made in code."""
    signature: str
    interface: str
    """The class that every plug-in of the kind derives from."""
    defaults: Mapping[str, Any]
    """What a space, a data set, a strategy or a benchmark changes in the defaults of a run."""
    settings: tuple[Setting, ...]

    def document(self) -> dict[str, Any]:
        """Everything as JSON can hold it; an infinite number is text."""
        return attrs.asdict(self, value_serializer=_for_json)


def describe(kind: Kind | str, name: str) -> Description:
    """The description of an installed or offered plug-in, which is imported for it.

    Raises :class:`UnknownName` for a kind or name that is not there, and :class:`BrokenPlugin` for a plug-in that
    cannot be imported, or whose settings cannot be read.
    """
    kind = kind_named(kind)
    entry = registry().find(kind, name)
    loaded = registry().load(kind, name)
    mark: Mark = vars(loaded)["__nastk__"]
    origin = f"The {kind} {name!r} ({entry.source.distribution} {entry.source.version}".rstrip() + ")"
    try:
        fields = settings(mark.config)
    except BrokenPlugin as error:
        raise BrokenPlugin(f"{origin} cannot be described: {error}") from error
    defaults = getattr(loaded, "defaults", {}) if kind in CHANGES_RUNS else {}
    if not isinstance(defaults, Mapping):
        raise BrokenPlugin(f"{origin} cannot be described: its defaults must be a table of run settings, got {defaults!r}.")
    return Description(
        kind=kind,
        name=name,
        summary=entry.summary,
        text=inspect.cleandoc(loaded.__doc__ or ""),
        paper=mark.paper,
        distribution=entry.source.distribution,
        version=entry.source.version,
        module=entry.module,
        attribute=entry.attribute,
        source=_source(loaded),
        signature=signature(loaded),
        interface=INTERFACES[kind].replace(":", "."),
        defaults=_plain(defaults),
        settings=fields,
    )


def kind_named(name: str) -> Kind:
    """The kind of this name; raises :class:`UnknownName` with near matches."""
    kinds = [kind.value for kind in Kind]
    if name not in kinds:
        raise UnknownName(f"There is no kind of plug-in named {name!r}.{near(name, kinds)} Kinds: {', '.join(kinds)}.")
    return Kind(name)


def signature(cls: type[Any]) -> str:
    """How a class is built, as text: ``Gated(shape: Shape, config: GatedConfig)``."""
    owner = next(c for c in cls.__mro__ if "__init__" in vars(c))
    if owner is object or owner.__module__.partition(".")[0] == "torch":  # a module's own takes nothing that matters
        return f"{cls.__name__}()"
    try:
        parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
    except Exception:  # no Python function, or annotations that Python 3.14 evaluates and cannot
        return f"{cls.__name__}(...)"
    return f"{cls.__name__}({', '.join(map(_parameter, parameters))})"


def settings(config: type[Any], code: str = "", within: tuple[type[Any], ...] = ()) -> tuple[Setting, ...]:
    """Every field of a configuration class; ``code`` is put around values in the words, a backtick for Markdown.

    ``within`` are the tables that this one lies in. Raises :class:`BrokenPlugin` for what is no attrs class, and for
    annotations that cannot be looked up.
    """
    if not isinstance(config, type) or not attrs.has(config):
        raise BrokenPlugin(f"its config must be a frozen attrs class, got {config!r}.")
    where = f"{config.__module__}.{config.__qualname__}"
    try:
        hints = get_type_hints(config)
    except Exception as error:  # annotations are text that a stranger wrote: evaluating them may raise anything
        raise BrokenPlugin(
            f"the annotations of {where} cannot be looked up ({type(error).__name__}: {error}); "
            "the class and what it names must stand at the top of its module."
        ) from error
    if bare := [a.name for a in attrs.fields(config) if a.name not in hints]:
        raise BrokenPlugin(f"{where} has settings without a type: {', '.join(bare)}.")
    default = _defaults(config, where)
    found = []
    for a in attrs.fields(config):
        inner = list(types_in(hints[a.name]))
        part = next((t for t in inner if is_a(t, Part)), None)
        table = next((t for t in inner if isinstance(t, type) and attrs.has(t) and not is_a(t, Part)), None)
        found.append(
            Setting(
                name=a.name,
                type=type_words(hints[a.name], code),
                default=_plain(default.get(a.name)),
                required=a.default is attrs.NOTHING,
                bounds=bounds(a.validator, code),
                help=str(a.metadata.get("help", "")),
                choices=tuple(value for t in inner for value in values_of(t)),
                part=getattr(part, "kind", None),
                settings=settings(table, code, (*within, config)) if table and table not in (*within, config) else (),
            )
        )
    return tuple(found)


def default_words(setting: Setting, code: str = "") -> str:
    """A default as it would stand in a run file."""
    if setting.required:
        return "required"
    if setting.settings and setting.default is not None:
        return "see below"
    return "unset" if setting.default is None else f"{code}{toml(setting.default)}{code}"


def _defaults(config: type[Any], where: str) -> dict[str, Any]:
    """The defaults of those fields that have one."""
    fields = [a for a in attrs.fields(config) if a.default is not attrs.NOTHING]
    try:
        made = config()
        return {a.name: getattr(made, a.name) for a in fields}
    except Exception:  # a required setting, or one that does not work: each default for itself, which tells them apart
        return {a.name: _alone(a, where) for a in fields}


def _alone(attribute: attrs.Attribute[Any], where: str) -> Any:
    default: Any = attribute.default
    if not isinstance(default, Factory):  # type: ignore[arg-type]  # stubbed as a function
        return default
    if default.takes_self:  # it follows from the others, one of which is required
        return None
    try:
        return default.factory()
    except Exception as error:  # the factory is a stranger's
        raise BrokenPlugin(f"the default of {attribute.name} in {where} cannot be made: {error}") from error


def _plain(value: Any) -> Any:
    """Typed values as plain data; a plug-in is its name, or a table of that and of what differs from its defaults."""
    if isinstance(value, Options):
        values = [_plain(option) for option in value.values]
        return {"choices": values} if value.searched else values[0]
    if isinstance(value, Part):
        usual = _defaults(type(value.config), value.name)
        own = {a.name: getattr(value.config, a.name) for a in attrs.fields(type(value.config))}
        changed = {name: _plain(v) for name, v in own.items() if name not in usual or v != usual[name]}
        return {"name": value.name, **changed} if changed else value.name
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(inner) for inner in value), key=str)
    if attrs.has(type(value)):
        return {a.name: _plain(v) for a in attrs.fields(type(value)) if (v := getattr(value, a.name)) is not None}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _for_json(_instance: object, _field: object, value: Any) -> Any:
    if isinstance(value, Kind):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _source(cls: type[Any]) -> SourceLine | None:
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # made in code, or typed at a prompt
        return None
    return SourceLine(file, line) if file else None


def _parameter(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")  # type: ignore[call-overload]
    hint, default = parameter.annotation, parameter.default
    text = f"{star}{parameter.name}"
    if hint is not parameter.empty:
        short = hint if isinstance(hint, str) else hint.__qualname__ if isinstance(hint, type) else inspect.formatannotation(hint)
        text += f": {short}"
    if default is parameter.empty:
        return text
    return f"{text}{' = ' if ':' in text else '='}{default!r}"
