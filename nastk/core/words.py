"""Settings in words: what a type, and what a validator, asks of the value that somebody writes."""

from __future__ import annotations

import functools
import inspect
import json
import operator
import re
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from nastk.core.config import Options, Part

_SCALARS = {int: "whole number", float: "number", str: "text", type(None): "unset", Any: "anything"}
_COMPARED = {operator.ge: "at least", operator.gt: "above", operator.le: "at most", operator.lt: "below"}


def type_words(hint: Any, code: str = "") -> str:
    """A type as a reader of run files wants it; ``code`` is put around values, a backtick for Markdown."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Options:
        return f"{type_words(args[0], code)}, or choices"
    if values := values_of(hint):
        return ", ".join(f"{code}{toml(value)}{code}" for value in values)
    if origin in (Union, UnionType):
        return " or ".join(type_words(arg, code) for arg in args)
    if is_a(origin, Mapping):
        return f"table of {type_words(args[-1], code)}"
    if is_a(origin, Collection):
        return "list of " + ", ".join(dict.fromkeys(type_words(arg, code) for arg in args if arg is not ...))
    if hint is bool:
        return f"{code}true{code} or {code}false{code}"
    if is_a(hint, Part):
        return str(getattr(hint, "kind", "plug-in"))
    if isinstance(hint, type) and attrs.has(hint):
        return f"table {code}[{hint.__name__.removesuffix('Config').lower()}]{code}"
    return _SCALARS.get(hint) or str(getattr(hint, "__name__", hint))


def bounds(validator: Any, code: str = "") -> str:
    """What a validator asks for; empty where there is nothing to say.

    Those of attrs are known; any other speaks by the first sentence of its docstring.
    """
    if validator is None:
        return ""
    match _attrs_name(validator):
        case "_AndValidator":
            return _joined(validator._validators, ", ", code)
        case "_OrValidator":
            return _joined(validator.validators, " or ", code)
        case "_NotValidator":
            return _prefixed("not ", validator.validator, code)
        case "_OptionalValidator":
            return bounds(validator.validator, code)
        case "_DeepIterable":
            words = [bounds(validator.iterable_validator, code), _prefixed("each ", validator.member_validator, code)]
            return ", ".join(filter(None, words))
        case "_NumberValidator":
            return f"{_COMPARED.get(validator.compare_func, validator.compare_op)} {validator.bound}"
        case "_MinLengthValidator":
            return f"at least {validator.min_length} long"
        case "_MaxLengthValidator":
            return f"at most {validator.max_length} long"
        case "_MatchesReValidator":
            return f"matches {code}{validator.pattern.pattern}{code}"
        case "_InValidator":
            # Newer attrs makes a tuple of a set, whose order changes from process to process, and keeps the set beside it.
            return _one_of(getattr(validator, "_original_options", validator.options), code)
        case "_InstanceOfValidator":
            return type_words(validator.type, code)
        case "":
            return _own_words(validator, code)
    return repr(validator).strip("<>")


def toml(value: Any) -> str:
    """Plain data as a run file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + " }" if value else "{}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, (list, tuple)) else str(value)


def types_in(hint: Any) -> Iterator[Any]:
    """The hint, and those it is made of."""
    yield hint
    if get_origin(hint) is not Literal:
        for arg in get_args(hint):
            yield from types_in(arg)


def values_of(hint: Any) -> tuple[Any, ...]:
    """The values of a ``Literal`` or an enumeration; of any other type, none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(member.value for member in hint) if is_a(hint, Enum) else ()


def is_a(hint: Any, cls: type[Any]) -> bool:
    """Whether a hint is a class, and a sub-class of this one."""
    return isinstance(hint, type) and issubclass(hint, cls)


def _attrs_name(validator: Any) -> str:
    """The class of a validator of attrs; empty for one of somebody else."""
    cls = type(validator)
    return cls.__name__ if cls.__module__.partition(".")[0] == "attr" else ""


def _joined(validators: Collection[Any], between: str, code: str) -> str:
    return between.join(words for inner in validators if (words := bounds(inner, code)))


def _prefixed(prefix: str, validator: Any, code: str) -> str:
    words = bounds(validator, code)
    return prefix + words if words else ""


def _one_of(options: Any, code: str) -> str:
    if isinstance(options, range) and options:
        step = "" if options.step == 1 else f" in steps of {options.step}"
        return f"{options[0]} to {options[-1]}{step}"
    values = [option.value if isinstance(option, Enum) else option for option in options]
    if isinstance(options, (set, frozenset)):
        values.sort(key=str)
    return "one of " + ", ".join(f"{code}{toml(value)}{code}" for value in values)


def _own_words(validator: Any, code: str) -> str:
    """The first sentence of a validator's docstring, or what is said of the validators that it wraps."""
    if isinstance(validator, functools.partial):
        return bounds(validator.func, code)
    if doc := " ".join((validator.__doc__ or "").split()):
        return re.split(r"\.(?:\s|$)", doc, maxsplit=1)[0].removeprefix("attrs validator: ")
    cells = [cell.cell_contents for cell in getattr(validator, "__closure__", None) or ()]
    return _joined([inner for inner in cells if _attrs_name(inner) or inspect.isfunction(inner)], ", ", code)
