"""Who plays: from names and ``path=value`` texts to prepared runs, everything checked before anything is played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from nastk.core.bench.regret import OBJECTIVES
from nastk.core.config import EstimatorPart
from nastk.core.document import assign
from nastk.core.errors import ConfigError, DataError, NastkError, near
from nastk.core.registry import registry
from nastk.core.run.runfile import configure
from nastk.core.run.tabular import TabularRun
from nastk.core.seeds import rng
from nastk.core.types import Kind

OPTIONS = {"seed": "--seeds", "budget": "--budget and --seconds"}
"""Settings of a run that options of the benchmark decide, and which."""
TRIALS = "trials"
"""The setting by which a strategy has a number of trials of its own; unless it is given it is the budget's."""


def names(given: str | Sequence[str], what: str) -> list[str]:
    """Names from a list, or from a text of them with commas. Raises :class:`NastkError` for one that is there twice."""
    texts = [given] if isinstance(given, str) else given
    found = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if twice := [name for i, name in enumerate(found) if name in found[:i]]:
        raise NastkError(f"The {what} {twice[0]!r} is named twice.")
    return found


def check_numbers(**given: float | None) -> None:
    """Refuse what is not above zero. Raises :class:`NastkError`."""
    for name, value in given.items():
        if value is not None and not value > 0:
            raise NastkError(f"--{name} must be above 0, got {value}.")


def check_objective(objective: str) -> None:
    """Refuse an unknown objective. Raises :class:`NastkError`."""
    if objective not in OBJECTIVES:
        raise NastkError(f"There is no objective {objective!r}.{near(objective, OBJECTIVES)} Known: {', '.join(OBJECTIVES)}.")


def prepared(
    benchmark: Mapping[str, Any], strategies: Sequence[str], budget: int, hours: float | None, sets: Sequence[str]
) -> list[TabularRun]:
    """A run in the table for each strategy.

    ``strategy.SETTING=VALUE`` is for all that have the setting, ``NAME.SETTING=VALUE`` for one, anything else for all.
    Raises :class:`NastkError` as a run does, and for a setting that none has.
    """
    # Failed trials count as trials: no share of them ends a search before the others' budget.
    limits = {"evaluations": budget, "failed": 1.0, **({} if hours is None else {"device_hours": hours})}
    fields = {name: _fields(name) for name in strategies}
    own = {text: _players(text, fields) for text in sets if _path(text)[0] in ("strategy", *strategies)}
    common = [text for text in sets if text not in own]
    for text in common:
        if (option := OPTIONS.get(_path(text)[0])) is not None:
            raise ConfigError([f"{text}: is decided by {option}"], "--set")
    runs = []
    for strategy in strategies:
        document: dict[str, Any] = {"benchmark": dict(benchmark), "budget": limits, "strategy": {"name": strategy}}
        if TRIALS in fields[strategy]:
            document["strategy"][TRIALS] = budget
        for text, players in own.items():
            if strategy in players:
                assign(document, f"strategy.{text.partition('.')[2]}")
        runs.append(TabularRun(configure(document, common)))
    return runs


def asked_estimators(names: Sequence[str], sets: Sequence[str]) -> tuple[list[EstimatorPart], list[str]]:
    """The estimators with their settings, ``NAME.SETTING=VALUE``, and the settings of others. Raises :class:`NastkError`."""
    settings: dict[str, dict[str, Any]] = {name: {} for name in names}
    own = [text for text in sets if _path(text)[0] in settings]
    for text in own:
        assign(settings[_path(text)[0]], text.partition(".")[2])
    return [EstimatorPart.named(name, **settings[name]) for name in names], [text for text in sets if text not in own]


def _players(text: str, fields: Mapping[str, Sequence[str]]) -> list[str]:
    """The strategies that a setting is for: the one that it names, or all that have it."""
    first, *rest = _path(text)
    setting = rest[0] if rest else ""
    if not setting or setting == "name":
        raise ConfigError([f"{text}: strategies are named by --strategy"], "--set")
    if first in fields:
        return [first]
    known = {name for found in fields.values() for name in found}
    if setting not in known:
        raise ConfigError([f"{text}: no strategy here has a setting {setting!r}.{near(setting, known)}"], "--set")
    return [strategy for strategy, found in fields.items() if setting in found]


def check_seconds(run: TabularRun) -> None:
    """Refuse a limit of simulated seconds in a table that has none. Raises :class:`DataError`."""
    member = run.space.sample(rng(0, "seconds"))
    if "seconds" not in run.benchmark.look_up(member, run.benchmark.epochs[0]):
        name = run.config.benchmark.name if run.config.benchmark else ""
        raise DataError(f"The table {name} has no seconds of training: limit the search by --budget alone.")


def _path(text: str) -> list[str]:
    return text.partition("=")[0].strip().split(".")


def _fields(strategy: str) -> list[str]:
    config = vars(registry().load(Kind.STRATEGY, strategy, "--strategy"))["__nastk__"].config
    return [field.name for field in attrs.fields(config)]
