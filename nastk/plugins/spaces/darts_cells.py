"""The space of DARTS (Liu, Simonyan, Yang, ICLR 2019): eight operations, pre-activation, two edges a node."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import field, frozen

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.cell.summed import WiringName, wired
from nastk.core.cell.wiring import full_cell
from nastk.core.errors import ConfigError
from nastk.core.settings import ModelConfig

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

Pick = tuple[str, int]

# Published cells (github.com/quark0/darts, genotypes.py): two picks (operation, source) for each of four nodes.
PUBLISHED: dict[str, dict[str, tuple[Pick, ...]]] = {
    "DARTS_V1": {
        "normal": (
            ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 0), ("sep_conv_3x3", 1),
            ("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2),
        ),
        "reduce": (
            ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 0),
            ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("avg_pool_3x3", 0),
        ),
    },
    "DARTS_V2": {
        "normal": (
            ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
            ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
        ),
        "reduce": (
            ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
            ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
        ),
    },
}  # fmt: skip


WIRING = (
    "what a member keeps: some edges a node, one operation each; every edge, up to two operations; every edge, any number "
    "(edge and complete: D-DARTS)"
)


@frozen(kw_only=True)
class DartsCellsConfig:
    """Settings of ``darts-cells``; the defaults are the space of DARTS."""

    operations: tuple[str, ...] = field(default=OPERATIONS, metadata={"help": "candidate operations of every edge"})
    sharing: Literal["by_type", "per_cell"] = field(
        default="by_type", metadata={"help": "one normal and one reduction cell, or one for each layer (D-DARTS)"}
    )
    wiring: WiringName = field(default="sparse", metadata={"help": WIRING})


@mark.space("darts-cells", config=DartsCellsConfig, paper="Liu et al., DARTS: Differentiable Architecture Search, ICLR 2019")
class DartsCells(CellSpace):
    """The DARTS space of eight operations with pre-activation; ReLU and T = 1 unless the run says otherwise."""

    defaults: ClassVar = {"model": {"neuron": "relu", "time_steps": 1}}

    def __init__(self, model: ModelConfig, config: DartsCellsConfig) -> None:
        operations = candidates(config.operations, model, "space darts-cells")
        wiring = wired(config.wiring, full_cell(2, 4, operations, range(2, 6)), degree=2)
        if len(model.cells.values) > 1 and config.sharing == "per_cell":
            raise ConfigError(["model.cells: must be fixed when cells are not shared"], "space")
        count = model.cells.values[0]
        names = {"by_type": ("normal", "reduce"), "per_cell": tuple(f"{i}" for i in range(count))}[config.sharing]
        decisions = part_decisions(model, membrane="pre", norm="operation", stem=3)
        super().__init__("darts-cells", dict.fromkeys(names, wiring), decisions)

    def published(self, name: str) -> Genotype:
        """``DARTS_V1`` or ``DARTS_V2`` with this space's parts; ``KeyError`` for another name."""
        cells = {}
        for cell, picks in PUBLISHED[name].items():
            edges = [Edge(src, 2 + i // 2, op) for i, (op, src) in enumerate(picks)]
            cells[cell] = Cell(2, edges, range(2, 6))
        return Genotype(self.name, cells, self.full().parts)
