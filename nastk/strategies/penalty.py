"""Alpha's loss: the task's, and what the settings add to it (an expected cost, spikes, synaptic operations)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.cell.attended import attention_of
from nastk.core.config import EstimatorPart
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
        self.cost = None if config.penalty is None else self._cost("penalty", config.penalty)
        self.macs = self._cost("sops_weight", EstimatorPart.named("macs")) if config.sops_weight else None
        if self.macs is not None and not self.spikes.neurons:
            raise ConfigError(["strategy.sops_weight: the network has no spiking neurons, so no synaptic operations"], "strategy")

    def _shapes(self) -> dict[str, Tensor]:
        cells = [(name, len(cell.edges), cell.edges[0]) for name, cell in self.supernet.genotype.cells]
        found = {name: torch.zeros(count, len(edge.candidates)) for name, count, edge in cells}
        choosing = {name: (count, edge) for name, count, edge in cells if len(edge.attentions) > 1}
        return found | {attention_of(n): torch.zeros(count, len(edge.attentions)) for n, (count, edge) in choosing.items()}

    def _cost(self, setting: str, part: EstimatorPart) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """The expected cost at mixing weights, over its value at uniform ones. Raises :class:`ConfigError`."""
        estimator = part.build()
        if not isinstance(estimator, Expected):
            raise ConfigError([f"strategy.{setting}: {part.name!r} is not differentiable"], "strategy")
        if isinstance(self.supernet.body, Trellis):
            raise ConfigError([f"strategy.{setting}: has no meaning where the path of layers is searched"], "strategy")
        data, outputs = self.context.task.data, self.context.task.outputs

        def cost(weights: Mapping[str, Tensor]) -> Tensor:
            return estimator.expected(self.supernet.genotype, data.shape, outputs, weights)

        unit = float(cost({n: torch.full_like(w, 1 / w.shape[-1]) for n, w in self._shapes().items()}))
        return lambda weights: cost(weights) / unit

    def __call__(self, mixing: Mapping[str, Tensor], batch: Batch) -> Learned:
        """One pass of the supernet over a batch at these mixing weights."""
        x_TBCHW, y_B = batch
        if self.config.nos_weight == 0 and self.macs is None:
            logits = self.supernet(x_TBCHW, mixing)
            task = total = self.context.task.loss(logits, y_B)
        else:
            self.spikes.reset()
            with self.spikes as counter:
                logits = self.supernet(x_TBCHW, mixing)
                counter.saw(len(y_B))
            task = self.context.task.loss(logits, y_B)
            total = task + self.config.nos_weight * counter.nos() / self.config.nos_target
            if self.macs is not None:
                total = total + self.config.sops_weight * counter.rate() * self.macs(mixing)
        if self.cost is not None:
            total = total + self.config.penalty_weight * self.cost(mixing)
        return Learned(logits, task, total)
