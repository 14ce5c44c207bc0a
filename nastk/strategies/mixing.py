"""From architecture parameters to mixing weights, and from those to a genotype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from nastk.core.cells import LAYERS
from nastk.core.graph import Genotype
from nastk.core.space import Relaxable
from nastk.core.strategy import SearchContext
from nastk.core.trellis import Trellis

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
    arrays: dict[str, NDArray[Any]] = {name: w.detach().cpu().double().numpy() for name, w in weights.items()}
    return space.derive(arrays) if max_skips is None else _cap_skips(space, arrays, max_skips)


def skips(genotype: Genotype) -> int:
    """The most skips in one cell that is no reduction."""
    counts = [sum(edge.op == SKIP for edge in cell.edges) for name, cell in genotype.cells if name != "reduce"]
    return max(counts, default=0)


def _cap_skips(space: Relaxable, arrays: dict[str, NDArray[Any]], limit: int) -> Genotype:
    """Derive anew without the weakest skip until no normal cell has more than ``limit`` of them."""
    genotype = space.derive(arrays)
    full = space.full()
    while skips(genotype) > limit:
        for name, cell in genotype.cells:
            row = {(e.src, e.dst): i for i, e in enumerate(full.cell(name).edges)}
            column = full.cell(name).edges[0].candidates.index(SKIP)
            mine = [row[e.src, e.dst] for e in cell.edges if e.op == SKIP]
            if name != "reduce" and len(mine) > limit:
                weakest = min(mine, key=lambda r: float(arrays[name][r, column]))
                arrays[name][weakest, column] = 0.0
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
