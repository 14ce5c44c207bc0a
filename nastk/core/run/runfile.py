"""From a run file, flags and ``--set`` to a :class:`RunConfig`: defaults of space, data set, strategy below, the user on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nastk.core.config import structure
from nastk.core.document import assign, overlay, place, read_toml
from nastk.core.errors import NastkError
from nastk.core.registry import registry
from nastk.core.settings import RunConfig
from nastk.core.types import Kind

FLAGS = {"strategy": "strategy", "space": "space", "dataset": "dataset", "neuron": "model.neuron", "attention": "model.attention"}
"""Command-line flags that name a plug-in, and the setting each stands for."""

Source = str | Path | Mapping[str, Any] | RunConfig | None


def configure(source: Source = None, sets: Sequence[str] = (), under: Mapping[str, Any] | None = None, **flags: Any) -> RunConfig:
    """The typed configuration of a run.

    ``source`` is a TOML file, plain data, a ready :class:`RunConfig` or nothing; ``sets`` are ``path=value`` texts;
    ``flags`` are those of ``nastk run`` (strategy, space, dataset, neuron, attention, seed, device) and any table of
    the run file (``model={"channels": 8}``); ``under`` is plain data below what the user says.
    Raises :class:`ConfigError` with all faults at once.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if isinstance(source, RunConfig):
        if given or sets:
            raise TypeError("a ready RunConfig takes no further settings: use attrs.evolve")
        return source
    document = read_toml(Path(source)) if isinstance(source, (str, Path)) else dict(source or {})
    where = str(source) if isinstance(source, (str, Path)) else "the run's settings"
    for name, value in given.items():
        if isinstance(value, Mapping):
            document[name] = overlay({"x": document.get(name, {})}, {"x": value})["x"]
        elif isinstance(value, str) and name in FLAGS:
            place(document, FLAGS[name].split("."), value)
        else:
            document[name] = value
    for text in sets:
        assign(document, text)
    _prefer(document)
    return typed(with_defaults(document, under or {}), where)


def typed(document: Mapping[str, Any], where: str) -> RunConfig:
    """The whole settings of a run from plain data; from here on its preferred packages win in this process.

    Raises :class:`ConfigError`.
    """
    _prefer(document)
    return structure(document, RunConfig, where)


def _prefer(document: Mapping[str, Any]) -> None:
    """Names are looked up while the document is structured: the preference has to be known before."""
    wanted = document.get("prefer", ())
    if isinstance(wanted, (list, tuple)):  # anything else is reported with all other faults
        registry().prefer = tuple(map(str, wanted))


def with_defaults(document: Mapping[str, Any], under: Mapping[str, Any]) -> dict[str, Any]:
    """The document over ``under``, over the ``defaults`` of its strategy, data set, space and benchmark, in this order."""
    merged: dict[str, Any] = {}
    kinds = ((Kind.BENCHMARK, None), (Kind.SPACE, "spiking-cells"), (Kind.DATASET, None), (Kind.STRATEGY, "ma-darts"))
    for kind, usual in kinds:
        name: Any = usual
        for layer in (merged, under, document):  # a table without a name changes settings of what is there
            part = layer.get(kind.value)
            name = part.get("name", name) if isinstance(part, Mapping) else part or name
        if not isinstance(name, str):
            continue
        try:
            merged = overlay(merged, getattr(registry().load(kind, name), "defaults", {}))
        except NastkError:
            continue  # a wrong name is reported with all other faults when the document is structured
    return overlay(overlay(merged, under), document)
