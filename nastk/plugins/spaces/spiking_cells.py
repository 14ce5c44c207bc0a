"""The spiking cell space: DARTS-like cells whose nodes are neurons (the space of MA-DARTS as nastk reads it)."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import in_, optional

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.layout import paths
from nastk.core.cell.summed import WiringName, wired
from nastk.core.cell.wiring import full_cell
from nastk.core.errors import ConfigError
from nastk.core.settings import ModelConfig
from nastk.plugins.spaces.darts_cells import OPERATIONS, WIRING

PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("none", "skip_connect", "conv_3x3", "conv_5x5", "avg_pool_3x3"),
    "dhs": ("skip_connect", "snn_b3", "snn_b5"),
    "snas": ("none", "skip_connect", "conv_1x1", "conv_3x3", "avg_pool_3x3"),
    "autosnn": ("skip_connect", "scb_3x3", "scb_5x5", "srb_3x3", "srb_5x5"),
    "darts": OPERATIONS,
    "d-darts": OPERATIONS[1:],
}


@frozen(kw_only=True)
class SpikingCellsConfig:
    """Settings of ``spiking-cells``; the defaults are nastk's own, the paper does not state its space."""

    preset: Literal["default", "dhs", "snas", "autosnn", "darts", "d-darts"] = field(
        default="default",
        metadata={"help": "candidate operations: nastk's, or those of SpikeDHS, SNASNet, AutoSNN, DARTS, D-DARTS (without none)"},
    )
    operations: tuple[str, ...] | None = field(
        default=None, metadata={"help": "candidate operations by name, in place of a preset"}
    )
    nodes: int = field(default=4, validator=in_(range(1, 9)), metadata={"help": "inner nodes of a cell (SpikeDHS: 3)"})
    wiring: WiringName = field(default="sparse", metadata={"help": WIRING})
    degree: int = field(
        default=2, validator=in_(range(1, 9)), metadata={"help": "incoming edges that a node keeps, where the wiring is sparse"}
    )
    sharing: Literal["by_type", "shared", "per_cell"] = field(
        default="by_type", metadata={"help": "one normal and one reduction cell, one for all layers, or one for each layer"}
    )
    membrane: Literal["node", "op"] = field(
        default="node", metadata={"help": "one neuron a node fires on the sum of currents, or one at the end of each operation"}
    )
    norm: Literal["node", "operation"] = field(
        default="node",
        metadata={"help": "the current of a node is normalised once more before it fires, or each operation's alone"},
    )
    layer_level: Literal["fixed", "searched"] = field(
        default="fixed", metadata={"help": "reductions at 1/3 and 2/3 of the depth, or the path of scales is searched (SpikeDHS)"}
    )
    decode: Literal["darts", "dhs"] | None = field(
        default=None,
        validator=optional(in_(("darts", "dhs"))),
        metadata={"help": "dhs: the first operation, a skip, does not count when edges are ranked; unset: darts"},
    )


@mark.space("spiking-cells", config=SpikingCellsConfig)
class SpikingCells(CellSpace):
    """Cells of spiking nodes: currents are mixed and summed, one neuron a node fires."""

    def __init__(self, model: ModelConfig, config: SpikingCellsConfig) -> None:
        operations = candidates(config.operations or PRESETS[config.preset], model, "space spiking-cells")
        full = full_cell(2, config.nodes, operations, range(2, 2 + config.nodes))
        ranking = operations[1:] if config.decode == "dhs" else ()
        wiring = wired(config.wiring, full, config.degree, ranking)
        if len(model.cells.values) > 1 and (config.sharing == "per_cell" or config.layer_level == "searched"):
            raise ConfigError(["model.cells: must be fixed when cells are not shared or the layer level is searched"], "space")
        count = model.cells.values[0]
        names = {"by_type": ("normal", "reduce"), "shared": ("shared",), "per_cell": tuple(f"{i}" for i in range(count))}
        layers = paths(count) if config.layer_level == "searched" else ()
        parts = part_decisions(model, layers, membrane=config.membrane, norm=config.norm, stem=1)
        super().__init__("spiking-cells", dict.fromkeys(names[config.sharing], wiring), parts)
