"""From architecture parameters to mixing weights, and from those to a genotype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from nastk.core.cell.attended import ATTENTION, attention_of
from nastk.core.cell.cells import LAYERS
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import SCALES
from nastk.core.cell.space import Relaxable
from nastk.core.errors import ConfigError
from nastk.core.model.relaxation import EDGES, RelaxationConfig, edges_of
from nastk.core.model.trellis import Trellis
from nastk.core.run.strategy import SearchContext
from nastk.strategies.weighting import SOFTMAX, Softmax, cells_of, gumbel_noised

SKIP = "skip_connect"


def allowed_moves(context: SearchContext, alpha: Mapping[str, Tensor]) -> Tensor | None:
    """The transitions of the layer level that exist for this task's images; ``None`` where the path is fixed."""
    body = context.supernet().body if LAYERS in alpha else None
    return body.allowed() if isinstance(body, Trellis) else None


def targets(context: SearchContext, relaxation: RelaxationConfig) -> dict[str, Tensor]:
    """The node that each edge of a cell enters, where edges have weights of their own; else nothing."""
    if relaxation.partial == 1:
        return {}
    full = context.space.full()  # type: ignore[attr-defined]
    return {name: torch.tensor([edge.dst for edge in cell.edges]) for name, cell in full.cells}


def mixing_weights(
    alpha: Mapping[str, Tensor], allowed: Tensor | None, targets: Mapping[str, Tensor] | None = None, rule: Softmax = SOFTMAX
) -> dict[str, Tensor]:
    """The candidates' weights by ``rule``; transitions of the layer level that do not exist weigh nothing.

    Attention weights (``"normal.attention"``) are a softmax over the attentions of an edge, whatever the rule (Att-DARTS,
    Nakai et al., IJCNN 2020).
    Edge weights (``"normal.edges"``) are a softmax over the edges that enter one node; ``targets`` names that node for each
    edge of a cell (PC-DARTS, Xu et al., ICLR 2020, eq. 2).
    """
    weights = {name: rule.weigh(alpha[name]) for name in cells_of(alpha)}
    weights |= {name: torch.softmax(a, dim=-1) for name, a in alpha.items() if name.endswith(f".{ATTENTION}")}
    for cell, nodes_E in (targets or {}).items():
        together_EE = nodes_E[:, None] == nodes_E[None]
        logits_EE = alpha[edges_of(cell)][None].masked_fill(~together_EE, -torch.inf)
        weights[edges_of(cell)] = torch.softmax(logits_EE, dim=-1).diagonal()
    if allowed is not None:
        forbidden = ~allowed.to(alpha[LAYERS].device)
        logits = alpha[LAYERS].masked_fill(forbidden, -1e9)
        weights[LAYERS] = torch.softmax(logits, dim=-1).masked_fill(forbidden, 0.0)
    return weights


def drawn_paths(weights: Mapping[str, Tensor], paths: int, temperature: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights of which only ``paths`` a row are not zero, drawn by the Gumbel maximum (GDAS, Dong and Yang, CVPR 2019).

    One path has weight 1, and the gradient of its relaxed weight; several share 1 in proportion to theirs.
    """
    found = dict(weights)
    for name in cells_of(weights):
        w_EO = weights[name]
        if paths >= w_EO.shape[-1]:
            continue
        soft_EO = torch.softmax(gumbel_noised(w_EO, generator) / temperature, dim=-1)
        mask_EO = torch.zeros_like(w_EO).scatter(-1, soft_EO.topk(paths, dim=-1).indices, 1.0)
        kept_EO = mask_EO * soft_EO
        if paths == 1:
            found[name] = mask_EO * (1 + soft_EO - soft_EO.detach())
        else:
            found[name] = kept_EO / kept_EO.sum(-1, keepdim=True)
    return found


def derive(space: Relaxable, weights: Mapping[str, Tensor], max_skips: int | None) -> Genotype:
    """The member of the space that these weights stand for, with at most ``max_skips`` skips in a normal cell."""
    whole = {name: w for name, w in weights.items() if not name.endswith(EDGES)}
    whole |= {name: w * weights[edges_of(name)][:, None] for name, w in whole.items() if edges_of(name) in weights}
    arrays: dict[str, NDArray[Any]] = {name: w.detach().cpu().double().clone().numpy() for name, w in whole.items()}
    return space.derive(arrays) if max_skips is None else _cap_skips(space, arrays, max_skips)


def skips(genotype: Genotype) -> int:
    """The most skips in one cell that is no reduction."""
    counts = [sum(edge.op == SKIP for edge in cell.edges) for name, cell in genotype.cells if name != "reduce"]
    return max(counts, default=0)


def check_cap(space: Relaxable, max_skips: int) -> None:
    """Raise :class:`ConfigError` when the space has nothing to put in a skip's place."""
    full = space.full()
    skipping = {name: torch.tensor([[float(op == SKIP) for op in e.candidates] for e in cell.edges]) for name, cell in full.cells}
    skipping |= {attention_of(name): torch.ones(len(c.edges), len(c.edges[0].attentions)) for name, c in full.cells}
    layers = torch.ones(len(str(full.part(LAYERS))) - 1, SCALES, 2)
    if skips(derive(space, {**skipping, LAYERS: layers}, max_skips)) > max_skips:
        raise ConfigError([f"strategy.guard.max_skips: a cell of this space always has more than {max_skips} skips"], "strategy")


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


def entropy(weights: Mapping[str, Tensor], rule: Softmax = SOFTMAX) -> float:
    """Mean over the edges of how undecided their mixing weights are: 1 undecided (uniform), 0 decided."""
    values = [rule.undecided(weights[name]) for name in cells_of(weights) if weights[name].shape[-1] > 1]
    return float(torch.cat(values).mean()) if values else 0.0


def skip_share(genotype: Genotype) -> float:
    """Share of skips among the edges of all cells."""
    edges = [edge for _, cell in genotype.cells for edge in cell.edges]
    return sum(edge.op == SKIP for edge in edges) / len(edges)
