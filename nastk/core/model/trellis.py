"""The layer-level supernet: every path of scales at once (SpikeDHS, Che et al. 2022; Auto-DeepLab, Liu et al. 2019).

State ``(l, s)`` is layer ``l`` at scale ``s``. It is reached from ``(l - 1, s)`` by a normal cell (KEEP) or from
``(l - 1, s - 1)`` by a reduction cell (DOWN). Transition weights give each state a mass; a state's value is the mean
of its arrivals weighted by their mass, so one-hot weights give exactly the chain along one path.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import DOWN, KEEP, SCALES, Feed, LayerPlan, cell_of_layer, halved
from nastk.core.model.cellnet import CellModule, Material, Preprocess
from nastk.core.model.relaxation import mixing_of
from nastk.core.types import Shape

Mixing = Mapping[str, Tensor]


class Logits(NamedTuple):
    """Logits ``(T, B, K)`` of the classifier, and of an auxiliary head."""

    main: Tensor
    auxiliary: Tensor | None


class Trellis(nn.Module):
    """All cells of all states; ``mixing["layers"]`` is ``(L - 1, SCALES, 2)``, the weights of KEEP and DOWN.

    ``cells["l_c_m"]`` is the cell of layer ``l`` that starts from scale ``c`` by move ``m``; ``grand["l_c_m"]`` brings
    it the output before last when that one is a scale above.
    """

    def __init__(self, genotype: Genotype, shape: Shape, material: Material, stem: int, classes: int) -> None:
        super().__init__()
        self.depth = len(str(genotype.part("layers")))
        self.reach = next((s for s in range(SCALES) if halved(min(shape.H, shape.W), s) < 2), SCALES - 1)
        self._genotype, self._stem, self._width = genotype, stem, int(genotype.part("channels"))
        self.cells, self.grand, self.classifiers = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for layer in range(self.depth):
            for scale, move in self._moves(layer):
                self._add_cell(layer, scale, move, shape, material)
        for scale in self._scales(self.depth - 1):
            self.classifiers[str(scale)] = nn.Linear(self._leaving(self.depth - 1, scale), classes)

    def _scales(self, layer: int) -> range:
        """The scales a layer can have; layer -1 is the encoder."""
        return range(min(max(layer, 0), self.reach) + 1)

    def _moves(self, layer: int) -> list[tuple[int, int]]:
        """The (start scale, move) pairs that lead into a layer; the first layer keeps scale 0."""
        if layer == 0:
            return [(0, KEEP)]
        return [(s, m) for s in self._scales(layer - 1) for m in (KEEP, DOWN) if s + m <= self.reach]

    def _leaving(self, layer: int, scale: int) -> int:
        """The channels that leave a state."""
        if layer < 0:
            return self._stem
        name = cell_of_layer(self._genotype, layer, reduction=False)
        factor: int = 2**scale
        return self._width * factor * len(self._genotype.cell(name).outputs)

    def _add_cell(self, layer: int, scale: int, move: int, shape: Shape, material: Material) -> None:
        key = f"{layer}_{scale}_{move}"
        name = cell_of_layer(self._genotype, layer, move == DOWN)
        sees = Shape(shape.T, self._width * 2 ** (scale + move), halved(shape.H, scale), halved(shape.W, scale))
        feeds = (Feed(self._leaving(layer - 2, scale), 1), Feed(self._leaving(layer - 1, scale), 1))
        planned = LayerPlan(layer, name, move == DOWN, sees, feeds)
        self.cells[key] = CellModule(self._genotype.cell(name), planned, material)
        if layer >= 2 and scale >= 1:
            self.grand[key] = Preprocess(Feed(self._leaving(layer - 2, scale - 1), 2), material.site(sees), material.membrane)

    def allowed(self) -> Tensor:
        """``(L - 1, SCALES, 2)``: which transitions exist for this size of image."""
        mask = torch.zeros(self.depth - 1, SCALES, 2, dtype=torch.bool)
        for layer in range(1, self.depth):
            for scale, move in self._moves(layer):
                mask[layer - 1, scale, move] = True
        return mask

    def forward(self, x_TBCHW: Tensor, mixing: Mixing | None) -> Logits:
        if mixing is None:
            raise ValueError("a trellis has no meaning without mixing weights")
        steps_LSD = mixing["layers"]
        one = steps_LSD.new_ones(())
        before: dict[int, Tensor] = {0: x_TBCHW}
        last: dict[int, Tensor] = {0: x_TBCHW}
        masses: dict[int, Tensor] = {0: one}
        came: dict[int, dict[int, Tensor]] = {0: {KEEP: one}}  # state -> move that led there -> mass
        for layer in range(self.depth):
            arrivals: dict[int, dict[int, tuple[Tensor, Tensor]]] = {}
            for scale, move in self._moves(layer):
                if scale not in last:
                    continue
                mass = masses[scale] * (one if layer == 0 else steps_LSD[layer - 1, scale, move])
                if mass.item() == 0.0:  # a path that one-hot weights do not take
                    continue
                ready = self._ready(layer, scale, move, before, last[scale], came[scale])
                name = cell_of_layer(self._genotype, layer, move == DOWN)
                out = self.cells[f"{layer}_{scale}_{move}"].run(ready, *mixing_of(mixing, name))  # type: ignore[operator]
                arrivals.setdefault(scale + move, {})[move] = (mass, out)
            before = last
            came = {state: {move: mass for move, (mass, _) in found.items()} for state, found in arrivals.items()}
            masses = {state: _total(list(found.values())) for state, found in came.items()}
            last = {s: _total([mass / masses[s] * out for mass, out in found.values()]) for s, found in arrivals.items()}
        heads = [masses[s] * self.classifiers[str(s)](x.mean(dim=(-2, -1))) for s, x in last.items()]
        return Logits(_total(heads), None)

    def _ready(
        self, layer: int, scale: int, move: int, before: dict[int, Tensor], last: Tensor, came: dict[int, Tensor]
    ) -> list[Tensor]:
        """A cell's two inputs: the output before last, as a mean over the moves that led here, and the last one."""
        key = f"{layer}_{scale}_{move}"
        older, newer = self.cells[key].feeds  # type: ignore[misc]
        mass = _total(list(came.values()))
        grand = []
        if KEEP in came:
            grand.append(came[KEEP] / mass * older(before[scale]))
        if DOWN in came:
            grand.append(came[DOWN] / mass * self.grand[key](before[scale - 1]))
        return [_total(grand), newer(last)]

    def chain_state(self, path: str) -> dict[str, Tensor]:
        """The weights along one path, under the names of the chain of that path."""
        names = {f"classifiers.{path[-1]}.": "classifier."}
        scales = [0, *map(int, path)]
        for layer, (scale, target) in enumerate(pairwise(scales)):
            key = f"{layer}_{scale}_{target - scale}"
            names[f"cells.{key}."] = f"cells.{layer}."
            if layer >= 2 and scales[layer - 1] < scale:
                names[f"cells.{key}.feeds.0."] = ""
                names[f"grand.{key}."] = f"cells.{layer}.feeds.0."
        found = {}
        for name, value in self.state_dict().items():
            matching = max((old for old in names if name.startswith(old)), key=len, default=None)
            if matching and names[matching]:
                found[names[matching] + name.removeprefix(matching)] = value
        return found


def _total(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
