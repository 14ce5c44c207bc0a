"""The first few batches of every pass over the data, and a clock that jumps over the others.

What a run takes is measured by its own code: whoever asks for batches gets the first few of each pass, at their real size,
and the clock then stands where it would stand after all of them. No consumer is known here, so a strategy of a third
party is measured like a bundled one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch

from nastk.core.data.splits import Batch, TrainingData
from nastk.core.types import Split

R = TypeVar("R")

LEAST, MOST = 4, 24
"""Batches of the smaller of WEIGHTS and ALPHA at the usual size, at first and at most; all other passes in proportion, but
none of fewer than ``least``."""
ENOUGH = 1.0
"""Seconds to look at what is quick: then more batches are taken."""


class Clock:
    """The time since some moment, in seconds, with jumps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """Where the clock stands."""
        return time.perf_counter() + self.ahead

    def skip(self, seconds: float) -> None:
        """Go on by so much (back, where it is negative)."""
        self.ahead += seconds


class _Pass:
    """A pass that was begun: ``handed`` batches were given out, and ``paired`` where another pass goes along with it."""

    def __init__(self) -> None:
        self.handed = 0
        self.paired = False


class FewBatches(TrainingData):
    """The samples of another :class:`TrainingData`, of which each pass hands out the first batches once ``few`` is set.

    ``usual`` is the usual size of a batch, so ``few`` is a share of the data: streams of other sizes stay in step.

    A batch stands for as many as were left out for it: half of the few that a consumer may have stand for half of the
    pass. A pass within one batch of another one lengthens that batch; one that goes along with another, batch by batch, is
    covered by it. Who stops early, alone and without having asked for the number of steps, wants so many and no more. The
    first batches of a pass, slow by what is done once, do not count.
    """

    def __init__(self, whole: TrainingData, usual: int, clock: Clock, least: int = LEAST) -> None:
        vars(self).update(vars(whole))
        self.usual, self.clock, self.least = usual, clock, least
        self.few: int | None = None
        self._asked = False
        self.handed = 0
        """Batches that were given out so far."""
        self.seconds = 0.0
        """What the last pass over augmented batches takes as a whole."""
        self._begun: list[_Pass] = []

    def steps(self, batch: int, *splits: Split) -> int:
        self._asked = True
        return self._cut(float(super().steps(batch, *splits)))

    def batches(self, batch: int, seed: int, *purpose: str | int, splits: Sequence[Split]) -> Iterator[Batch]:
        whole = float(super().steps(batch, *splits))
        for seconds, found in self._timed(super().batches(batch, seed, *purpose, splits=splits), whole):
            self.seconds = seconds
            yield found

    def unaugmented(self, *splits: Split, batch: int = 256) -> Iterator[Batch]:
        for _, found in self._timed(super().unaugmented(*splits, batch=batch), self.size(*splits) / batch):
            yield found

    def _cut(self, whole: float) -> int:
        """How many batches there are of a pass of ``whole`` ones."""
        if self.few is None:
            return math.ceil(whole)
        share = self.few * self.usual / min(self.size(Split.WEIGHTS), self.size(Split.ALPHA))
        return min(math.ceil(whole), max(self.least, math.ceil(whole * share)))

    def _timed(self, batches: Iterator[Batch], whole: float) -> Iterator[tuple[float, Batch]]:
        """The first batches, each with what the pass as a whole takes, as far as is known."""
        count = self._cut(whole)
        share = whole / count if count < whole else 1.0
        around = self._begun[-1] if self._begun else None
        then = around.handed if around else 0
        this, taken, rate, skipped, asked = _Pass(), [], 0.0, 0.0, self._asked
        self._begun.append(this)
        try:
            for number, found in enumerate(islice(batches, count)):
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
                if number == 0:
                    opened = last = self.clock.now()
                    self._asked = asked  # the pass itself asks, too
                else:
                    now = self.clock.now()
                    taken.append(now - last)
                    rate = sum(taken[len(taken) // 2 :]) / (len(taken) - len(taken) // 2)
                    if around is not None and around.handed != then:
                        around.paired = True
                    elif share > 1:
                        jump = opened + (share * (number + 1) - 1) * rate - now
                        self.clock.skip(jump)
                        skipped += jump
                    last = self.clock.now()
                this.handed += 1
                self.handed += 1
                yield rate * whole, found
        finally:
            self._begun.remove(this)
            if this.handed < count and not self._asked and not this.paired:
                self.clock.skip(-skipped)

    def measure(self, work: Callable[[], R], repeatable: Callable[[], bool] = lambda: True) -> tuple[R, float]:
        """What ``work`` gives, and the seconds that it would take on all batches; the clock goes on by these.

        It is done once more, on more batches, where it was quick and ``repeatable`` says that it may be.
        """
        begun, ahead, around = time.perf_counter(), self.clock.ahead, self.few
        try:
            found, seconds = self._once(work, self.least)
            more = int(self.least * ENOUGH / max(time.perf_counter() - begun, 1e-9))
            if more > self.least and repeatable():
                found, seconds = self._once(work, min(more, MOST))
        finally:
            self.few = around
        self.clock.ahead = ahead + seconds - (time.perf_counter() - begun)
        return found, seconds

    def _once(self, work: Callable[[], R], few: int) -> tuple[R, float]:
        self.few, self._asked = few, False
        start = self.clock.now()
        found = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return found, self.clock.now() - start
