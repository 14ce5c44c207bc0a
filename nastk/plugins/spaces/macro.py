"""The space of NAS-Bench-Macro: a chain of eight layers, each with an operation of its own. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.graph import Cell, Genotype
from nastk.core.cell.wiring import EveryEdge, full_cell
from nastk.core.errors import ConfigError, SchemaError
from nastk.core.settings import ModelConfig
from nastk.plugins.spaces.numbering import CellNumbers, cells_named

OPERATIONS = ("skip_connect", "mbconv_3_3x3", "mbconv_6_5x5")
"""In the order of the table's codes 0 to 2."""
PATH = "11222333"
"""Stages of two, three and three layers; the first layer of each doubles the channels and halves the picture."""
LAYERS = tuple(map(str, range(len(PATH))))
SIZE = len(OPERATIONS) ** len(PATH)
_NUMBERS = CellNumbers("NAS-Bench-Macro", OPERATIONS, ((0, 1),))


@mark.space(
    "macro",
    paper="Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021",
)
class Macro(CellSpace):
    """A chain of eight layers, each the identity or an inverted bottleneck; ReLU and T = 1 unless the run says otherwise.

    6,561 members: the space of NAS-Bench-Macro. Every layer is a cell of its own with one edge. Three stages of two, three
    and three layers; the first of each halves the picture and doubles the channels, beginning at ``model.channels`` (32 in
    the paper).

    The network of the paper is NOT reproduced: there the operation itself changes the width of a stage, here a 1x1
    convolution, norm and neuron in front of every layer do, and its convolution to 1,280 channels before the classifier has no
    counterpart. Layers that keep their width have the same parameters as there.

    Raises :class:`ConfigError` for another number of cells than eight.
    """

    defaults: ClassVar = {
        "model": {"neuron": "relu", "time_steps": 1, "cells": len(PATH)},
        "proxy": {"cells": 0},
    }

    def __init__(self, model: ModelConfig) -> None:
        if model.cells.values != (len(PATH),):
            raise ConfigError([f"model.cells: must be {len(PATH)}, got {list(model.cells.values)}"], "space macro")
        operations = candidates(OPERATIONS, model, "space macro")
        layer = EveryEdge(full_cell(1, 1, operations, outputs=(1,)))
        parts = part_decisions(model, (PATH,), membrane="op", norm="operation", stem=1)
        super().__init__("macro", dict.fromkeys(LAYERS, layer), parts)


def codes_of(genotype: Genotype) -> list[int]:
    """The eight codes of a genotype, first layer first. Raises :class:`NotInSpace` for one of another space."""
    return [_NUMBERS.number(cell) for cell in cells_named(genotype, "macro", LAYERS)]


def number_of(genotype: Genotype) -> int:
    """The codes read as a number to the base 3, the first layer its highest digit: in ``range(6561)``."""
    number = 0
    for code in codes_of(genotype):
        number = len(OPERATIONS) * number + code
    return number


def arch_string(genotype: Genotype) -> str:
    """The official spelling: one digit a layer, ``"22212202"``."""
    return "".join(map(str, codes_of(genotype)))


def cells_of(text: str) -> dict[str, Cell]:
    """The cells of an official spelling. Raises :class:`SchemaError` for any other text."""
    if len(text) != len(LAYERS) or set(text) - set("012"):
        raise SchemaError(f"{text!r} is no architecture of NAS-Bench-Macro: expected {len(LAYERS)} digits, each 0, 1 or 2.")
    return {layer: _NUMBERS.cell(int(digit)) for layer, digit in zip(LAYERS, text, strict=True)}
