"""One epoch of a bilevel search: an architecture half step, a weight half step, for every batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nastk.core.data.splits import Batch
from nastk.core.errors import Diverged
from nastk.core.events import Notice
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.distributed import averaged
from nastk.core.model.trellis import Trellis
from nastk.core.run.capture import Answer, Captured, recorder
from nastk.core.run.diagnosis import find
from nastk.core.run.epoch import Keeping, Pass, Scores, run_epoch
from nastk.core.run.optim import cosine, restore, set_lr, state_of, weights_of
from nastk.core.run.strategy import SearchContext
from nastk.core.run.training import evaluate
from nastk.core.run.within import Tree
from nastk.core.seeds import generator, seeded
from nastk.core.types import Split
from nastk.strategies.bilevel_config import BilevelConfig, BilevelState
from nastk.strategies.guard import History, Look, remembered
from nastk.strategies.health import Health, skip_lead
from nastk.strategies.inherited import inherited_scores
from nastk.strategies.mixing import drawn_paths, entropy, mixing_weights, skip_share, targets
from nastk.strategies.penalty import Penalty
from nastk.strategies.regulariser import Regulariser
from nastk.strategies.unrolled import unrolled_gradient
from nastk.strategies.weighting import between

STREAMS: dict[int, tuple[tuple[Split, ...], ...]] = {
    1: ((Split.WEIGHTS, Split.ALPHA),),
    2: ((Split.WEIGHTS,), (Split.ALPHA,)),
}
"""By the number of levels: the samples on which the weights learn, and those on which alpha does where it has its own."""


def steps_of(config: BilevelConfig, context: SearchContext) -> int:
    """Steps an epoch: those of the smaller stream. Raises :class:`DataError` where a batch is larger than a stream."""
    return min([context.task.data.steps(config.batch, *stream) for stream in STREAMS[config.levels]])


class Epoch:
    """The supernet, both optimizers and both data streams of one epoch, made from a state and turned into the next."""

    def __init__(self, config: BilevelConfig, context: SearchContext, state: BilevelState) -> None:
        self.config, self.context, self.task, self.number = config, context, context.task, state.epoch
        self.begun = state
        self.supernet = context.supernet(config.relaxation)
        self.supernet.load_state_dict(state.weights)
        device = self.task.data.device
        self.allowed = self.supernet.body.allowed().to(device) if isinstance(self.supernet.body, Trellis) else None
        self.parameters = dict(self.supernet.named_parameters())
        self.alpha = {name: averaged(a.clone().to(device).requires_grad_()) for name, a in state.alpha.items()}
        self.optimizer = torch.optim.SGD(
            self.parameters.values(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True
        )
        record = recorder(context.config.capture and self.recordable, device)
        self.alpha_optimizer = torch.optim.Adam(
            self.alpha.values(),
            lr=config.alpha_lr * context.rate,
            betas=(config.alpha_beta1, 0.999),
            weight_decay=config.alpha_decay,
            capturable=record is not None,
        )
        restore(self.optimizer, self.parameters, state.optimizer)
        restore(self.alpha_optimizer, self.alpha, state.alpha_optimizer)
        self.targets = {n: t.to(self.task.data.device) for n, t in targets(context, config.relaxation).items()}
        self.drawn = self.held = 0
        self.lr = cosine(self.number, config.epochs, config.lr, config.lr_min) * context.rate
        set_lr(self.optimizer, self.lr)
        self.penalty = Penalty(config, context, self.supernet)
        self.rule = config.weighting.build()
        self.regulariser = Regulariser(config.regulariser, self.rule, between(0, 1, self.number, config.epochs))
        self.perturbation = config.perturbation.build(self.number, config.epochs)
        self.train_spikes = SpikeCounter(self.supernet)
        self.history = state.history
        self._alpha_batches = self._endless()
        self._halves = Captured(self._both_halves, record)

    @property
    def recordable(self) -> bool:
        """Whether a step is the same operations every time: nothing is drawn on the host, no path looked at there."""
        config = self.config
        drawn = config.relaxation.paths > 0 or config.weighting.kind == "gumbel-softmax" or config.perturbation.kind != "none"
        return not drawn and self.allowed is None

    def run(self) -> BilevelState:
        """Train the epoch, look at the supernet's health, and give the next state. Raises :class:`Diverged`, located."""
        context = self.context
        try:
            with seeded(context.seed, "dropout", self.number):
                scores = run_epoch(self._pass(), context.emit, context.alert)
        except Diverged as error:
            raise error.adding(type(self)(self.config, context, self.begun)._where(error)) from None
        self.supernet.set_dropout()
        figures, history, stopped = self._health(scores)
        return BilevelState(
            self.number + 1,
            weights_of(self.supernet),
            state_of(self.optimizer, self.parameters),
            {name: a.detach().cpu().clone() for name, a in self.alpha.items()},
            state_of(self.alpha_optimizer, self.alpha),
            figures,
            stopped,
            history,
        )

    def _pass(self) -> Pass:
        config, context = self.config, self.context
        steps = steps_of(config, context)
        self.supernet.train()
        self.supernet.set_dropout(skip_dropout=config.guard.skip_dropout * (1 - self.number / config.epochs))
        splits = STREAMS[config.levels][0]
        batches = self.task.data.batches(config.batch, context.seed, context.step, "weights", splits=splits)
        keeping = Keeping(context.within, context.step, self._tree, self._put)
        return Pass(self.supernet, _first(batches, steps), steps, self._update, "search", self.number, keeping)

    def _where(self, error: Diverged) -> str:
        """Where it began: this epoch, from its beginning, is used up for it."""
        self._halves = Captured(self._both_halves, None)
        with seeded(self.context.seed, "dropout", self.number):
            return find(self._pass(), error, self.context.emit)

    def _tree(self) -> Tree:
        learned = {
            "weights": weights_of(self.supernet),
            "optimizer": state_of(self.optimizer, self.parameters),
            "alpha": {name: a.detach().cpu().clone() for name, a in self.alpha.items()},
            "alpha_optimizer": state_of(self.alpha_optimizer, self.alpha),
        }
        return {**learned, "drawn": self.drawn, "held": self.held, "spikes": self.train_spikes.totals()}

    def _put(self, tree: Tree) -> None:
        self.supernet.load_state_dict(tree["weights"])
        restore(self.optimizer, self.parameters, tree["optimizer"])
        with torch.no_grad():
            for name, a in self.alpha.items():
                a.copy_(tree["alpha"][name])
        restore(self.alpha_optimizer, self.alpha, tree["alpha_optimizer"])
        self.train_spikes.put(tree["spikes"])
        self.drawn = tree["drawn"]
        for _ in range(tree["held"]):
            self._hold()

    def _draw(self) -> int:
        """The number of the next draw of paths."""
        self.drawn += 1
        return self.drawn - 1

    def _hold(self) -> Batch:
        """The next batch for alpha."""
        self.held += 1
        return next(self._alpha_batches)

    def mixing(self) -> dict[str, Tensor]:
        """The mixing weights now, differentiable in alpha."""
        return mixing_weights(self.alpha, self.allowed, self.targets, self.rule)

    def trained_mixing(self, draw: int) -> dict[str, Tensor]:
        """The mixing weights that a half step computes with: drawn, where the weighting or the relaxation says so."""
        relaxation, weighting, where = self.config.relaxation, self.config.weighting, (self.number, self.config.epochs)
        draws = generator(self.context.seed, "paths", self.number, draw)
        weights = self.rule.draw(self.mixing(), between(weighting.temperature, weighting.temperature_last, *where), draws)
        if not relaxation.paths:
            return weights
        temperature = between(relaxation.temperature, relaxation.temperature_last, *where)
        return drawn_paths(weights, relaxation.paths, temperature, draws)

    def _endless(self) -> Iterator[Batch]:
        turn = 0
        while True:
            yield from self.context.batches(Split.ALPHA, self.config.batch, f"alpha {turn}")
            turn += 1

    def _update(self, batch: Batch) -> Answer:
        searching = self.number >= self.config.warmup
        held = self._hold() if searching and self.config.levels == 2 else ()
        found = self._halves(*batch, *held)
        self.train_spikes.saw(len(batch[1]))
        return found

    def _both_halves(self, x_TBCHW: Tensor, y_B: Tensor, *held: Tensor) -> Answer:
        """A step that :mod:`nastk.core.run.capture` may record. Two levels: alpha on a batch of its own, then the weights."""
        if self.number >= self.config.warmup:
            if self.config.levels == 1:
                return self._update_together((x_TBCHW, y_B))
            self._update_alpha((x_TBCHW, y_B), (held[0], held[1]))
        return self._update_weights((x_TBCHW, y_B))

    def _update_together(self, batch: Batch) -> Answer:
        """One level: alpha and the weights descend the same loss of the same pass."""
        with self.train_spikes as counter:
            learned = self.penalty(self.trained_mixing(self._draw()), batch)
        self.alpha_optimizer.zero_grad(set_to_none=True)
        norm = self._step_weights(learned.total + self.regulariser(self.alpha, self.mixing()), counter)
        self.alpha_optimizer.step()
        return learned.task.detach(), self.task.correct(learned.logits.detach(), batch[1]), norm

    def _update_alpha(self, train: Batch, held: Batch) -> None:
        alphas = list(self.alpha.values())
        draw = self._draw()

        def alpha_loss() -> Tensor:
            return self.penalty(self.trained_mixing(draw), held).total + self.regulariser(self.alpha, self.mixing())

        if self.config.order == 1:
            grads = list(torch.autograd.grad(alpha_loss(), alphas, allow_unused=True))
        else:
            parameters = list(self.parameters.values())
            velocities = [self.config.momentum * self._buffer(p) for p in parameters]
            grads = list(
                unrolled_gradient(
                    lambda: self.task.loss(self.supernet(train[0], self.trained_mixing(draw)), train[1]),
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

    def _update_weights(self, batch: Batch) -> Answer:
        x_TBCHW, y_B = batch
        draw = self._draw()
        mixing = {name: w.detach() for name, w in self.trained_mixing(draw).items()}
        draws = generator(self.context.seed, "perturbation", self.number, draw)
        mixing = self.perturbation(mixing, lambda weights: self.task.loss(self.supernet(x_TBCHW, weights), y_B), draws)
        with self.train_spikes as counter:
            logits = self.supernet(x_TBCHW, mixing)
        loss = self.task.loss(logits, y_B)
        norm = self._step_weights(loss, counter)
        return loss.detach(), self.task.correct(logits.detach(), y_B), norm

    def _step_weights(self, loss: Tensor, counter: SpikeCounter) -> Tensor:
        """Descend; gives the norm of the gradient before it was clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        counter.cut()
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.optimizer.step()
        return norm

    def _health(self, scores: Scores) -> tuple[dict[str, Any], History, bool]:
        config, context, guard = self.config, self.context, self.config.guard
        weights = {name: w.detach() for name, w in self.mixing().items()}
        valid = evaluate(lambda x: self.supernet(x, weights), self.supernet, self.task, self.task.data.unaugmented(Split.VALID))
        genotype = config.decision.decide(context.space, weights, None)  # type: ignore[arg-type]
        look = Look(
            epoch=self.number + 1,
            genotype=genotype,
            candidates={name: cell.edges[0].candidates for name, cell in self.supernet.genotype.cells},
            weights=weights,
            entropy=entropy(weights, self.rule),
            accuracy=scores.accuracy,
            valid_accuracy=valid.accuracy,
        )
        history, reason = self.history, None
        if look.epoch > config.warmup:  # before, alpha says nothing
            history = remembered(history, look)
            reason = guard.reason(look, history)
            if reason:
                context.emit(Notice(f"Search stopped at epoch {look.epoch}: {reason}."))
            else:
                history = Health(config.epochs).watch(look, history, context.emit)
        figures: dict[str, Any] = {
            "loss": scores.loss,
            "accuracy": scores.accuracy,
            "valid_accuracy": valid.accuracy,
            "generalisation_gap": scores.accuracy - valid.accuracy,
            "entropy": look.entropy,
            "skip_share": skip_share(genotype),
            "skip_lead": skip_lead(look),
            "nos": {"train": self.train_spikes.figures(), "validation": valid.nos},
            "genotype": genotype.digest,
            "weights": {name: _rounded(w) for name, w in weights.items()},
        }
        if reason or look.epoch == config.epochs:
            figures["discretisation_gap"] = self._gap(valid.accuracy, weights)
        return figures, history, bool(reason)

    def _gap(self, accuracy: float, weights: dict[str, Tensor]) -> float | None:
        """What deriving costs: validation accuracy of the supernet minus that of the derived network with its weights."""
        if self.config.relaxation.partial > 1:
            return None  # the derived network has wider operations than the supernet: nothing to inherit
        genotype = self.config.decision.decide(self.context.space, weights, self.config.guard.max_skips)  # type: ignore[arg-type]
        splits = STREAMS[self.config.levels][0]
        return accuracy - inherited_scores(self.context, self.supernet, genotype, splits, self.config.batch, None).accuracy


def _rounded(weights: Tensor) -> list[list[float]]:
    """Mixing weights as a table, a row an edge; those of edges as one row."""
    return [[round(value, 5) for value in row] for row in weights.reshape(-1, weights.shape[-1]).tolist()]


def _first(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch
