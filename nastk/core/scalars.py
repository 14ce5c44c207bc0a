"""Single values of a configuration: numbers, texts, truths and choices, each of its own type."""

from __future__ import annotations

from typing import Any, get_args

from nastk.core.errors import near


def scalar(value: Any, cls: type[Any]) -> Any:
    """The value as an int, float, str or bool, without conversion but of int to float. Raises ``ValueError``."""
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if not isinstance(value, (int, float) if cls is float else cls) or (cls is not bool and isinstance(value, bool)):
        raise ValueError(f"expected {words[cls]}, got {value!r}")
    if cls is not float:
        return value
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"expected a number that a float can hold, got {value!r}") from None
    if number != number:
        raise ValueError("expected a number, got nan")
    return number


def literal(value: Any, cls: Any) -> Any:
    """The option of a ``Literal`` that the value is. Raises ``ValueError``, near matches named."""
    allowed = get_args(cls)
    for option in allowed:  # 1, 1.0 and true are equal, but not the same setting
        if isinstance(value, type(option)) and isinstance(value, bool) == isinstance(option, bool) and value == option:
            return option
    hint = near(value, [a for a in allowed if isinstance(a, str)]) if isinstance(value, str) else ""
    raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, got {value!r}.{hint}")
