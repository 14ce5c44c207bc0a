"""Training a discrete network from scratch, epoch by epoch; evaluating one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn

from nastk.core.data.splits import Batch
from nastk.core.data.task import Task
from nastk.core.errors import Diverged
from nastk.core.events import Emit
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.network import Network
from nastk.core.run.capture import Answer, Captured, recorder
from nastk.core.run.diagnosis import find
from nastk.core.run.divergence import Alert
from nastk.core.run.epoch import Keeping, Pass, Scores, run_epoch
from nastk.core.run.optim import OptimizerState, cosine, restore, set_lr, state_of, weights_of
from nastk.core.run.within import Tree, Within
from nastk.core.seeds import seeded
from nastk.core.settings import TrainConfig
from nastk.core.types import Split


@torch.no_grad()
def evaluate(network: Callable[[Tensor], Tensor], module: nn.Module, task: Task, batches: Iterable[Batch]) -> Scores:
    """Loss, accuracy and spikes in evaluation mode; ``network`` maps samples to logits (it may mix)."""
    was_training = module.training
    module.eval()
    loss, hits, n = 0.0, 0, 0
    with SpikeCounter(module) as counter:
        for x_TBCHW, y_B in batches:
            logits = network(x_TBCHW)
            loss += float(task.loss(logits, y_B)) * len(y_B)
            hits += int(task.correct(logits, y_B))
            n += len(y_B)
            counter.saw(len(y_B))
    module.train(was_training)
    return Scores(loss / n, hits / n, n, counter.figures(), counter.firing_rate())


@frozen
class TrainState:
    """Training between two epochs, as plain tensors: enough to go on bit by bit."""

    epoch: int
    weights: dict[str, Tensor]
    optimizer: OptimizerState
    figures: dict[str, Any] = field(factory=dict)


class Trainer:
    """Trains one discrete network from scratch (SGD, momentum, cosine; drop-path and auxiliary head as in DARTS)."""

    stage = "train"

    def __init__(
        self,
        network: Network,
        task: Task,
        config: TrainConfig,
        seed: int,
        emit: Emit,
        splits: Sequence[Split],
        capture: bool = False,
        within: Within | None = None,
        alert: Alert | None = None,
    ) -> None:
        self.network, self.task, self.config, self.seed, self.emit, self.splits = network, task, config, seed, emit, splits
        self.capture, self.within, self.alert = capture, within or Within(), alert or Alert()
        self.steps = task.data.steps(config.batch, *splits)
        self.parameters = dict(network.named_parameters())
        self.optimizer = torch.optim.SGD(
            self.parameters.values(),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            foreach=True,
        )

    def begin(self) -> TrainState:
        """The state before the first epoch: the network as it is."""
        return TrainState(0, weights_of(self.network), {})

    def load(self, state: TrainState) -> None:
        """Put the network and the optimizer where a state says."""
        self._put({"weights": state.weights, "optimizer": state.optimizer})

    def epoch(self, epoch: int, rate: float = 1.0) -> TrainState:
        """Train one epoch from where the network is, at ``rate`` times the usual learning rate; raises :class:`Diverged`."""
        with seeded(self.seed, self.stage, "dropout", epoch):
            scores = run_epoch(self._pass(epoch, rate, self.capture), self.emit, self.alert)
        figures = {"loss": scores.loss, "accuracy": scores.accuracy}
        return TrainState(epoch + 1, weights_of(self.network), state_of(self.optimizer, self.parameters), figures)

    def located(self, error: Diverged, state: TrainState, rate: float = 1.0) -> Diverged:
        """The error of the epoch behind ``state`` with the place where it began; that epoch is run again for it."""
        self.load(state)
        with seeded(self.seed, self.stage, "dropout", state.epoch):
            return error.adding(find(self._pass(state.epoch, rate, capture=False), error, self.emit))

    def _pass(self, epoch: int, rate: float, capture: bool) -> Pass:
        config = self.config
        set_lr(self.optimizer, cosine(epoch, config.epochs, config.lr, config.lr_min, config.warmup) * rate)
        self.network.set_dropout(drop_path=config.drop_path * epoch / config.epochs)
        self.network.train()
        batches = self.task.data.batches(config.batch, self.seed, self.stage, epoch, splits=self.splits)
        step = Captured(lambda x_TBCHW, y_B: self._update((x_TBCHW, y_B)), recorder(capture, self.task.data.device))
        keeping = Keeping(self.within, epoch, self._tree, self._put)
        return Pass(self.network, batches, self.steps, lambda batch: step(*batch), self.stage, epoch, keeping)

    def _tree(self) -> Tree:
        return {"weights": weights_of(self.network), "optimizer": state_of(self.optimizer, self.parameters)}

    def _put(self, tree: Tree) -> None:
        self.network.load_state_dict(tree["weights"])
        self.optimizer.state.clear()  # of a first epoch that is tried again nothing stays
        restore(self.optimizer, self.parameters, tree["optimizer"])

    def _update(self, batch: Batch) -> Answer:
        x_TBCHW, y_B = batch
        logits = self.network.logits(x_TBCHW)
        loss = self.task.loss(logits.main, y_B, self.config.label_smoothing)
        if logits.auxiliary is not None:
            loss = loss + self.config.auxiliary * self.task.loss(logits.auxiliary, y_B, self.config.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.optimizer.step()
        return loss.detach(), self.task.correct(logits.main.detach(), y_B), norm


def wilson(hits: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share, in [0, 1]."""
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
