"""From architecture parameters to mixing weights, and from those to a genotype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from nastk.core.cell.cells import LAYERS
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import SCALES
from nastk.core.cell.space import Relaxable
from nastk.core.errors import ConfigError
from nastk.core.model.trellis import Trellis
from nastk.core.run.strategy import SearchContext

SKIP = "skip_connect"


def allowed_moves(context: SearchContext, alpha: Mapping[str, Tensor]) -> Tensor | None:
    """The transitions of the layer level that exist for this task's images; ``None`` where the path is fixed."""
    body = context.supernet().body if LAYERS in alpha else None
    return body.allowed() if isinstance(body, Trellis) else None


def mixing_weights(alpha: Mapping[str, Tensor], allowed: Tensor | None) -> dict[str, Tensor]:
    """``softmax(alpha)`` over the candidates; transitions of the layer level that do not exist weigh nothing."""
    weights = {name: torch.softmax(a, dim=-1) for name, a in alpha.items() if name != LAYERS}
    if allowed is not None:
        forbidden = ~allowed.to(alpha[LAYERS].device)
        logits = alpha[LAYERS].masked_fill(forbidden, -1e9)
        weights[LAYERS] = torch.softmax(logits, dim=-1).masked_fill(forbidden, 0.0)
    return weights


def derive(space: Relaxable, weights: Mapping[str, Tensor], max_skips: int | None) -> Genotype:
    """The member of the space that these weights stand for, with at most ``max_skips`` skips in a normal cell."""
    arrays: dict[str, NDArray[Any]] = {name: w.detach().cpu().double().clone().numpy() for name, w in weights.items()}
    return space.derive(arrays) if max_skips is None else _cap_skips(space, arrays, max_skips)


def skips(genotype: Genotype) -> int:
    """The most skips in one cell that is no reduction."""
    counts = [sum(edge.op == SKIP for edge in cell.edges) for name, cell in genotype.cells if name != "reduce"]
    return max(counts, default=0)


def check_cap(space: Relaxable, max_skips: int) -> None:
    """Raise :class:`ConfigError` when the space has nothing to put in a skip's place."""
    full = space.full()
    skipping = {name: torch.tensor([[float(op == SKIP) for op in e.candidates] for e in cell.edges]) for name, cell in full.cells}
    layers = torch.ones(len(str(full.part(LAYERS))) - 1, SCALES, 2)
    if skips(derive(space, {**skipping, LAYERS: layers}, max_skips)) > max_skips:
        raise ConfigError([f"strategy.max_skips: a cell of this space always has more than {max_skips} skips"], "strategy")


def _cap_skips(space: Relaxable, arrays: dict[str, NDArray[Any]], limit: int) -> Genotype:
    """Derive anew without the weakest skip until no normal cell has more than ``limit`` of them, or no skip can go."""
    gone = -math.inf  # a zero would win again where all others are zero, too
    genotype = space.derive(arrays)
    full = space.full()
    changed = True
    while changed and skips(genotype) > limit:
        changed = False
        for name, cell in genotype.cells:
            skipping = {(e.src, e.dst) for e in cell.edges if e.op == SKIP}
            if name == "reduce" or len(skipping) <= limit:
                continue
            places = [(i, e.candidates.index(SKIP)) for i, e in enumerate(full.cell(name).edges) if (e.src, e.dst) in skipping]
            left = [place for place in places if arrays[name][place] > gone]
            if left:
                arrays[name][min(left, key=lambda place: float(arrays[name][place]))] = gone
                changed = True
        genotype = space.derive(arrays)
    return genotype


def entropy(weights: Mapping[str, Tensor]) -> float:
    """Mean entropy of the edges' mixing weights, 1 where they are uniform."""
    rows = [w for name, w in weights.items() if name != LAYERS]
    values = [-(w * w.clamp(min=1e-12).log()).sum(-1) / math.log(w.shape[-1]) for w in rows if w.shape[-1] > 1]
    return float(torch.cat(values).mean()) if values else 0.0


def skip_share(genotype: Genotype) -> float:
    """Share of skips among the edges of all cells."""
    edges = [edge for _, cell in genotype.cells for edge in cell.edges]
    return sum(edge.op == SKIP for edge in edges) / len(edges)
