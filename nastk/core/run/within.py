"""Where a step that takes minutes keeps how far it is, so that an interruption costs a few batches and no epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from nastk.core.run.stop import Stop
from nastk.core.run.store import RunDirectory

Tree = Mapping[str, Any]


class Within:
    """Keeps nothing: for steps that are not part of a run on disk."""

    def kept(self, step: int) -> Tree | None:
        """What was kept within this step, or ``None`` where it has to begin at its start."""
        del step
        return None

    def offer(self, step: int, tree: Callable[[], Tree]) -> None:
        """To be called after every batch; ``tree`` is asked for what to keep when it is time to."""
        del step, tree

    def done(self) -> None:
        """The step is over, and its own checkpoint is there."""


class WithinStage(Within):
    """Keeps a tree every so many seconds, and when the process was asked to end, beside the stage's checkpoints."""

    def __init__(self, store: RunDirectory, stage: str, seconds: float, stop: Stop) -> None:
        self.store, self.stage, self.seconds, self.stop = store, f"within-{stage}", seconds, stop
        self._last = time.monotonic()
        self._count = 0

    def kept(self, step: int) -> Tree | None:
        for number, saved in self.store.kept(self.stage):
            self._count = max(self._count, number)
            if saved["step"] == step:
                tree: Tree = saved["tree"]
                return tree
        return None

    def offer(self, step: int, tree: Callable[[], Tree]) -> None:
        now = time.monotonic()
        if self.stop.requested or now - self._last >= self.seconds:
            self._count += 1
            self.store.save(self.stage, self._count, {"step": step, "tree": tree()})
            self._last = now

    def done(self) -> None:
        self._last = time.monotonic()
        self.store.forget(self.stage)
