"""A space of a few hundred members, for tests and first experiments."""

from __future__ import annotations

from attrs import field, frozen

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.wiring import EveryEdge, full_cell
from nastk.core.settings import ModelConfig


@frozen(kw_only=True)
class ToyConfig:
    """Settings of ``toy``."""

    operations: tuple[str, ...] = field(
        default=("none", "skip_connect", "conv_3x3", "avg_pool_3x3"), metadata={"help": "candidate operations of every edge"}
    )


@mark.space("toy", config=ToyConfig)
class Toy(CellSpace):
    """One shared cell with one input and two nodes; every edge takes one operation (NAS-Bench-201 style)."""

    def __init__(self, model: ModelConfig, config: ToyConfig) -> None:
        operations = candidates(config.operations, model, "space toy")
        wiring = EveryEdge(full_cell(1, 2, operations, (1, 2)))
        super().__init__("toy", {"shared": wiring}, part_decisions(model, membrane="node", norm="node", stem=1))
