"""One epoch of a bilevel search: an architecture half step, a weight half step, for every batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nastk.core.data.splits import Batch
from nastk.core.errors import ConfigError
from nastk.core.events import Notice
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.estimator import Expected
from nastk.core.model.network import Network
from nastk.core.model.trellis import Trellis
from nastk.core.run.optim import cosine, restore, set_lr, state_of, weights_of
from nastk.core.run.strategy import SearchContext
from nastk.core.run.training import Scores, evaluate, run_epoch
from nastk.core.seeds import generator, seeded
from nastk.core.types import Split
from nastk.strategies.bilevel_config import BilevelConfig, BilevelState
from nastk.strategies.mixing import derive, drawn_paths, entropy, mixing_weights, skip_share, skips, targets
from nastk.strategies.unrolled import unrolled_gradient


class Epoch:
    """The supernet, both optimizers and both data streams of one epoch, made from a state and turned into the next."""

    def __init__(self, config: BilevelConfig, context: SearchContext, state: BilevelState) -> None:
        self.config, self.context, self.task, self.number = config, context, context.task, state.epoch
        self.supernet = context.supernet(config.relaxation)
        self.supernet.load_state_dict(state.weights)
        self.allowed = self.supernet.body.allowed() if isinstance(self.supernet.body, Trellis) else None
        self.parameters = dict(self.supernet.named_parameters())
        self.alpha = {name: a.clone().to(self.task.data.device).requires_grad_() for name, a in state.alpha.items()}
        self.optimizer = torch.optim.SGD(
            self.parameters.values(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True
        )
        betas = (config.alpha_beta1, 0.999)
        self.alpha_optimizer = torch.optim.Adam(
            self.alpha.values(), lr=config.alpha_lr, betas=betas, weight_decay=config.alpha_decay
        )
        restore(self.optimizer, self.parameters, state.optimizer)
        restore(self.alpha_optimizer, self.alpha, state.alpha_optimizer)
        self.targets = {n: t.to(self.task.data.device) for n, t in targets(context, config.relaxation).items()}
        self.draws = itertools.count()
        self.lr = cosine(self.number, config.epochs, config.lr, config.lr_min)
        set_lr(self.optimizer, self.lr)
        self.penalty = Penalty(config, context, self.supernet)
        self.train_spikes = SpikeCounter(self.supernet)
        self._alpha_batches = self._endless()

    def run(self) -> BilevelState:
        """Train the epoch, look at the supernet's health, and give the next state."""
        config, context = self.config, self.context
        steps = min(self.task.data.steps(config.batch, Split.WEIGHTS), self.task.data.steps(config.batch, Split.ALPHA))
        self.supernet.train()
        self.supernet.set_dropout(skip_dropout=config.skip_dropout * (1 - self.number / config.epochs))
        batches = context.batches(Split.WEIGHTS, config.batch, "weights")
        with seeded(context.seed, "dropout", self.number):
            scores = run_epoch(_first(batches, steps), steps, self._update, context.emit, "search", self.number)
        self.supernet.set_dropout()
        figures, stopped = self._health(scores)
        return BilevelState(
            self.number + 1,
            weights_of(self.supernet),
            state_of(self.optimizer, self.parameters),
            {name: a.detach().cpu().clone() for name, a in self.alpha.items()},
            state_of(self.alpha_optimizer, self.alpha),
            figures,
            stopped,
        )

    def mixing(self) -> dict[str, Tensor]:
        """The mixing weights now, differentiable in alpha."""
        return mixing_weights(self.alpha, self.allowed, self.targets)

    def trained_mixing(self, draw: int) -> dict[str, Tensor]:
        """The mixing weights that a half step computes with: drawn paths, where the relaxation says so."""
        relaxation, weights = self.config.relaxation, self.mixing()
        if not relaxation.paths:
            return weights
        done = self.number / max(self.config.epochs - 1, 1)
        temperature = relaxation.temperature + (relaxation.temperature_last - relaxation.temperature) * done
        draws = generator(self.context.seed, "paths", self.number, draw)
        return drawn_paths(weights, relaxation.paths, temperature, draws)

    def _endless(self) -> Iterator[Batch]:
        turn = 0
        while True:
            yield from self.context.batches(Split.ALPHA, self.config.batch, f"alpha {turn}")
            turn += 1

    def _update(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.number >= self.config.warmup:
            self._update_alpha(batch, next(self._alpha_batches))
        return self._update_weights(batch)

    def _update_alpha(self, train: Batch, held: Batch) -> None:
        alphas = list(self.alpha.values())

        draw = next(self.draws)

        def mixing() -> dict[str, Tensor]:
            return self.trained_mixing(draw)

        def alpha_loss() -> Tensor:
            return self.penalty(mixing(), held, self.task.loss)

        if self.config.order == 1:
            grads = list(torch.autograd.grad(alpha_loss(), alphas, allow_unused=True))
        else:
            parameters = list(self.parameters.values())
            velocities = [self.config.momentum * self._buffer(p) for p in parameters]
            grads = list(
                unrolled_gradient(
                    lambda: self.task.loss(self.supernet(train[0], mixing()), train[1]),
                    alpha_loss,
                    parameters,
                    alphas,
                    self.lr,
                    velocities,
                    self.config.weight_decay,
                )
            )
        for a, grad in zip(alphas, grads, strict=True):
            a.grad = grad
        self.alpha_optimizer.step()

    def _buffer(self, p: Tensor) -> Tensor:
        found = self.optimizer.state.get(p, {}).get("momentum_buffer")
        return torch.zeros_like(p) if found is None else found

    def _update_weights(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x_TBCHW, y_B = batch
        with self.train_spikes as counter:
            logits = self.supernet(x_TBCHW, {name: w.detach() for name, w in self.trained_mixing(next(self.draws)).items()})
            counter.saw(len(y_B))
        loss = self.task.loss(logits, y_B)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        counter.cut()
        nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.optimizer.step()
        return loss.detach(), self.task.correct(logits.detach(), y_B)

    def _health(self, scores: Scores) -> tuple[dict[str, Any], bool]:
        config, context = self.config, self.context
        weights = {name: w.detach() for name, w in self.mixing().items()}
        valid = evaluate(lambda x: self.supernet(x, weights), self.supernet, self.task, self.task.data.unaugmented(Split.VALID))
        genotype = derive(context.space, weights, None)  # type: ignore[arg-type]
        stopped = config.stop_skips is not None and skips(genotype) > config.stop_skips and self.number >= config.warmup
        if stopped:
            context.emit(Notice(f"Search stopped at epoch {self.number + 1}: the cell collapses to {skips(genotype)} skips."))
        figures: dict[str, Any] = {
            "loss": scores.loss,
            "accuracy": scores.accuracy,
            "valid_accuracy": valid.accuracy,
            "entropy": entropy(weights),
            "skip_share": skip_share(genotype),
            "nos": {"train": self.train_spikes.figures(), "validation": valid.nos},
            "genotype": genotype.digest,
            "weights": {name: _rounded(w) for name, w in weights.items()},
        }
        if stopped or self.number + 1 == config.epochs:
            # With partial channels the derived network has wider operations than the supernet: nothing to inherit.
            gap = None if config.relaxation.partial > 1 else valid.accuracy - self._derived_accuracy(weights)
            figures["discretisation_gap"] = gap
        return figures, stopped

    def _derived_accuracy(self, weights: Mapping[str, Tensor]) -> float:
        """Validation accuracy of the derived network with the supernet's weights and norm statistics of its own."""
        genotype = derive(self.context.space, weights, self.config.max_skips)  # type: ignore[arg-type]
        network = self.context.network(genotype, affine=False)
        network.inherit(self.supernet)
        recalibrate(network, self.context.batches(Split.WEIGHTS, self.config.batch, "recalibrate"))
        return evaluate(network, network, self.task, self.task.data.unaugmented(Split.VALID)).accuracy


def _rounded(weights: Tensor) -> list[list[float]]:
    """Mixing weights as a table, a row an edge; those of edges as one row."""
    return [[round(value, 5) for value in row] for row in weights.reshape(-1, weights.shape[-1]).tolist()]


class Penalty:
    """Alpha's loss: the task's, and what the settings add to it (an expected cost, spikes)."""

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

    def __call__(self, mixing: Mapping[str, Tensor], batch: Batch, task_loss: Any) -> Tensor:
        """The loss of a held-out batch at these mixing weights."""
        x_TBCHW, y_B = batch
        if self.config.nos_weight == 0:
            loss = task_loss(self.supernet(x_TBCHW, mixing), y_B)
        else:
            self.spikes.reset()
            with self.spikes as counter:
                loss = task_loss(self.supernet(x_TBCHW, mixing), y_B)
                counter.saw(len(y_B))
            loss = loss + self.config.nos_weight * counter.nos() / self.config.nos_target
        if self.estimator is not None:
            loss = loss + self.config.penalty_weight * self._cost(mixing) / self.unit
        return loss


@torch.no_grad()
def recalibrate(network: Network, batches: Iterator[Batch]) -> None:
    """Give a network with inherited weights norm statistics of its own: one pass in training mode, nothing is learned."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for x_TBCHW, _ in batches:
        network(x_TBCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _first(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch
