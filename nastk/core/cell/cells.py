"""Spaces made of cells: each cell wired by a :class:`Wiring`, all other parts one decision each. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nastk.core.cell.attended import SEARCHED as SEARCHED_ATTENTION
from nastk.core.cell.attended import EdgeAttention, attention_of, searched_attention
from nastk.core.cell.graph import NONE, Cell, Genotype
from nastk.core.cell.layout import SEARCHED, best_path, fixed_path, one_hot_path
from nastk.core.cell.space import Choice, Decision, Relaxable
from nastk.core.cell.wiring import Wiring
from nastk.core.errors import ConfigError, NotInSpace
from nastk.core.registry import registry
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind, Pairs, Scalar

Key = TypeVar("Key")
Value = TypeVar("Value")
LAYERS = "layers"
LATER = {"encoder": "direct", "batch_norm": "bn", "input_attention": "none"}
"""Parts that genotypes did not have at first, and their defaults: a part at its default is left out, so digests stay."""
REMEMBERED = 16_384
"""Cells, and combinations of parts, that a space keeps at hand: all cells of a space of the size of tables."""


def _option(name: str, value: Any) -> Pairs:
    """One option of a part as the pairs it puts into the genotype."""
    if LATER.get(name) == getattr(value, "name", value):
        return ()
    if hasattr(value, "flat"):
        return ((name, value.name), *((f"{name}.{key}", v) for key, v in sorted(value.flat().items())))
    return ((name, value),)


def candidates(operations: Sequence[str], model: ModelConfig, where: str) -> tuple[str, ...]:
    """The candidate operations of a space, with ``attention`` among them where the run asks for it as a candidate.

    Raises :class:`ConfigError` for a list that is no search, or an attention to choose that is ``none``, and
    :class:`UnknownName` for an operation that is not installed.
    """
    found = tuple(operations)
    if "candidate" in model.attention_location.values:
        if any(part.name == "none" for part in model.attention.values):
            raise ConfigError(["model.attention: 'none' cannot be a candidate operation; name one, or another location"], where)
        found += ("attention",)
    if len(set(found)) < len(found) or not set(found) - {NONE} or any("|" in op for op in found):
        raise ConfigError([f"space.operations: needs distinct names, one of them not 'none', got {list(found)}"], where)
    for op in found:
        registry().find(Kind.OPERATION, op, "space.operations")
    return found


def part_decisions(model: ModelConfig, layers: Sequence[str] = (), **fixed: Scalar) -> tuple[Decision, ...]:
    """The decisions beside topology: one for each entry of ``[model]``, the path of layers, and what a space fixes.

    A part with one option is fixed. ``layers`` are the paths to choose from; by default the fixed path of each
    number of cells.
    """
    found: dict[str, Sequence[Any]] = {
        "neuron": model.neuron.values,
        "attention": model.attention.values,
        "attention_location": model.attention_location.values,
        "time_steps": model.time_steps.values,
        "channels": model.channels.values,
        LAYERS: tuple(layers) or tuple(fixed_path(n) for n in model.cells.values),
        **{name: getattr(model, name).values for name in LATER},
        **{name: (value,) for name, value in fixed.items()},
    }
    options = {name: tuple(_option(name, value) for value in values) for name, values in found.items()}
    if SEARCHED_ATTENTION in model.attention_location.values:
        options["attention"] = (searched_attention(model),)
    return tuple(Decision(name, chosen) for name, chosen in options.items() if chosen != ((),))


class CellSpace(Relaxable):
    """The product of the wirings of its cells and of its parts."""

    def __init__(self, name: str, wirings: Mapping[str, Wiring], parts: Sequence[Decision]) -> None:
        self.name = name
        self.wirings = dict(sorted(wirings.items()))
        self.parts = tuple(parts)
        self.attention = EdgeAttention.of(parts)
        self._cell_decisions = {cell: self._decisions_of(cell, wiring) for cell, wiring in self.wirings.items()}
        self._wired = {cell: len(wiring.decisions(cell)) for cell, wiring in self.wirings.items()}
        self.decisions = (*(d for found in self._cell_decisions.values() for d in found), *self.parts)
        self._cells: dict[tuple[str, Choice], Cell] = {}
        self._pairs: dict[Choice, Pairs] = {}
        self._numbers: dict[Pairs, Choice] = {}

    def _decisions_of(self, name: str, wiring: Wiring) -> tuple[Decision, ...]:
        """Those of the wiring, and the attention of each edge where the edges choose."""
        found = wiring.decisions(name)
        edges = wiring.decode([0] * len(found)).edges
        return (*found, *self.attention.decisions(name, len(edges)))

    def decode(self, choice: Sequence[int]) -> Genotype:
        cells: dict[str, Cell] = {}
        start = 0
        for name, wiring in self.wirings.items():
            end = start + len(self._cell_decisions[name])
            cells[name] = self._cell(name, wiring, tuple(choice[start:end]))
            start = end
        return Genotype(self.name, cells, self._part_pairs(tuple(choice[start:])))

    def _cell(self, name: str, wiring: Wiring, choice: Choice) -> Cell:
        """The cell of a choice; remembered, as its hash is too."""
        found = self._cells.get((name, choice))
        if found is None:
            found = self.attention.decode(wiring.decode(choice[: self._wired[name]]), choice[self._wired[name] :])
            _remember(self._cells, (name, choice), found)
        return found

    def _part_pairs(self, numbers: Choice) -> Pairs:
        """The parts of a choice; remembered, as most parts are fixed and so the same in every member."""
        found = self._pairs.get(numbers)
        if found is None:
            options = [part.options[number] for part, number in zip(self.parts, numbers, strict=True)]
            found = tuple(sorted(pair for option in options for pair in option))
            _remember(self._pairs, numbers, found)
        return found

    def encode(self, genotype: Genotype) -> Choice:
        if genotype.space != self.name:
            raise NotInSpace(f"The genotype {genotype.digest} is of the space {genotype.space!r}, not of {self.name!r}.")
        cells = dict(genotype.cells)
        if set(cells) != set(self.wirings):
            raise NotInSpace(f"The genotype has the cells {', '.join(cells)}; {self.name!r} has {', '.join(self.wirings)}.")
        choice: list[int] = []
        for name, wiring in self.wirings.items():
            try:
                choice += (*wiring.encode(cells[name]), *self.attention.encode(cells[name]))
            except NotInSpace as error:
                raise NotInSpace(f"The genotype is not in {self.name!r}: cell {name!r}: {error}.") from None
        return (*choice, *self._part_numbers(genotype.parts))

    def _part_numbers(self, pairs: Pairs) -> Choice:
        """The inverse of :meth:`_part_pairs`; remembered. Raises :class:`NotInSpace`."""
        found = self._numbers.get(pairs)
        if found is None:
            known = {decision.name for decision in self.parts}
            for name, _ in pairs:
                if name.partition(".")[0] not in known:
                    raise NotInSpace(f"The genotype is not in {self.name!r}: it has a part {name!r}.")
            found = tuple(self._part_number(decision, pairs) for decision in self.parts)
            _remember(self._numbers, pairs, found)
        return found

    def _part_number(self, decision: Decision, pairs: Pairs) -> int:
        mine = tuple((k, v) for k, v in pairs if k.partition(".")[0] == decision.name)
        if mine not in decision.options:
            wanted = " or ".join(_spell(option) or "no " + decision.name for option in decision.options[:4])
            more = f" or {len(decision.options) - 4} more" if len(decision.options) > 4 else ""
            has = _spell(mine) or "no " + decision.name
            raise NotInSpace(f"The genotype is not in {self.name!r}: it has {has}, the space {wanted}{more}.")
        return decision.options.index(mine)

    @property
    def searches_layers(self) -> bool:
        """Whether the path of layers is searched: paths of one length. A choice of the number of cells is an open part."""
        lengths = [len(str(dict(option)[LAYERS])) for d in self.parts if d.name == LAYERS for option in d.options]
        return len(lengths) > 1 and len(set(lengths)) == 1

    @property
    def open_parts(self) -> tuple[str, ...]:
        """The searched parts that a relaxation does not cover: all but the path of layers."""
        covered = (LAYERS,) if self.searches_layers else ()
        return tuple(d.name for d in self.parts if len(d.options) > 1 and d.name not in covered)

    def full(self) -> Genotype:
        parts = dict(pair for part in self.parts for pair in part.options[0])
        if self.searches_layers:
            parts[LAYERS] = SEARCHED * len(str(parts[LAYERS]))
        return Genotype(self.name, {name: self.attention.full(wiring.full) for name, wiring in self.wirings.items()}, parts)

    def derive(self, weights: Mapping[str, NDArray[Any]]) -> Genotype:
        cells = {name: self._derived(name, wiring, weights) for name, wiring in self.wirings.items()}
        parts = dict(pair for part in self.parts for pair in part.options[0])
        if self.searches_layers:
            parts[LAYERS] = best_path(np.asarray(weights[LAYERS]))
        return Genotype(self.name, cells, parts)

    def _derived(self, name: str, wiring: Wiring, weights: Mapping[str, NDArray[Any]]) -> Cell:
        return self.attention.derive(wiring.derive(np.asarray(weights[name])), wiring.full, weights.get(attention_of(name)))

    def one_hot(self, genotype: Genotype) -> Mapping[str, NDArray[Any]]:
        hot = {name: wiring.one_hot(genotype.cell(name)) for name, wiring in self.wirings.items()}
        for name, wiring in self.wirings.items():
            hot |= self.attention.one_hot(name, genotype.cell(name), wiring.full)
        if self.searches_layers:
            hot[LAYERS] = one_hot_path(str(genotype.part(LAYERS)))
        return hot


def _remember(memory: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value; where there are too many, begin anew."""
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = value


def _spell(pairs: Pairs) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in pairs)
