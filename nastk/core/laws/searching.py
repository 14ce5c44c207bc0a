"""Small searches as the laws of strategies run them: to the end, step by step, and how their ends are compared."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from torch import Tensor

from nastk.core.cell.graph import Genotype
from nastk.core.config import Part
from nastk.core.errors import ConfigError, NastkError
from nastk.core.laws.context import STEPS, SmallContext, small_context
from nastk.core.laws.law import ensure
from nastk.core.registry import registry
from nastk.core.run.compare import difference
from nastk.core.run.search import STAGE, search
from nastk.core.run.store import RunDirectory
from nastk.core.types import Kind


@frozen
class SmallSearch:
    """A search with this seed, to be killed after ``stop`` steps where a law kills it."""

    seed: int
    stop: int


@frozen
class Searcher:
    """A strategy's settings, and the space on which its small searches run."""

    part: Part
    space: str

    def context(self, case: SmallSearch, space: Mapping[str, Any] | None = None, **tables: Any) -> SmallContext:
        """A fresh context with a fresh instance of the strategy; test data that are asked for are given, and noted."""
        return small_context(self.part, space or self.space, case.seed, sealed=False, **tables)


@frozen
class Found:
    """The end of a search: what it recommends, and its last checkpoint without what a clock wrote."""

    genotype: Genotype
    steps: int
    checkpoint: Mapping[str, Any]


def draw(rng: random.Random) -> SmallSearch:
    """Any seed; killed after the first or the second of three steps."""
    return SmallSearch(rng.randrange(1000), rng.randint(1, STEPS - 1))


def prepare(part: Part, case: SmallSearch) -> Searcher:
    """The strategy on a space that it can search."""
    found = Searcher(part, space_for(part))
    found.context(case)
    return found


def space_for(part: Part) -> str:
    """The space that the strategy names in its ``defaults``, else ``toy``, else any other that is what it requires."""
    loaded = registry().load(part.kind, part.name)
    own = getattr(loaded, "defaults", {}).get("space", "toy")
    names = [own["name"] if isinstance(own, Mapping) else own, "toy", *registry().names(Kind.SPACE)]
    for name in names:
        try:
            if issubclass(registry().load(Kind.SPACE, name), loaded.requires):
                return str(name)
        except NastkError:
            continue
    raise ConfigError([f"no installed space is a {loaded.requires.__name__}"], f"strategy {part.name!r}")


def run(context: SmallContext, folder: Path) -> Found:
    """Search to the end, or on from the last checkpoint in this folder."""
    store = RunDirectory(folder)
    found = search(context.strategy, context, store, every=0)
    saved = dict(store.load(STAGE) or {})
    saved.pop("seconds", None)
    saved["trials"] = [attrs.asdict(report, recurse=False) for report in context.trials.values()]
    return Found(found.genotype, found.steps, saved)


def finished(context: SmallContext) -> Found:
    """Search in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return run(context, Path(folder))


def states(context: SmallContext) -> Iterator[Any]:
    """The state before the first step, and after each of the small search."""
    strategy = context.strategy
    state = strategy.begin(context)
    yield state
    while context.step < min(strategy.steps, STEPS) and not strategy.finished(state):
        state = strategy.step(context, state)
        context.step += 1
        yield state


def snapshot(value: Any) -> Any:
    """A state, or a tree in one, in a form that later changes of it do not reach."""
    if attrs.has(type(value)) and not isinstance(value, Genotype):
        return {f.name: snapshot(getattr(value, f.name)) for f in attrs.fields(type(value))}
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {str(key): snapshot(inner) for key, inner in value.items()}
    return [snapshot(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def agree(first: Found, second: Found, when: str) -> None:
    """Two searches ended alike."""
    where = difference(first.checkpoint, second.checkpoint)
    ensure(not where, f"{when}, the checkpoints differ at {where.lstrip('.')}")
    ensure(first.genotype == second.genotype, f"{when}, {second.genotype.digest} is recommended, not {first.genotype.digest}")
