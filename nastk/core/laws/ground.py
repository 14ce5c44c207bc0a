"""Where the laws of spaces are tried: a space at a narrow model, its members, and strangers to it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from attrs import evolve, frozen

from nastk.core.cell.graph import Edge, Genotype
from nastk.core.cell.space import Choice, SearchSpace
from nastk.core.config import Part, structure
from nastk.core.document import overlay
from nastk.core.laws.law import applies
from nastk.core.registry import registry
from nastk.core.settings import ModelConfig

MODEL: dict[str, Any] = {"neuron": {"name": "plif", "v_th": 0.1}, "channels": 2, "cells": 3}
"""Narrow networks whose neurons fire often, so that what they compute depends on all of them."""
TRIED = 10
"""Choices on which decode and encode are tried at a time."""


@frozen
class Walk:
    """Members and steps drawn from a seed; ``open_parts``: whether the time steps are searched too."""

    seed: int
    open_parts: bool

    @property
    def size(self) -> int:
        """Fixed parts first."""
        return int(self.open_parts)

    def rng(self, purpose: str) -> random.Random:
        """A generator for one purpose."""
        return random.Random(f"{self.seed} {purpose}")


@frozen
class Ground:
    """A space, and how to build it once more."""

    part: Part
    model: ModelConfig
    space: SearchSpace

    def again(self) -> SearchSpace:
        """Another instance, from the same settings."""
        built: SearchSpace = self.part.build(self.model)
        return built


def draw(rng: random.Random) -> Walk:
    """Any seed; every other case with searched time steps."""
    return Walk(rng.randrange(10**6), rng.random() < 0.5)


def prepare(part: Part, case: Walk) -> Ground:
    """The space for a narrow model, the space's own ``defaults`` kept."""
    wanted = {**MODEL, "time_steps": {"choices": [1, 2]}} if case.open_parts else MODEL
    own = getattr(registry().load(part.kind, part.name), "defaults", {}).get("model", {})
    if case.open_parts:
        own = {name: value for name, value in own.items() if name != "time_steps"}
    model = structure(overlay(wanted, own), ModelConfig, "model")
    return Ground(part, model, part.build(model))


def any_choice(space: SearchSpace, rng: random.Random) -> Choice:
    """One option number a decision."""
    return tuple(rng.randrange(len(decision.options)) for decision in space.decisions)


def member(space: SearchSpace, rng: random.Random) -> tuple[Choice, Genotype]:
    """A member with its choice; a law that needs one does not apply where decode and encode are not inverse."""
    found = [space.decode(any_choice(space, rng)) for _ in range(TRIED)]
    applies(all(genotype in space for genotype in found), "decode and encode are not inverse: see the laws about them")
    return tuple(space.encode(found[0])), found[0]


def with_one_changed(space: SearchSpace, choice: Choice) -> Iterator[Choice]:
    """Every choice that differs in one decision."""
    for i, decision in enumerate(space.decisions):
        yield from ((*choice[:i], option, *choice[i + 1 :]) for option in range(len(decision.options)) if option != choice[i])


def strangers(genotype: Genotype) -> Iterator[tuple[str, Genotype]]:
    """A member, edited: what was done, and the result. Now and then it is a member still."""
    yield "of another space", evolve(genotype, space=genotype.space + "-other")
    yield "with the part 'stranger'", genotype.with_parts(stranger=1)
    for name, value in genotype.parts:
        yield f"without {name}", evolve(genotype, parts={k: v for k, v in genotype.parts if k != name})
        changed = value + 17 if isinstance(value, (int, float)) else f"{value}?"
        yield f"with {name} = {changed!r}", evolve(genotype, parts={**dict(genotype.parts), name: changed})
    for name, cell in genotype.cells:
        yield f"without the cell {name!r}", evolve(genotype, cells={k: v for k, v in genotype.cells if k != name})
        yield f"with the cell {name!r} twice", evolve(genotype, cells={**dict(genotype.cells), name + "-other": cell})
        edits = {"one input more": evolve(cell, inputs=1, edges=()) if cell.inputs > 1 else evolve(cell, inputs=2, edges=())}
        edits["another output"] = evolve(cell, outputs=(*cell.outputs, cell.nodes))
        for edge in cell.edges[:1]:
            others = [other for other in cell.edges if other != edge]
            edits["an edge less"] = evolve(cell, edges=others)
            edits["an unknown operation"] = evolve(cell, edges=[*others, evolve(edge, op="stranger")])
            edits["a mixture"] = evolve(cell, edges=[*others, evolve(edge, op=f"{edge.op}|{edge.op}")])
            edits["a node more"] = evolve(cell, edges=[*cell.edges, Edge(edge.src, cell.nodes, edge.op)])
        for what, edited in edits.items():
            yield f"with {what} in the cell {name!r}", evolve(genotype, cells={**dict(genotype.cells), name: edited})
