"""The training of a run, from checkpoint to checkpoint: what diverges is tried again, and the best network stays."""

from __future__ import annotations

import time
from typing import Any

from nastk.core.errors import Diverged
from nastk.core.events import Notice, StageDone, StageStarted, StepDone
from nastk.core.run.retry import Retries
from nastk.core.run.store import RunDirectory
from nastk.core.run.training import Trainer, TrainState, evaluate
from nastk.core.settings import RunConfig
from nastk.core.types import Split

BEST = f"best-{Trainer.stage}"
"""The stage under which the network of the best validation accuracy is kept."""


class TrainStage:
    """Goes on from the last checkpoint of ``store``; one checkpoint an epoch.

    Where VALID is not trained on (``train.data = "hold-out"``), every epoch is measured on it, and the weights of the
    best one are kept beside the last checkpoints. Training accuracy chooses nothing, and test data have no door here.
    """

    def __init__(self, trainer: Trainer, store: RunDirectory, config: RunConfig) -> None:
        self.trainer, self.store, self.emit = trainer, store, trainer.emit
        self.epochs = config.train.epochs
        self.spent = 0.0
        self.best: dict[str, Any] | None = None
        """Epoch (from 1) and ``valid_accuracy`` of the best one."""
        saved = store.load(trainer.stage)
        if saved is None:
            self.state = trainer.begin()
            self.retries = Retries(config.divergence)
        else:
            self.spent, self.best = saved["seconds"], saved.get("best")
            self.retries = Retries(config.divergence, saved.get("retries"))
            self.state = TrainState(saved["epoch"], saved["weights"], saved["optimizer"])
            trainer.load(self.state)

    def run(self) -> dict[str, Any]:
        """Train to the end; what ``result.json`` says of it. Raises :class:`Diverged` when no retry is left."""
        trainer = self.trainer
        self.emit(StageStarted(trainer.stage, self.epochs, "epochs", self.state.epoch))
        while self.state.epoch < self.epochs:
            began = time.perf_counter()
            rate = self.retries.rate(self.state.epoch)
            try:
                state = trainer.epoch(self.state.epoch, rate)
                figures = {**state.figures, **self._validated(state)}
            except Diverged as error:
                located = trainer.located(error, self.state, rate)
                self.spent += time.perf_counter() - began
                self._again(located)
                continue
            self.spent += time.perf_counter() - began
            self.state = state
            self._save()
            trainer.within.done()
            self.emit(StepDone(trainer.stage, state.epoch, figures | ({"rate": rate} if rate != 1 else {})))
        trainer.within.done()
        self.emit(StageDone(trainer.stage, self.spent))
        return {"seconds": round(self.spent, 2), "epochs": self.epochs, "retries": self.retries.made, "best": self.best}

    def _again(self, error: Diverged) -> None:
        """Back to the last checkpoint, which now says that the epoch is tried again."""
        text = self.retries.again(self.state.epoch, error)
        self.trainer.within.done()  # before the note: an epoch never goes on from within a try that has failed
        self._save()
        self.trainer.load(self.state)
        self.emit(Notice(text))

    def _validated(self, state: TrainState) -> dict[str, Any]:
        """The figures of an epoch on VALID, where it is held out; the best weights are kept."""
        trainer = self.trainer
        if Split.VALID in trainer.splits:
            return {}
        scores = evaluate(trainer.network, trainer.network, trainer.task, trainer.task.data.unaugmented(Split.VALID))
        if self.best is None or scores.accuracy > self.best["valid_accuracy"]:
            self.best = {"epoch": state.epoch, "valid_accuracy": scores.accuracy}
            self.store.save(BEST, state.epoch, {**self.best, "weights": state.weights}, keep=1)
        return {"valid_accuracy": scores.accuracy, "valid_loss": scores.loss}

    def _save(self) -> None:
        state = self.state
        tree = {"epoch": state.epoch, "seconds": self.spent, "weights": state.weights, "optimizer": state.optimizer}
        self.store.save(self.trainer.stage, state.epoch, {**tree, "retries": self.retries.made, "best": self.best})
