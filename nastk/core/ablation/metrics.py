"""What a study may compare: numbers of ``result.json`` by dotted path, and which direction is better. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import evolve, frozen

Direction = Literal["higher", "lower"]
DIRECTIONS = ("higher", "lower")


@frozen
class Metric:
    """A number of a finished run."""

    path: str
    """Where it stands in ``result.json``."""
    better: Direction
    unit: str = ""
    scale: float = 1.0
    """What it is multiplied by to be in ``unit``."""

    @property
    def heading(self) -> str:
        """For tables and axes."""
        return f"{self.path}, {self.unit}" if self.unit else self.path

    @property
    def stem(self) -> str:
        """For names of files."""
        return self.path.replace(".", "-")

    @property
    def points(self) -> str:
        """The unit of a difference; that of two shares in percent is no percentage."""
        return "points" if self.unit == "%" else self.unit


_ALL = (
    Metric("test.accuracy", "higher", "%", 100.0),
    Metric("nos.test.total", "lower", "spikes"),
    Metric("nos.validation.total", "lower", "spikes"),
    Metric("nos.train.total", "lower", "spikes"),
    Metric("firing_rate", "lower", "%", 100.0),
    Metric("parameters", "lower"),
    Metric("macs", "lower", "MAC"),
    Metric("acs", "lower", "AC"),
    Metric("sops", "lower", "SOP"),
    Metric("energy_nj.value", "lower", "nJ"),
    Metric("search.seconds", "lower", "s"),
    Metric("search.steps", "lower", "steps"),
    Metric("train.seconds", "lower", "s"),
)
METRICS: Mapping[str, Metric] = {metric.path: metric for metric in _ALL}
"""Every number of ``result.json`` that differs from run to run, and the better direction unless a study says otherwise."""


def directed(path: str, better: Direction | None = None) -> Metric:
    """A known metric; ``KeyError`` for another path."""
    metric = METRICS[path]
    return metric if better is None else evolve(metric, better=better)


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Every metric that a ``result.json`` has a number for."""
    found = {path: _at(result, path) for path in METRICS}
    return {path: float(value) for path, value in found.items() if isinstance(value, int | float)}


def _at(tree: Any, path: str) -> Any:
    for step in path.split("."):
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree
