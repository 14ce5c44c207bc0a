"""The cell space of NAS-Bench-201, and how its tables spell a cell. Torch-free.

The official spelling, the architecture string, lists for each node its operations and where they come from::

    |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from attrs import field, frozen

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.wiring import EveryEdge, full_cell
from nastk.core.config import NeuronPart
from nastk.core.errors import SchemaError
from nastk.core.settings import ModelConfig
from nastk.plugins.spaces.numbering import CellNumbers, cells_named

OFFICIAL = {
    "none": "none",
    "skip_connect": "skip_connect",
    "conv_1x1": "nor_conv_1x1",
    "conv_3x3": "nor_conv_3x3",
    "avg_pool_3x3": "avg_pool_3x3",
}
"""nastk's name of an operation -> the official one, in the order of the official codes 0 to 4."""
OPERATIONS = tuple(OFFICIAL)
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The edges (source, target) in the order of the architecture string; a :class:`Cell` sorts its edges by source."""
NUMBERS = CellNumbers("NAS-Bench-201", OPERATIONS, EDGES)
SIZE = NUMBERS.size
WEIGHTS = NUMBERS.weights

_NASTK = {official: op for op, official in OFFICIAL.items()}
_STRING = re.compile(r"\+".join(r"\|" + "".join(rf"(\w+)~{src}\|" for src in range(dst)) for dst in (1, 2, 3)))


@frozen(kw_only=True)
class NasBench201Config:
    """Settings of ``nas-bench-201``."""

    membrane: Literal["pre", "node"] = field(
        default="pre",
        metadata={"help": "a convolution begins with the neuron, as the original's ReLU-conv-norm, or one neuron a node fires"},
    )


@mark.space(
    "nas-bench-201",
    config=NasBench201Config,
    paper="Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, ICLR 2020",
)
class NasBench201(CellSpace):
    """The cells of NAS-Bench-201: four nodes, five operations on each of six edges; ReLU and T = 1 unless the run says otherwise.

    15,625 members (section 2.1 of the paper). One cell with one input is shared by all layers; its last node is the
    output. With ``membrane = "pre"`` the edges are those of the paper: ReLU, convolution and norm; the skip and the
    pooling take the sum as it is. ``membrane = "node"`` is for spiking networks: what leaves a node is binary.

    The macro network of the paper is NOT reproduced. There, three stages of five cells have a residual block of stride 2
    between them; here a reduction is the searched cell itself at stride 2 (with ``model.cells = 17`` at the same places),
    every cell begins with nastk's 1x1 convolution and norm, and a pooling is followed by a norm. So the accuracy that
    nastk trains a member to is not the one in the tables, which are about the original ReLU network.
    """

    defaults: ClassVar = {"model": {"neuron": "relu", "time_steps": 1}}

    def __init__(self, model: ModelConfig, config: NasBench201Config) -> None:
        operations = candidates(OPERATIONS, model, "space nas-bench-201")
        wiring = EveryEdge(full_cell(1, 3, operations, outputs=(3,)))
        norm = "operation" if config.membrane == "pre" else "node"
        parts = part_decisions(model, membrane=config.membrane, norm=norm, stem=1)
        super().__init__("nas-bench-201", {"shared": wiring}, parts)


def number_of(cell: Cell) -> int:
    """The number of a cell in ``range(15625)``: the sum of ``code * 5**place`` over its edges sorted by source.

    It is the choice of the space read as digits, not the official index. Raises :class:`NotInSpace` for another cell.
    """
    return NUMBERS.number(cell)


def cell_of(number: int) -> Cell:
    """The cell of a number: the inverse of :func:`number_of`."""
    return NUMBERS.cell(number)


def cell_string(cell: Cell) -> str:
    """The architecture string of a cell. Raises :class:`NotInSpace` for one that is not of NAS-Bench-201."""
    number_of(cell)
    nodes = ("".join(f"{OFFICIAL[edge.op]}~{edge.src}|" for edge in cell.into(node)) for node in cell.inner)
    return "+".join(f"|{node}" for node in nodes)


def arch_string(genotype: Genotype) -> str:
    """The architecture string of a genotype of ``nas-bench-201``. Raises :class:`NotInSpace` for another one."""
    return cell_string(shared_cell(genotype))


def shared_cell(genotype: Genotype) -> Cell:
    """The one cell of a genotype of ``nas-bench-201``. Raises :class:`NotInSpace` for another one."""
    return cells_named(genotype, "nas-bench-201", ("shared",))[0]


def from_arch_string(text: str, space: NasBench201 | None = None) -> Genotype:
    """The genotype of an architecture string, its other parts those of ``space`` (their first options).

    Without a space: ReLU, T = 1, and the usual parts of a run. Raises :class:`SchemaError` for any other text.
    """
    found = _STRING.fullmatch(text)
    official = found.groups() if found else ()
    if not found or not all(name in _NASTK for name in official):
        raise SchemaError(
            f"{text!r} is no architecture string of NAS-Bench-201: expected '|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|', "
            f"each OP one of {', '.join(_NASTK)}."
        )
    edges = [Edge(*edge, _NASTK[name]) for edge, name in zip(EDGES, official, strict=True)]
    if space is None:
        space = NasBench201(ModelConfig(neuron=NeuronPart.named("relu"), time_steps=1), NasBench201Config())
    return Genotype(space.name, {"shared": Cell(1, edges, (3,))}, space.full().parts)
