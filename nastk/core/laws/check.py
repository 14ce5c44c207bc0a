"""Runs the laws of a kind on a plug-in, without pytest, and says which hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from attrs import evolve, frozen

from nastk.core.config import Part, part_of
from nastk.core.describe import kind_named
from nastk.core.errors import NastkError, UnknownName, near
from nastk.core.laws.law import DoesNotApply, Law, LawBook, LawBroken, book
from nastk.core.registry import registry
from nastk.core.types import Kind

Outcome = Literal["holds", "fails", "fails as declared", "does not apply"]


@frozen
class Verdict:
    """What became of one law."""

    law: str
    text: str
    outcome: Outcome
    cases: int
    """Cases on which the law was tried, over all settings."""
    detail: str = ""
    """The counter-example, or why the law does not apply."""


def check(kind: Kind | str, name: str, *, only: Sequence[str] = (), **settings: Any) -> list[Verdict]:
    """The verdict of every law of a kind on the plug-in of this name, with these settings.

    ``only`` names the laws to run. A class that cannot keep a law says so, and why, in a class attribute:
    ``breaks = {"silent_at_rest": "it has a bias current"}``; if the law holds after all, that is a failure too.

    Raises :class:`~nastk.core.errors.UnknownName` for an unknown plug-in or law, and as a run would
    :class:`~nastk.core.errors.BrokenPlugin` and :class:`~nastk.core.errors.ConfigError`.
    """
    kind = kind_named(kind)
    laws = book(kind)
    part = part_of(kind).named(name, **settings)
    known = [law.name for law in laws.laws]
    for wanted in only:
        if wanted not in known:
            raise UnknownName(f"No law of a {kind} is named {wanted!r}.{near(wanted, known)} Laws: {', '.join(known)}.")
    parts = [part, *(variants(part) if laws.vary else ())]
    declared = getattr(registry().load(kind, name), "breaks", {})
    chosen = [law for law in laws.laws if not only or law.name in only]
    verdicts = [verdict(laws, law, parts, everywhere=law.name in declared) for law in chosen]
    return [_as_declared(v, declared[v.law]) if v.law in declared else v for v in verdicts]


def _as_declared(found: Verdict, why: str) -> Verdict:
    """The verdict on a law that the class says it breaks."""
    if found.outcome == "does not apply":
        return found
    if found.outcome == "fails":
        return evolve(found, outcome="fails as declared", detail=why)
    return evolve(found, outcome="fails", detail=f"the class declares that it breaks this law ({why}), and it was not seen to")


def verdict(laws: LawBook[Any, Any], law: Law, parts: Sequence[Part], *, everywhere: bool) -> Verdict:
    """One law on a plug-in in several settings: the first counter-example decides.

    The first settings are tried on every case, the others on the smallest and the largest, unless ``everywhere``.
    """
    tried, reason = 0, ""
    cases = laws.cases(law)
    for part in parts:
        for case in cases if everywhere or part is parts[0] else cases[:: max(len(cases) - 1, 1)]:
            try:
                laws.try_on(law, part, case)
            except DoesNotApply as refusal:
                reason = reason or str(refusal)
                continue
            except LawBroken as broken:
                changed = {key: value for key, value in part.flat().items() if part is not parts[0]}
                under = f" with {', '.join(f'{k} = {v!r}' for k, v in changed.items())}" if changed else ""
                return Verdict(law.name, law.text, "fails", tried + 1, f"{broken} [{case}{under}]")
            tried += 1
    if tried:
        return Verdict(law.name, law.text, "holds", tried)
    return Verdict(law.name, law.text, "does not apply", 0, reason)


def check_all(kinds: Sequence[Kind] = tuple(Kind)) -> Iterator[tuple[Kind, str, list[Verdict] | NastkError]]:
    """Every installed plug-in with its verdicts, one by one; or why it cannot be loaded, wants settings, or lacks a library."""
    for entry in registry().entries():
        if entry.kind in kinds:
            try:
                found = check(entry.kind, entry.name)
                yield entry.kind, entry.name, _unavailable(found) or found
            except NastkError as error:
                yield entry.kind, entry.name, error


def _unavailable(verdicts: Sequence[Verdict]) -> NastkError | None:
    """Why a plug-in cannot be built here, where that is the one reason why no law applies: a missing library, missing files."""
    reasons = {(v.outcome, v.detail) for v in verdicts}
    outcome, reason = next(iter(reasons), ("", ""))
    return NastkError(reason) if len(reasons) == 1 and outcome == "does not apply" else None


def variants(part: Part) -> list[Part]:
    """The part with one setting changed at a time, for all settings with a few alternatives: truths and choices.

    A change that the plug-in's own rules refuse is left out.
    """
    found = []
    for name, alternatives in _alternatives(part).items():
        for value in alternatives:
            try:
                found.append(part.replaced(**{name: value}))
            except NastkError:
                continue
    return found


def _alternatives(part: Part) -> Mapping[str, Sequence[Any]]:
    found: dict[str, Sequence[Any]] = {}
    hints = get_type_hints(type(part.config))
    for attribute in attrs.fields(type(part.config)):
        now, hint = getattr(part.config, attribute.name), hints[attribute.name]
        if hint is bool:
            found[attribute.name] = [not now]
        elif get_origin(hint) is Literal:
            found[attribute.name] = [option for option in get_args(hint) if option != now]
    return found
