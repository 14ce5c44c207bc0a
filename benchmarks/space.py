"""The space of the search-step benchmark: the cells of DARTS with any operations, so that both sides are one function."""

from __future__ import annotations

from attrs import field, frozen

from nastk.core import mark
from nastk.core.cell.cells import CellSpace, candidates, part_decisions
from nastk.core.cell.wiring import TopEdges, full_cell
from nastk.core.registry import registry
from nastk.core.settings import ModelConfig


@frozen(kw_only=True)
class DartsLikeConfig:
    """Settings of ``darts-like``."""

    operations: tuple[str, ...] = field(metadata={"help": "candidate operations by name"})
    nodes: int = field(default=4, metadata={"help": "inner nodes of a cell"})


@mark.space("darts-like", config=DartsLikeConfig)
class DartsLike(CellSpace):
    """Pre-activation cells as in DARTS: neuron, convolution, norm on an edge; pools and skips read the value."""

    def __init__(self, model: ModelConfig, config: DartsLikeConfig) -> None:
        operations = candidates(config.operations, model, "space darts-like")
        wiring = TopEdges(full_cell(2, config.nodes, operations, range(2, 2 + config.nodes)), degree=2)
        decisions = part_decisions(model, membrane="pre", norm="operation", stem=3)
        super().__init__("darts-like", {"normal": wiring, "reduce": wiring}, decisions)


def offer() -> None:
    """Make the space known in this process; harmless to repeat."""
    if all(entry.name != "darts-like" for entry in registry().entries()):
        registry().offer(DartsLike)
