"""Typed configuration: frozen attrs classes, one cattrs converter, every fault at once, each with its path."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import attrs
from attrs import Factory, field, frozen
from cattrs import Converter
from cattrs.errors import IterableValidationError

from nastk.core.errors import ConfigError, NastkError, near
from nastk.core.mark import Mark, NoConfig
from nastk.core.registry import registry
from nastk.core.types import Kind, Scalar

T = TypeVar("T")


@frozen
class Part:
    """A plug-in chosen by name, with its settings. Written ``"plif"`` or ``{ name = "plif", tau = 2.0 }``."""

    kind: ClassVar[Kind]
    name: str
    config: Any = field(factory=NoConfig)

    @classmethod
    def named(cls, name: str, **settings: Any) -> Part:
        """A part of this kind with settings checked as those of a file are."""
        return structure({"name": name, **settings}, cls, source=f"{cls.kind} {name!r}")

    def replaced(self, **settings: Any) -> Part:
        """The same plug-in with some settings replaced."""
        document = {"name": self.name, **unstructure(self.config)}
        return structure(overlay(document, settings), type(self), source=f"{self.kind} {self.name!r}") if settings else self

    def build(self, *args: Any) -> Any:
        """An instance of the plug-in; its config is the last argument where it declares one."""
        loaded = registry().load(self.kind, self.name)
        return loaded(*args) if isinstance(self.config, NoConfig) else loaded(*args, self.config)

    def flat(self) -> dict[str, Scalar]:
        """The settings that differ from their defaults, nested parts flattened with dots: the form of genotypes."""
        flat: dict[str, Scalar] = {}
        for attribute in attrs.fields(type(self.config)):
            value = getattr(self.config, attribute.name)
            if isinstance(value, Part):
                default = _default_of(attribute)
                if not isinstance(default, Part) or default.name != value.name:
                    flat[attribute.name] = value.name
                flat |= {f"{attribute.name}.{name}": v for name, v in value.flat().items()}
            elif value != _default_of(attribute):
                flat[attribute.name] = int(value) if isinstance(value, bool) else value
        return flat

    @classmethod
    def from_flat(cls, name: str, flat: Mapping[str, Scalar]) -> Part:
        """The inverse of :meth:`flat`; raises :class:`ConfigError` for settings the plug-in does not have."""
        nested: dict[str, Any] = {}
        for path, value in sorted(flat.items()):
            _place(nested, path.split("."), value)
        config = getattr(_mark(cls.kind, name), "config", NoConfig)
        hints = get_type_hints(config)
        for key, value in nested.items():
            if hints.get(key) is bool and value in (0, 1):
                nested[key] = bool(value)
        return structure({**nested, "name": name}, cls, source=f"{cls.kind} {name!r} of a genotype")


class NeuronPart(Part):
    kind = Kind.NEURON


class SurrogatePart(Part):
    kind = Kind.SURROGATE


class AttentionPart(Part):
    kind = Kind.ATTENTION


class SpacePart(Part):
    kind = Kind.SPACE


class StrategyPart(Part):
    kind = Kind.STRATEGY


class DatasetPart(Part):
    kind = Kind.DATASET


class ExecutorPart(Part):
    kind = Kind.EXECUTOR


class EstimatorPart(Part):
    kind = Kind.ESTIMATOR


@frozen
class Options(Generic[T]):
    """A value that is fixed (one option, the default) or searched: ``2`` or ``{ choices = [1, 2, 4] }``."""

    values: tuple[T, ...]

    @property
    def searched(self) -> bool:
        """Whether the search has to decide."""
        return len(self.values) > 1


def default_part(cls: type[Part], name: str) -> Any:
    """An attrs default: the plug-in of this name with its own defaults (loaded when the default is used)."""
    return Factory(lambda: cls.named(name))


class _Faults(Exception):
    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = list(faults)

    def below(self, step: str) -> list[tuple[str, str]]:
        return [(step + ("" if path.startswith("[") or not path else ".") + path, text) for path, text in self.faults]


def _mark(kind: Kind, name: str, where: str = "") -> Mark:
    mark: Mark = vars(registry().load(kind, name, where))["__nastk__"]
    return mark


def _default_of(attribute: attrs.Attribute[Any]) -> Any:
    default = attribute.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _faults_of(error: Exception) -> _Faults:
    if isinstance(error, _Faults):
        return error
    if isinstance(error, IterableValidationError):
        return _Faults([f for i, e in enumerate(error.exceptions) for f in _Faults(_faults_of(e).faults).below(f"[{i}]")])
    return _Faults([("", str(error))])


def _structure_attrs(value: Any, cls: type[Any]) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise _Faults([("", f"expected a table, got {value!r}")])
    hints = get_type_hints(cls)
    fields = {a.name: a for a in attrs.fields(cls)}
    faults = [(str(k), f"unknown setting.{near(str(k), fields)} Known: {', '.join(fields) or 'none'}") for k in value if k not in fields]
    known = {}
    for name, attribute in fields.items():
        if name not in value:
            if attribute.default is attrs.NOTHING:
                faults.append((name, "is required"))
            continue
        try:
            raw = _with_default_name(value[name], attribute, hints[name])
            known[name] = converter.structure(raw, hints[name])
            if attribute.validator is not None:
                attribute.validator(None, attribute, known[name])
        except Exception as error:  # every fault is collected, none is lost: they are raised together below
            faults += _faults_of(error).below(name)
    if faults:
        raise _Faults(faults)
    try:
        return cls(**known)
    except (ValueError, TypeError) as error:  # a check across fields
        raise _Faults([("", str(error))]) from error


def _with_default_name(value: Any, attribute: attrs.Attribute[Any], hint: Any) -> Any:
    """``[strategy] epochs = 3`` without a name changes the default strategy's epochs."""
    inner = get_args(hint)[0] if get_origin(hint) is Options else hint
    is_part = isinstance(inner, type) and issubclass(inner, Part)
    if is_part and isinstance(value, Mapping) and not {"name", "choices"} & set(value) and attribute.default is not attrs.NOTHING:
        default = _default_of(attribute)
        default = default.values[0] if isinstance(default, Options) else default
        return {**value, "name": default.name}
    return value


def _structure_part(value: Any, cls: type[Part]) -> Part:
    if isinstance(value, cls):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise _Faults([("", f"expected the name of a {cls.kind} or a table with a name, got {value!r}")])
    name = value["name"]
    config = _mark(cls.kind, name).config
    return cls(name, converter.structure({k: v for k, v in value.items() if k != "name"}, config))


def _structure_options(value: Any, cls: Any) -> Options[Any]:
    if isinstance(value, Options):
        return value
    (inner,) = get_args(cls)
    if isinstance(value, Mapping) and "choices" in value:
        choices = value["choices"]
        if len(value) > 1 or not isinstance(choices, (list, tuple)) or not choices:
            raise _Faults([("choices", f"expected a non-empty list and nothing beside it, got {dict(value)!r}")])
        found = converter.structure(list(choices), tuple[inner, ...])
        if len(set(found)) < len(found):
            raise _Faults([("choices", f"has an option twice: {choices!r}")])
        return Options(found)
    return Options((converter.structure(value, inner),))


def _structure_scalar(value: Any, cls: type[Any]) -> Any:
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (cls is not bool and isinstance(value, bool)):
        words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        raise ValueError(f"expected {words[cls]}, got {value!r}")
    return value


def _structure_literal(value: Any, cls: Any) -> Any:
    allowed = get_args(cls)
    if value not in allowed or isinstance(value, bool) not in {isinstance(a, bool) for a in allowed}:
        hint = near(value, [a for a in allowed if isinstance(a, str)]) if isinstance(value, str) else ""
        raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, got {value!r}.{hint}")
    return value


def _unstructure_part(part: Part) -> Any:
    settings = converter.unstructure(part.config)
    return {"name": part.name, **settings} if settings else part.name


def _unstructure_options(options: Options[Any]) -> Any:
    values = [converter.unstructure(v) for v in options.values]
    return {"choices": values} if options.searched else values[0]


def _unstructure_attrs(value: Any) -> dict[str, Any]:
    pairs = {a.name: getattr(value, a.name) for a in attrs.fields(type(value))}
    return {name: converter.unstructure(v) for name, v in pairs.items() if v is not None}


converter = Converter()
converter.register_structure_hook_func(attrs.has, _structure_attrs)
converter.register_structure_hook_func(lambda t: isinstance(t, type) and issubclass(t, Part), _structure_part)
converter.register_structure_hook_func(lambda t: get_origin(t) is Options, _structure_options)
converter.register_structure_hook_func(lambda t: get_origin(t) is Literal, _structure_literal)
for _scalar in (int, float, str, bool):
    converter.register_structure_hook(_scalar, _structure_scalar)
converter.register_unstructure_hook_func(attrs.has, _unstructure_attrs)
converter.register_unstructure_hook_func(lambda t: isinstance(t, type) and issubclass(t, Part), _unstructure_part)
converter.register_unstructure_hook_func(lambda t: t is Options or get_origin(t) is Options, _unstructure_options)


def structure(document: Any, cls: type[T], source: str) -> T:
    """A typed value from plain data. Raises :class:`ConfigError` with all faults, each with its path."""
    try:
        return converter.structure(document, cls)
    except (_Faults, IterableValidationError) as error:
        faults = _faults_of(error).faults
        raise ConfigError([f"{path}: {text}" if path else text for path, text in faults], source) from None
    except NastkError as error:
        raise ConfigError([str(error)], source) from error


def unstructure(value: Any) -> Any:
    """Plain data (tables, lists, scalars) from a typed value; ``None`` entries are left out, as TOML has none."""
    return converter.unstructure(value)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain data; :class:`ConfigError` when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(["there is no such file"], str(path)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"not a readable TOML file: {error}"], str(path)) from error


def assign(document: dict[str, Any], assignment: str) -> None:
    """Apply ``path=value`` (the value in TOML, or bare text) to plain data in place."""
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError([f"expected path=value, got {assignment!r}"], "--set")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    _place(document, steps, value)


def _place(document: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    *path, last = steps
    for step in path:
        inner = document.get(step, {})
        document[step] = {"name": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, Mapping) else {}
        document = document[step]
    existing = document.get(last)
    named = isinstance(existing, Mapping) and isinstance(value, str) and "name" not in existing
    document[last] = {**existing, "name": value} if named and existing is not None else value


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with ``top``'s entries over ``base``'s, table by table; a part of another name replaces the whole part."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and value.get("name", below.get("name")) == below.get("name"):
            merged[key] = overlay(below, value)
        elif isinstance(below, str) and isinstance(value, Mapping) and "name" not in value and "choices" not in value:
            merged[key] = {"name": below, **value}
        else:
            merged[key] = value
    return merged
