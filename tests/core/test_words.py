"""Types and validators in words, for those of attrs and for a stranger's."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from attrs import frozen, validators
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import EstimatorPart, NeuronPart, Options
from nastk.core.words import bounds, toml, type_words, types_in, values_of

COMPARISONS = {"at least": validators.ge, "above": validators.gt, "at most": validators.le, "below": validators.lt}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class InnerConfig:
    x: int = 3


def odd(_instance: object, _attribute: object, value: int) -> None:
    """attrs validator: an odd number, 0.5 of all. Raises ``ValueError``."""


def silent(_instance: object, _attribute: object, value: int) -> None:
    pass


def each(validator: Any) -> Any:
    note = [1, 2]  # a cell that is no validator

    def check(instance: Any, attribute: Any, values: Any) -> None:
        for value in values[: len(note)]:
            validator(instance, attribute, value)

    return check


class Even:
    """Even numbers only."""

    def __call__(self, _instance: object, _attribute: object, value: int) -> None:
        pass


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "whole number"),
        (float, "number"),
        (str, "text"),
        (bool, "`true` or `false`"),
        (Any, "anything"),
        (int | None, "whole number or unset"),
        (Optional[float], "number or unset"),  # noqa: UP045  both ways to write it
        (int | str, "whole number or text"),
        (Literal["a", 2, True], '`"a"`, `2`, `true`'),
        (Literal["a"] | None, '`"a"` or unset'),
        (Colour, '`"red"`, `"blue"`'),
        (tuple[str, ...], "list of text"),
        (tuple[int, int], "list of whole number"),
        (tuple[int, str], "list of whole number, text"),
        (list[float], "list of number"),
        (tuple[Literal[1, 2], ...], "list of `1`, `2`"),
        (Mapping[str, float], "table of number"),
        (NeuronPart, "neuron"),
        (EstimatorPart | None, "estimator or unset"),
        (Options[NeuronPart], "neuron, or choices"),
        (Options[int], "whole number, or choices"),
        (InnerConfig, "table `[inner]`"),
        (Path, "Path"),
        (bytes, "bytes"),
    ],
)
def test_types(hint: Any, words: str) -> None:
    assert type_words(hint, "`") == words
    assert type_words(hint) == words.replace("`", "")


@pytest.mark.parametrize(
    ("validator", "words"),
    [
        (None, ""),
        (validators.ge(0), "at least 0"),
        (validators.and_(validators.gt(0), validators.lt(1)), "above 0, below 1"),
        (validators.and_(silent, validators.lt(1)), "below 1"),
        (validators.optional(validators.le(3)), "at most 3"),
        (validators.optional([validators.ge(1), odd]), "at least 1, an odd number, 0.5 of all"),
        (validators.in_(range(1, 9)), "1 to 8"),
        (validators.in_(range(0, 10, 3)), "0 to 9 in steps of 3"),
        (validators.in_(("b", "a", 1)), 'one of `"b"`, `"a"`, `1`'),
        (validators.in_({"b", "a"}), 'one of `"a"`, `"b"`'),
        (validators.in_(Colour), 'one of `"red"`, `"blue"`'),
        (validators.matches_re("a|b"), "matches `a|b`"),
        (validators.min_len(2), "at least 2 long"),
        (validators.max_len(5), "at most 5 long"),
        (validators.not_(validators.in_((3,))), "not one of `3`"),
        (validators.not_(silent), ""),
        (validators.instance_of(int), "whole number"),
        (validators.deep_iterable(validators.ge(1)), "each at least 1"),
        (validators.deep_iterable(validators.ge(1), validators.min_len(3)), "at least 3 long, each at least 1"),
        (odd, "an odd number, 0.5 of all"),
        (silent, ""),
        (lambda *_: None, ""),
        (each(validators.ge(1)), "at least 1"),
        (each(odd), "an odd number, 0.5 of all"),
        (each(each(validators.lt(4))), "below 4"),
        (functools.partial(odd, None), "an odd number, 0.5 of all"),
        (Even(), "Even numbers only"),
        (validators.deep_mapping(validators.instance_of(str), validators.ge(1)), "deep_mapping validator"),
    ],
)
def test_validators(validator: Any, words: str) -> None:
    if words == "deep_mapping validator":  # of attrs, and not among the known ones: by its own name
        assert bounds(validator).startswith(words)
        return
    assert bounds(validator, "`") == words
    assert bounds(validator) == words.replace("`", "")


@pytest.mark.skipif(not hasattr(validators, "or_"), reason="attrs 24.1 and later")
def test_either_of_two_validators() -> None:
    assert bounds(validators.or_(validators.lt(0), validators.gt(1))) == "below 0 or above 1"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(sorted(COMPARISONS)), st.integers() | st.floats(allow_nan=False)), min_size=1))
def test_every_part_of_a_conjunction_is_said_in_order(parts: list[tuple[str, float]]) -> None:
    made = validators.and_(*(COMPARISONS[words](bound) for words, bound in parts))
    said = ", ".join(f"{words} {bound}" for words, bound in parts)
    assert bounds(made) == bounds(validators.optional(made)) == bounds(each(made)) == said


SCALARS = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))


@settings(deadline=None, max_examples=100)
@given(
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), inner, max_size=3)
        ),
    )
)
def test_plain_data_is_written_as_a_run_file_has_it(value: Any) -> None:
    text = toml(value).replace("\x7f", "\\u007f")  # the one character that JSON writes and TOML does not
    assert tomllib.loads(f"x = {text}")["x"] == value


def test_what_a_type_is_made_of() -> None:
    assert values_of(Literal[1, "a"]) == (1, "a")
    assert values_of(Colour) == ("red", "blue")
    assert values_of(int) == ()
    assert NeuronPart in types_in(tuple[Options[NeuronPart] | None, ...])
    assert "a" not in list(types_in(Literal["a"]))
