"""D-DARTS (Heuillet et al., arXiv 2108.09306): every cell of the network is searched by itself.

Each cell has an alpha, a loss and an optimizer of its own. Adam moves every entry by itself, so one Adam with a group a
cell is an Adam a cell; as a cell's alpha is in no other cell's regulariser, the sum of the losses has the gradients of
each.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import ClassVar

import torch
from attrs import evolve, field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core import mark
from nastk.core.run.optim import cosine
from nastk.core.run.strategy import SearchContext
from nastk.core.seeds import generator, seeded
from nastk.core.types import Split
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelState, instead
from nastk.strategies.bilevel_epoch import Epoch
from nastk.strategies.contribution import ContributionConfig, contributions, scales
from nastk.strategies.fair_darts import FairDartsConfig, ZeroOne
from nastk.strategies.regulariser import Regulariser
from nastk.strategies.weighting import cells_of


@frozen(kw_only=True)
class ZeroOneEach(ZeroOne):
    """The zero-one loss of each cell."""

    zero_one: float = instead(ZeroOne, "zero_one", 7.0)


@frozen(kw_only=True)
class DDartsConfig(FairDartsConfig):
    """Settings of ``d-darts``: those of ``fair-darts``, with an optimizer and a regulariser for each cell."""

    alpha_lr: float = instead(FairDartsConfig, "alpha_lr", 0.05)
    alpha_lr_min: float = field(
        default=0.017, validator=gt(0), metadata={"help": "last learning rate of the architecture, by half a cosine"}
    )
    alpha_beta1: float = instead(FairDartsConfig, "alpha_beta1", 0.9)
    regulariser: ZeroOneEach = field(factory=ZeroOneEach, metadata={"help": "terms on alpha that join the loss of its cell"})
    contribution: ContributionConfig = field(
        factory=ContributionConfig, metadata={"help": "how a cell's contribution to the whole scales its learning rate"}
    )


class CellByCell(Epoch):
    """An epoch of the bilevel rule in which every cell has a loss and an optimizer of its own."""

    config: DDartsConfig

    def __init__(self, config: DDartsConfig, context: SearchContext, state: BilevelState) -> None:
        super().__init__(config, context, state)
        self.regulariser = _Each(self.regulariser)
        self.contribution: dict[str, float] = state.figures.get("contribution", {})
        searched = self.number - config.warmup
        if config.contribution.batches and searched >= 0 and searched % config.contribution.every == 0:
            self.contribution = self._contributions()
            self.supernet.load_state_dict(state.weights)  # its norms have seen other images
        lr, factors = self.alpha_lr, scales(self.contribution, config.contribution.weight)
        (group,) = self.alpha_optimizer.param_groups
        self.alpha_optimizer.param_groups = [
            {**group, "params": [a], "lr": lr * factors.get(name.partition(".")[0], 1.0)}
            for name, a in self.alpha.items()
        ]

    @property
    def alpha_lr(self) -> float:
        """The learning rate of an average cell."""
        return cosine(self.number, self.config.epochs, self.config.alpha_lr, self.config.alpha_lr_min) * self.context.rate

    def run(self) -> BilevelState:
        found = super().run()
        return evolve(found, figures={**found.figures, "contribution": {n: round(c, 6) for n, c in self.contribution.items()}})

    @torch.no_grad()
    def _contributions(self) -> dict[str, float]:
        """Of every cell, on samples of alpha; the norms look at each batch, as in training."""
        batches = list(islice(self.task.data.unaugmented(Split.ALPHA, batch=self.config.batch), self.config.contribution.batches))
        self.supernet.train()

        def loss(weights: Mapping[str, Tensor]) -> float:
            return sum(float(self.task.loss(self.supernet(x, weights), y)) for x, y in batches) / len(batches)

        with seeded(self.context.seed, "contribution", "draws", self.number):
            return contributions(self.mixing(), self.rule, loss, generator(self.context.seed, "contribution", self.number))


class _Each(Regulariser):
    """The sum of the terms of each cell."""

    def __init__(self, one: Regulariser) -> None:
        self.one = one

    def __call__(self, alpha: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor | float:
        return sum((self.one({name: alpha[name]}, {name: weights[name]}) for name in cells_of(alpha)), 0.0)


@mark.strategy(
    "d-darts",
    config=DDartsConfig,
    paper="Heuillet et al., D-DARTS: Distributed Differentiable Architecture Search, arXiv 2108.09306",
)
class DDarts(Bilevel):
    """Differentiable search of every layer's own cell, weighted by what it contributes (Heuillet et al., arXiv 2108.09306)."""

    defaults: ClassVar = {"space": {"name": "spiking-cells", "sharing": "per_cell"}, "proxy": {"cells": 0}}

    def __init__(self, config: DDartsConfig) -> None:
        super().__init__(config)
        self.config: DDartsConfig = config

    def step(self, context: SearchContext, state: BilevelState) -> BilevelState:
        return CellByCell(self.config, context, state).run()
