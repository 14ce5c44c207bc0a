"""What a law is: a function that says what must hold of every plug-in of a kind. ``check`` runs it; pytest may."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from nastk.core.config import Part
from nastk.core.errors import NastkError
from nastk.core.types import Kind

Subject = TypeVar("Subject")
Case = TypeVar("Case")


class LawBroken(Exception):
    """What was seen, where the law says otherwise."""


class DoesNotApply(Exception):
    """Why a law says nothing about this plug-in, or nothing under these settings."""


def ensure(holds: object, otherwise: str) -> None:
    """Raise :class:`LawBroken` with this sentence unless it holds."""
    if not holds:
        raise LawBroken(otherwise)


def applies(condition: object, reason: str) -> None:
    """Raise :class:`DoesNotApply` with this reason unless the condition is true."""
    if not condition:
        raise DoesNotApply(reason)


@frozen
class Law:
    """One law: ``holds(subject, case)`` returns, or raises :class:`LawBroken`, or anything else, which breaks it too."""

    name: str
    text: str
    holds: Callable[[Any, Any], None] = field(repr=False)
    examples: int
    """How many cases are tried."""


class LawBook(Generic[Subject, Case]):
    """The laws of one kind, and how to come to a subject and a case.

    ``draw`` makes a case from a generator; ``prepare`` builds the plug-in for a case. A
    :class:`~nastk.core.errors.NastkError` in ``prepare`` is a refusal, which every plug-in may give; one in a law
    breaks it. ``vary``: whether the laws are run on every setting that has a few alternatives, one at a time.
    """

    def __init__(
        self,
        kind: Kind,
        draw: Callable[[random.Random], Case],
        prepare: Callable[[Part, Case], Subject],
        *,
        examples: int = 6,
        vary: bool = False,
    ) -> None:
        self.kind, self.draw, self.prepare, self.examples, self.vary = kind, draw, prepare, examples, vary
        self.laws: list[Law] = []

    def law(self, holds: Callable[[Subject, Case], None]) -> Callable[[Subject, Case], None]:
        """Enter a function as a law; its name and the first line of its docstring are those of the law."""
        return self.law_tried(self.examples)(holds)

    def law_tried(self, examples: int) -> Callable[[Callable[[Subject, Case], None]], Callable[[Subject, Case], None]]:
        """As :meth:`law`, on another number of cases."""

        def enter(holds: Callable[[Subject, Case], None]) -> Callable[[Subject, Case], None]:
            text = (holds.__doc__ or "").strip().partition("\n")[0].replace("``", "`")
            self.laws.append(Law(holds.__name__, text, holds, examples))
            return holds

        return enter

    def cases(self, law: Law) -> Sequence[Case]:
        """The cases on which a law is tried, always the same, small ones first."""
        rng = random.Random(f"{self.kind} {law.name}")
        return sorted((self.draw(rng) for _ in range(law.examples)), key=lambda case: getattr(case, "size", 0))

    def try_on(self, law: Law, part: Part, case: Case) -> None:
        """One law on one case. Raises :class:`LawBroken` or :class:`DoesNotApply`."""
        try:
            subject = self.prepare(part, case)
        except NastkError as error:
            raise DoesNotApply(str(error)) from error
        except (LawBroken, DoesNotApply):
            raise
        except Exception as error:  # a plug-in that cannot be built, and does not say why, keeps no law
            raise LawBroken(f"cannot be built: {type(error).__name__}: {error}") from error
        try:
            law.holds(subject, case)
        except (LawBroken, DoesNotApply):
            raise
        except Exception as error:  # whatever a plug-in raises where the law expects an answer breaks the law
            raise LawBroken(f"raised {type(error).__name__}: {error}") from error


def book(kind: Kind) -> LawBook[Any, Any]:
    """The laws of a kind. Imports torch."""
    found: LawBook[Any, Any] = importlib.import_module(f"nastk.core.laws.{kind.value}").BOOK
    return found
