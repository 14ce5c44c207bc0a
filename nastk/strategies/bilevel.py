"""Bilevel differentiable search: weights by SGD on one half of the data, the architecture by Adam on the other.

One step is one epoch of the supernet. How alpha becomes mixing weights, how the supernet computes them, what joins alpha's
loss, what guards the search and how a member is derived are tables of the settings, each with a file of its own; the named
strategies are this rule with other defaults. Defaults fit the bundled digits; the recipes in ``examples/recipes`` have
those of DARTS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from attrs import evolve

from nastk.core.cell.attended import attention_of
from nastk.core.cell.cells import LAYERS
from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable
from nastk.core.model.relaxation import edges_of
from nastk.core.model.trellis import Trellis
from nastk.core.run.optim import weights_of
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.seeds import generator
from nastk.strategies.bilevel_config import BilevelConfig, BilevelState
from nastk.strategies.bilevel_epoch import Epoch, steps_of
from nastk.strategies.mixing import allowed_moves, check_cap, mixing_weights, targets
from nastk.strategies.penalty import Penalty


class Bilevel(Strategy[BilevelState]):
    """The shared rule of the differentiable strategies."""

    requires = Relaxable
    state: ClassVar[type] = BilevelState

    def __init__(self, config: BilevelConfig) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        return self.config.epochs

    def check(self, context: SearchContext) -> None:
        Penalty(self.config, context, context.supernet(self.config.relaxation))
        steps_of(self.config, context)
        if self.config.guard.max_skips is not None:
            check_cap(context.space, self.config.guard.max_skips)  # type: ignore[arg-type]

    def begin(self, context: SearchContext) -> BilevelState:
        supernet = context.supernet(self.config.relaxation)
        full = context.space.full()  # type: ignore[attr-defined]
        alpha = {}
        for name, cell in full.cells:
            shape = (len(cell.edges), len(cell.edges[0].candidates))
            alpha[name] = 1e-3 * torch.randn(shape, generator=generator(context.seed, "alpha", name))
            if len(names := cell.edges[0].attentions) > 1:
                draws = generator(context.seed, "alpha", attention_of(name))
                alpha[attention_of(name)] = 1e-3 * torch.randn((len(cell.edges), len(names)), generator=draws)
        if isinstance(supernet.body, Trellis):
            alpha[LAYERS] = 1e-3 * torch.randn(supernet.body.allowed().shape, generator=generator(context.seed, "alpha", LAYERS))
        if self.config.relaxation.partial > 1:
            alpha |= {edges_of(name): torch.zeros(len(cell.edges)) for name, cell in full.cells}
        return BilevelState(0, weights_of(supernet), {}, alpha, {}, {})

    def step(self, context: SearchContext, state: BilevelState) -> BilevelState:
        return Epoch(self.config, context, state).run()

    def recommend(self, context: SearchContext, state: BilevelState) -> Sequence[Genotype]:
        config = self.config
        moves, nodes = allowed_moves(context, state.alpha), targets(context, config.relaxation)
        weights = mixing_weights(state.alpha, moves, nodes, config.weighting.build())
        return [config.decision.decide(context.space, weights, config.guard.max_skips)]  # type: ignore[arg-type]

    def landmarks(self, state: BilevelState) -> Mapping[int, BilevelState]:
        """Alpha joins in after the warm-up, and the last epoch looks at the derived network."""
        last = self.config.epochs - 1
        return {epoch: evolve(state, epoch=epoch) for epoch in sorted({0, min(self.config.warmup, last), last})}

    def figures(self, state: BilevelState) -> dict[str, Any]:
        return state.figures

    def finished(self, state: BilevelState) -> bool:
        return state.stopped
