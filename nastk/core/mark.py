"""The decorators that mark a class as a plug-in. A mark has no global effect: modules offer, the registry records.

    from nastk import mark

    @mark.attention("gated", config=GatedConfig)
    class Gated(nastk.Attention):
        '''Channel gate with a learned bias (Author, Year).'''

The first line of the docstring is the summary that ``nastk plugins`` shows. ``config`` is a frozen attrs class whose
fields carry ``metadata={"help": ...}``; without it the part takes no settings. ``paper`` names the publication it
implements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from attrs import frozen

from nastk.core.types import Kind

T = TypeVar("T", bound=type)


@frozen
class NoConfig:
    """The settings of a part that has none."""


@frozen
class Mark:
    """What a decorator hangs on a class as ``__nastk__``."""

    kind: Kind
    name: str
    config: type
    paper: str = ""


class Decorator(Protocol):
    """What every decorator of this module takes, and gives back: the class itself."""

    def __call__(self, name: str, *, config: type = NoConfig, paper: str = "") -> Callable[[T], T]: ...


def _decorator(kind: Kind) -> Decorator:
    def decorate(name: str, *, config: type = NoConfig, paper: str = "") -> Callable[[T], T]:
        def mark(cls: T) -> T:
            cls.__nastk__ = Mark(kind, name, config, paper)  # type: ignore[attr-defined]
            return cls

        return mark

    decorate.__doc__ = f"Mark a class as the {kind} of this name."
    return decorate


neuron = _decorator(Kind.NEURON)
surrogate = _decorator(Kind.SURROGATE)
attention = _decorator(Kind.ATTENTION)
operation = _decorator(Kind.OPERATION)
space = _decorator(Kind.SPACE)
strategy = _decorator(Kind.STRATEGY)
dataset = _decorator(Kind.DATASET)
task = _decorator(Kind.TASK)
estimator = _decorator(Kind.ESTIMATOR)
executor = _decorator(Kind.EXECUTOR)
reporter = _decorator(Kind.REPORTER)
exporter = _decorator(Kind.EXPORTER)
benchmark = _decorator(Kind.BENCHMARK)
