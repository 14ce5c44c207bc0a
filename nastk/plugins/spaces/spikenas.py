"""The cell space of SpikeNAS-Bench: the firing threshold is searched with the wiring. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.graph import Cell, Genotype
from nastk.core.cell.wiring import EveryEdge, full_cell
from nastk.core.settings import ModelConfig
from nastk.plugins.spaces.numbering import CellNumbers, cells_named

OPERATIONS = ("none", "skip_connect", "vth05_conv_3x3", "vth10_conv_3x3", "vth15_conv_3x3")
"""In the order of the table's codes 0 to 4."""
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
NUMBERS = CellNumbers("SpikeNAS-Bench", OPERATIONS, EDGES)
"""A cell's number is the table's architecture id."""
NEURON: dict[str, str | float] = {"name": "lif", "tau": 4 / 3, "v_th": 1.0, "detach_reset": True}
"""The neuron of the authors' program; an operation sets its own threshold."""
TIME_STEPS = 5


@mark.space(
    "spikenas",
    paper="Sun et al., SpikeNAS-Bench: Benchmarking NAS Algorithms for Spiking Neural Network Architecture, IEEE TAI 2025",
)
class SpikeNas(CellSpace):
    """The cells of SpikeNAS-Bench: four nodes; none, skip, or LIF of threshold 0.5, 1.0 or 1.5 and a convolution on each edge.

    15,625 members. One cell with one input is shared by all layers; its last node is the output. A node is the sum of its
    arrivals: neurons stand in the operations, before each convolution. Unless the run says otherwise the neuron is LIF
    with ``tau = 4/3``, hard reset cut from the gradient, and ``T = 5``, as in the authors' program.

    The macro network of the paper is NOT reproduced. There a cell of 128 channels and one of 256 stand behind a stem,
    with a convolution of stride 1 and an average pooling between, and a classifier of 16.9 million weights behind them. Here
    a reduction is the searched cell itself at stride 2, every cell begins with nastk's neuron, 1x1 convolution and norm, and the
    classifier is linear. At the same width an edge has the same parameters as there.
    """

    defaults: ClassVar = {"model": {"neuron": NEURON, "time_steps": TIME_STEPS}}

    def __init__(self, model: ModelConfig) -> None:
        operations = candidates(OPERATIONS, model, "space spikenas")
        wiring = EveryEdge(full_cell(1, 3, operations, outputs=(3,)))
        parts = part_decisions(model, membrane="pre", norm="operation", stem=1)
        super().__init__("spikenas", {"shared": wiring}, parts)


def number_of(genotype: Genotype) -> int:
    """The architecture id of a genotype, in ``range(15625)``. Raises :class:`NotInSpace` for one of another space."""
    return NUMBERS.number(cells_named(genotype, "spikenas", ("shared",))[0])


def cell_of(number: int) -> Cell:
    """The cell of an architecture id."""
    return NUMBERS.cell(number)
