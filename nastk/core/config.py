"""Typed configuration: frozen attrs classes, one cattrs converter, every fault at once, each with its path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

import attrs
from attrs import Factory, field, frozen
from attrs.validators import min_len
from cattrs import Converter

from nastk.core.document import overlay, place
from nastk.core.errors import ConfigError, NastkError, near
from nastk.core.mark import Mark, NoConfig
from nastk.core.registry import registry
from nastk.core.scalars import literal, scalar
from nastk.core.types import Kind, Scalar

T = TypeVar("T")


@frozen
class Part:
    """A plug-in chosen by name, with its settings. Written ``"plif"`` or ``{ name = "plif", tau = 2.0 }``."""

    kind: ClassVar[Kind]
    name: str
    config: Any = field(factory=NoConfig)

    @classmethod
    def named(cls, name: str, **settings: Any) -> Self:
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
                default = default_of(attribute)
                if not isinstance(default, Part) or default.name != value.name:
                    flat[attribute.name] = value.name
                flat |= {f"{attribute.name}.{name}": v for name, v in value.flat().items()}
            elif value != default_of(attribute):
                flat[attribute.name] = int(value) if isinstance(value, bool) else value
        return flat

    @classmethod
    def from_flat(cls, name: str, flat: Mapping[str, Scalar]) -> Part:
        """The inverse of :meth:`flat`; raises :class:`ConfigError` for settings the plug-in does not have."""
        source = f"{cls.kind} {name!r} of a genotype"
        nested: dict[str, Any] = {}
        for path, value in sorted(flat.items()):
            place(nested, path.split("."), value)
        if "name" in nested:
            raise ConfigError([f"name: is no setting, got {nested['name']!r}"], source)
        try:
            settings = _with_truths(nested, _config_of(cls.kind, name))
        except NastkError as error:  # a plug-in that is named in it is not there
            raise ConfigError([str(error)], source) from error
        return structure({**settings, "name": name}, cls, source)


class NeuronPart(Part):
    kind = Kind.NEURON


class SurrogatePart(Part):
    kind = Kind.SURROGATE


class AttentionPart(Part):
    kind = Kind.ATTENTION


class OperationPart(Part):
    kind = Kind.OPERATION


class SpacePart(Part):
    kind = Kind.SPACE


class StrategyPart(Part):
    kind = Kind.STRATEGY


class DatasetPart(Part):
    kind = Kind.DATASET


class TaskPart(Part):
    kind = Kind.TASK


class EstimatorPart(Part):
    kind = Kind.ESTIMATOR


class ExecutorPart(Part):
    kind = Kind.EXECUTOR


class ReporterPart(Part):
    kind = Kind.REPORTER


class ExporterPart(Part):
    kind = Kind.EXPORTER


class BenchmarkPart(Part):
    kind = Kind.BENCHMARK


def part_of(kind: Kind) -> type[Part]:
    """The class of parts of this kind."""
    return next(cls for cls in Part.__subclasses__() if cls.kind is kind)


@frozen
class Options(Generic[T]):
    """A value that is fixed (one option, the default) or searched: ``2`` or ``{ choices = [1, 2, 4] }``."""

    values: tuple[T, ...] = field(validator=min_len(1))

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


def _config_of(kind: Kind, name: str) -> type[Any]:
    return _mark(kind, name).config


def default_of(attribute: attrs.Attribute[Any]) -> Any:
    """The default of a field as an instance has it; ``attrs.NOTHING`` without one."""
    default: Any = attribute.default
    default = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]  # stubbed as a function
    convert: Any = attribute.converter
    return default if convert is None or default is attrs.NOTHING else convert(default)


def _faults_of(error: Exception) -> _Faults:
    return error if isinstance(error, _Faults) else _Faults([("", _message(error))])


def _message(error: Exception) -> str:
    # A validator of attrs raises with (message, attribute, allowed, value).
    first = error.args[0] if error.args else ""
    return first if isinstance(first, str) and first else str(error) or type(error).__name__


def _with_truths(nested: Mapping[str, Any], config: type[Any]) -> dict[str, Any]:
    """The 0 and 1 of a genotype as false and true again, where the config wants them; nested parts included."""
    hints = get_type_hints(config)
    fields = attrs.fields_dict(config)
    found = dict(nested)
    for key, value in nested.items():
        hint: Any = hints.get(key)
        if hint is bool and value in (0, 1):
            found[key] = bool(value)
        elif isinstance(value, Mapping) and _is_part(hint):
            found[key] = table = _with_default_name(value, fields[key], hint)
            if isinstance(table.get("name"), str):
                found[key] = _with_truths(table, _config_of(hint.kind, table["name"]))
    return found


def _structure_attrs(value: Any, cls: type[Any]) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise _Faults([("", f"expected a table, got {value!r}")])
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError) as error:  # a plug-in's mistake: the names are resolved in its own module
        raise _Faults([("", f"the settings {cls.__name__} of {cls.__module__} cannot be read: {error}")]) from error
    fields = {a.name: a for a in attrs.fields(cls)}
    known_names = ", ".join(fields) or "none"
    faults = [(str(k), f"unknown setting.{near(str(k), fields)} Known: {known_names}") for k in value if k not in fields]
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
        raise _faults_of(error) from error


def _with_default_name(value: Any, attribute: attrs.Attribute[Any], hint: Any) -> Any:
    """``[strategy] epochs = 3`` without a name changes the default strategy's epochs."""
    inner = get_args(hint)[0] if _is_options(hint) else hint
    if not _is_part(inner) or not isinstance(value, Mapping) or {"name", "choices"} & set(value):
        return value
    default = None if attribute.default is attrs.NOTHING else default_of(attribute)
    default = default.values[0] if isinstance(default, Options) else default
    return {**value, "name": default.name} if isinstance(default, Part) else value


def _structure_part(value: Any, cls: type[Part]) -> Part:
    if isinstance(value, cls):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise _Faults([("", f"expected the name of a {cls.kind} or a table with a name, got {value!r}")])
    name = value["name"]
    return cls(name, converter.structure({k: v for k, v in value.items() if k != "name"}, _config_of(cls.kind, name)))


def _structure_options(value: Any, cls: Any) -> Options[Any]:
    if isinstance(value, Options):
        return value
    (inner,) = get_args(cls)
    if isinstance(value, Mapping) and "choices" in value:
        choices = value["choices"]
        if len(value) > 1 or not isinstance(choices, (list, tuple)) or not choices:
            raise _Faults([("choices", f"expected a non-empty list and nothing beside it, got {dict(value)!r}")])
        found = _each_of(choices, [inner] * len(choices), "choices")
        if any(option in found[:i] for i, option in enumerate(found)):
            raise _Faults([("choices", f"has an option twice: {choices!r}")])
        return Options(found)
    return Options((converter.structure(value, inner),))


def _structure_tuple(value: Any, cls: Any) -> tuple[Any, ...]:
    inner = get_args(cls)
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, got {value!r}")
    if inner[-1] is Ellipsis:
        return _each_of(value, inner[:1] * len(value))
    if len(value) != len(inner):
        raise ValueError(f"expected a list of {len(inner)}, got {value!r}")
    return _each_of(value, inner)


def _each_of(values: Sequence[Any], inner: Iterable[Any], where: str = "") -> tuple[Any, ...]:
    found, faults = [], []
    for i, (value, cls) in enumerate(zip(values, inner, strict=True)):
        try:
            found.append(converter.structure(value, cls))
        except Exception as error:  # collected, and raised together below
            faults += _faults_of(error).below(f"{where}[{i}]")
    if faults:
        raise _Faults(faults)
    return tuple(found)


def _unstructure_part(part: Part) -> Any:
    settings = converter.unstructure(part.config)
    return {"name": part.name, **settings} if settings else part.name


def _unstructure_options(options: Options[Any]) -> Any:
    values = [converter.unstructure(v) for v in options.values]
    return {"choices": values} if options.searched else values[0]


def _unstructure_attrs(value: Any) -> dict[str, Any]:
    pairs = {a.name: getattr(value, a.name) for a in attrs.fields(type(value))}
    return {name: converter.unstructure(v) for name, v in pairs.items() if v is not None}


def _is_part(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Part)


def _is_options(hint: Any) -> bool:
    return get_origin(hint) is Options


def _is_literal(hint: Any) -> bool:
    return get_origin(hint) is Literal


def _is_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple


converter = Converter()
converter.register_structure_hook_func(attrs.has, _structure_attrs)
converter.register_structure_hook_func(_is_part, _structure_part)
converter.register_structure_hook_func(_is_options, _structure_options)
converter.register_structure_hook_func(_is_literal, literal)
converter.register_structure_hook_func(_is_tuple, _structure_tuple)
for _type in (int, float, str, bool):
    converter.register_structure_hook(_type, scalar)
converter.register_unstructure_hook_func(attrs.has, _unstructure_attrs)
converter.register_unstructure_hook_func(_is_part, _unstructure_part)
converter.register_unstructure_hook_func(lambda t: t is Options or _is_options(t), _unstructure_options)


def structure(document: Any, cls: type[T], source: str) -> T:
    """A typed value from plain data. Raises :class:`ConfigError` with all faults, each with its path."""
    try:
        return converter.structure(document, cls)
    except _Faults as error:
        raise ConfigError([f"{path}: {text}" if path else text for path, text in error.faults], source) from None
    except NastkError as error:
        raise ConfigError([str(error)], source) from error


def unstructure(value: Any) -> Any:
    """Plain data (tables, lists, scalars) from a typed value; ``None`` entries are left out, as TOML has none."""
    return converter.unstructure(value)
