"""The one epoch loop: batch by batch, watched for divergence and for what is dead, and kept on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.data.splits import Batch
from nastk.core.events import Emit, Notice, Progress
from nastk.core.model.distributed import average
from nastk.core.model.network import Network
from nastk.core.run.capture import Answer
from nastk.core.run.divergence import Alert, check
from nastk.core.run.silence import Silence
from nastk.core.run.within import Tree, Within
from nastk.core.seeds import generator_states, restore_generators

CHECK_EVERY = 20
"""Steps between looks at loss and gradient: a look waits for the device."""

Update = Callable[[Batch], Answer]
"""A batch to the detached loss, the number correct, and the norm of the gradient before it was clipped."""


@frozen
class Scores:
    """Mean loss and accuracy over ``n`` samples, and the spikes that were counted on the way."""

    loss: float
    accuracy: float
    n: int
    nos: dict[str, Any] | None = None
    firing_rate: float | None = None


@frozen
class Keeping:
    """Where an epoch keeps how far it is, as which step of its stage, and what there is to keep besides the loop's own."""

    within: Within
    step: int
    tree: Callable[[], Tree]
    """What was learned so far, as plain values and tensors."""
    load: Callable[[Tree], None]
    """The inverse of ``tree``."""


NOTHING = Keeping(Within(), 0, dict, lambda _: None)


@frozen
class Pass:
    """An epoch that is to be run from its beginning: ``update`` changes ``network`` on ``steps`` batches."""

    network: Network
    batches: Iterable[Batch]
    steps: int
    update: Update
    stage: str
    epoch: int
    """From 0."""
    keeping: Keeping = NOTHING


class Tally:
    """Losses, hits and norms of gradients of the batches so far; on the device until somebody looks."""

    def __init__(
        self, losses: Sequence[Tensor] = (), hits: Sequence[Tensor] = (), norms: Sequence[Tensor] = (), seen: int = 0
    ) -> None:
        self.losses, self.hits, self.norms, self.seen = list(losses), list(hits), list(norms), seen

    def add(self, loss: Tensor, hits: Tensor, norm: Tensor, samples: int) -> None:
        """Take note of a batch."""
        self.losses.append(loss.reshape(1))
        self.hits.append(hits.reshape(1))
        self.norms.append(norm.reshape(1))
        self.seen += samples

    def look(self) -> None:
        """Wait for the device, and take what is there over to the CPU."""
        self.losses, self.hits, self.norms = ([torch.cat(found).cpu()] for found in (self.losses, self.hits, self.norms))

    def scores(self) -> Scores:
        """The means over all batches (of the loss) and all samples."""
        self.look()
        return Scores(float(self.losses[0].mean()), float(self.hits[0].sum()) / self.seen, self.seen)


def run_epoch(work: Pass, emit: Emit, alert: Alert | None = None) -> Scores:
    """Run an epoch; goes on within it where it was kept. What is dead at its end is told in a :class:`Notice`.

    Raises :class:`Diverged`, naming epoch and step, when a loss or a gradient is NaN or infinite, or a gradient explodes.
    """
    alert = alert or Alert()
    tally, done = begun(work.keeping)

    def look() -> None:
        tally.look()
        check(tally.losses[0], tally.norms[0], alert.explosion, work.stage, work.epoch)

    def tree() -> Tree:
        look()
        own = {"batches": step, "losses": tally.losses[0], "hits": tally.hits[0], "norms": tally.norms[0], "seen": tally.seen}
        return {**own, "generators": generator_states(), "learned": work.keeping.tree()}

    silence = Silence(work.network)
    try:
        for step, batch in enumerate(islice(work.batches, done, None), start=done + 1):
            loss, hits, norm = work.update(batch)
            tally.add(average(loss), average(hits), norm, len(batch[1]))
            if step % CHECK_EVERY == 0 or step == work.steps:
                look()
                silence.look()
            elif step == done + 1:
                silence.look()
            work.keeping.within.offer(work.keeping.step, tree)
            emit(Progress(work.stage, step / work.steps))
    finally:
        silence.close()
    for sentence in silence.sentences(work.stage, work.epoch, alert.told):
        emit(Notice(sentence))
    return tally.scores()


def begun(keeping: Keeping) -> tuple[Tally, int]:
    """Put everything where it was kept within the epoch: the tally, and how many batches are done. None where nothing was."""
    saved = keeping.within.kept(keeping.step)
    if saved is None:
        return Tally(), 0
    keeping.load(saved["learned"])
    restore_generators(saved["generators"])
    tally = Tally([saved["losses"]], [saved["hits"]], [saved["norms"]], saved["seen"])
    return tally, saved["batches"]
