"""Cells in which every edge stays, as whole numbers: how tables count them. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nastk.core.cell.graph import Cell, Edge, Genotype
from nastk.core.errors import NotInSpace


class CellNumbers:
    """Numbers of the cells of one input and one output, the last node, that have all of ``edges``.

    The operations are the digits, from 0 in the order given, the edges sorted by source and target the places, from the
    lowest. So a number is the choice of an ``EveryEdge`` wiring read as digits. ``title`` names the cells in errors.
    """

    def __init__(self, title: str, operations: Sequence[str], edges: Sequence[tuple[int, int]]) -> None:
        self.title, self.operations, self.edges = title, tuple(operations), tuple(sorted(edges))
        self.output = max(dst for _, dst in edges)
        self.size = len(operations) ** len(edges)
        self.weights = {edge: len(operations) ** place for place, edge in enumerate(self.edges)}
        """What the next operation on an edge adds to the number of a cell."""
        self._summands = {
            (*edge, op): weight * code for edge, weight in self.weights.items() for code, op in enumerate(self.operations)
        }

    def number(self, cell: Cell) -> int:
        """The number of a cell in ``range(size)``. Raises :class:`NotInSpace` for another cell."""
        if len(cell.edges) != len(self.edges) or cell.inputs != 1 or cell.outputs != (self.output,):
            raise NotInSpace(
                f"The cell has {cell.inputs} inputs, {len(cell.edges)} edges and the outputs {list(cell.outputs)}; "
                f"one of {self.title} has 1 input, {len(self.edges)} edges and the output {self.output}."
            )
        try:
            return sum([self._summands[edge.src, edge.dst, edge.op] for edge in cell.edges])
        except KeyError as error:
            src, dst, op = error.args[0]
            known = ", ".join(self.operations)
            fault = f"{self.title} has no edge {src}->{dst} with the operation {op!r}"
            raise NotInSpace(f"{fault}: its operations are {known}.") from None

    def cell(self, number: int) -> Cell:
        """The cell of a number: the inverse of :meth:`number`."""
        codes = {edge: number // weight % len(self.operations) for edge, weight in self.weights.items()}
        return Cell(1, [Edge(*edge, self.operations[code]) for edge, code in codes.items()], (self.output,))


def cells_named(genotype: Genotype, space: str, names: Sequence[str]) -> list[Cell]:
    """The cells of a genotype of this space, which has these, in sorted order. Raises :class:`NotInSpace` for another one."""
    if genotype.space != space or [name for name, _ in genotype.cells] != [*names]:
        found = ", ".join(name for name, _ in genotype.cells)
        raise NotInSpace(
            f"The genotype {genotype.digest} is of the space {genotype.space!r} with the cells {found}; "
            f"expected {space!r} with the cells {', '.join(names)}."
        )
    return [cell for _, cell in genotype.cells]
