"""Alpha's loss: the task's, and what the settings add to it (an expected cost, spikes)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.data.splits import Batch
from nastk.core.errors import ConfigError
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.estimator import Expected
from nastk.core.model.network import Network
from nastk.core.model.trellis import Trellis
from nastk.core.run.strategy import SearchContext
from nastk.strategies.bilevel_config import BilevelConfig


@frozen
class Learned:
    """One pass: logits ``(T, B, K)``, the task's loss, and the loss with all that was added."""

    logits: Tensor
    task: Tensor
    total: Tensor


class Penalty:
    """The loss of a batch at some mixing weights, differentiable in them and in the supernet's weights."""

    def __init__(self, config: BilevelConfig, context: SearchContext, supernet: Network) -> None:
        self.config, self.context, self.supernet = config, context, supernet
        self.spikes = SpikeCounter(supernet)
        self.estimator: Expected | None = None
        if config.penalty is not None:
            estimator = config.penalty.build()
            if not isinstance(estimator, Expected):
                raise ConfigError([f"strategy.penalty: {config.penalty.name!r} is not differentiable"], "strategy")
            if isinstance(supernet.body, Trellis):
                raise ConfigError(["strategy.penalty: has no meaning where the path of layers is searched"], "strategy")
            self.estimator = estimator
            uniform = {n: torch.full_like(w, 1 / w.shape[-1]) for n, w in self._shapes().items()}
            self.unit = float(self._cost(uniform))

    def _shapes(self) -> dict[str, Tensor]:
        cells = self.supernet.genotype.cells
        return {name: torch.zeros(len(c.edges), len(c.edges[0].candidates)) for name, c in cells}

    def _cost(self, weights: Mapping[str, Tensor]) -> Tensor:
        assert self.estimator is not None
        return self.estimator.expected(self.supernet.genotype, self.context.task.data.shape, self.context.task.outputs, weights)

    def __call__(self, mixing: Mapping[str, Tensor], batch: Batch) -> Learned:
        """One pass of the supernet over a batch at these mixing weights."""
        x_TBCHW, y_B = batch
        if self.config.nos_weight == 0:
            logits = self.supernet(x_TBCHW, mixing)
            task = total = self.context.task.loss(logits, y_B)
        else:
            self.spikes.reset()
            with self.spikes as counter:
                logits = self.supernet(x_TBCHW, mixing)
                counter.saw(len(y_B))
            task = self.context.task.loss(logits, y_B)
            total = task + self.config.nos_weight * counter.nos() / self.config.nos_target
        if self.estimator is not None:
            total = total + self.config.penalty_weight * self._cost(mixing) / self.unit
        return Learned(logits, task, total)
