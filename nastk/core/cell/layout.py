"""The layer level: at which scale each cell works, and the shapes that follow. Torch-free.

A path such as ``"00111222"`` gives the scale of each layer; scale ``s`` has ``2**s`` times the channels and ``1/2**s``
of the height and width. A layer whose scale is above the one before is a reduction. The fixed path of DARTS reduces at
one and two thirds of the depth; SpikeDHS searches the path (``KEEP`` or ``DOWN`` after every layer).
"""

from __future__ import annotations

from itertools import accumulate, combinations, pairwise
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nastk.core.cell.graph import Genotype
from nastk.core.errors import SchemaError, ShapeError
from nastk.core.types import Shape

SCALES = 4
KEEP, DOWN = 0, 1
SEARCHED = "*"


def fixed_path(layers: int) -> str:
    """The path of DARTS: reductions at ``layers // 3`` and ``2 * layers // 3``."""
    reductions = {layers // 3, 2 * layers // 3}
    return "".join(str(scale) for scale in accumulate(int(i in reductions) for i in range(layers)))


def paths(layers: int) -> tuple[str, ...]:
    """Every path that starts at scale 0 and goes down at most three times, fewest first."""
    found = []
    for downs in range(min(SCALES, layers)):
        for where in combinations(range(1, layers), downs):
            found.append("".join(str(s) for s in accumulate(int(i in where) for i in range(layers))))
    return tuple(found)


def best_path(weights_LSD: NDArray[Any]) -> str:
    """The path of the largest product of transition weights (Viterbi), ``weights_LSD[l, s]`` leading from layer ``l``.

    ``(L - 1, SCALES, 2)``, the last axis ``KEEP``, ``DOWN``. Ties go to keeping the scale.
    """
    best: dict[int, tuple[float, str]] = {0: (1.0, "0")}
    for step_SD in weights_LSD:
        reached: dict[int, tuple[float, str]] = {}
        for scale, (mass, path) in sorted(best.items(), reverse=True):
            for move in (KEEP, DOWN):
                target = scale + move
                product = mass * float(step_SD[scale, move])
                if target < SCALES and (target not in reached or product >= reached[target][0]):
                    reached[target] = (product, path + str(target))
        best = reached
    return max(best.items(), key=lambda item: (item[1][0], -item[0]))[1][1]


def one_hot_path(path: str) -> NDArray[Any]:
    """The transition weights at which the trellis is this path."""
    weights = np.zeros((len(path) - 1, SCALES, 2))
    for layer, (here, there) in enumerate(pairwise(path)):
        weights[layer, int(here), int(there) - int(here)] = 1.0
    return weights


def halved(size: int, scale: int) -> int:
    """A height or width after ``scale`` halvings that round up."""
    factor: int = 2**scale
    return -(-size // factor)


@frozen
class Feed:
    """One input of a cell: the channels it has, and the stride that brings it to the other inputs' scale."""

    channels: int
    stride: int


@frozen
class LayerPlan:
    """One cell of the network: which cell, at which width, from which inputs; ``shape`` is what its edges see."""

    index: int
    cell: str
    reduction: bool
    shape: Shape
    feeds: tuple[Feed, ...]

    @property
    def stride(self) -> int:
        """The stride of the edges that leave the cell's inputs."""
        return 2 if self.reduction else 1


def cell_of_layer(genotype: Genotype, layer: int, reduction: bool) -> str:
    """The name of the cell that a layer uses: its own number, the one shared cell, or ``normal`` / ``reduce``."""
    names = dict(genotype.cells)
    for name in (str(layer), "shared", "reduce" if reduction else "normal"):
        if name in names:
            return name
    raise SchemaError(f"The genotype has no cell for layer {layer}: it has {', '.join(names)}.")


def plan(genotype: Genotype, shape: Shape) -> tuple[LayerPlan, ...]:
    """The layers of a network with a fixed path; ``shape`` is the sample's ``(T, C, H, W)``.

    Raises :class:`SchemaError` for a path that is none, :class:`ShapeError` when an image is too small for it.
    """
    path = str(genotype.part("layers"))
    if not (path.isascii() and path.isdigit()) or any(
        b not in (a, a + 1) for a, b in zip([0, *map(int, path)], map(int, path), strict=False)
    ):
        raise SchemaError(f"The genotype's layers {path!r} are no path: each scale must equal the one before or be one above.")
    width, time = int(genotype.part("channels")), int(genotype.part("time_steps"))
    before = last = (width * int(genotype.part("stem")), 0)  # (channels, scale) of the two preceding outputs
    layers = []
    scale = 0
    for index, target in enumerate(map(int, path)):
        reduction = target > scale
        if halved(min(shape.H, shape.W), scale) < 2 and reduction:
            size = f"{shape.H} x {shape.W}"
            raise ShapeError(f"Layer {index} would halve a side of 1 ({size} samples): use fewer reductions or cells.")
        name = cell_of_layer(genotype, index, reduction)
        channels = width * 2**target
        sees = Shape(time, channels, halved(shape.H, scale), halved(shape.W, scale))
        feeds = tuple(Feed(wide, 2 ** (scale - at)) for wide, at in (before, last))
        layers.append(LayerPlan(index, name, reduction, sees, feeds[-genotype.cell(name).inputs :]))
        before, last = last, (channels * len(genotype.cell(name).outputs), target)
        scale = target
    return tuple(layers)
