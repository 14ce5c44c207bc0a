"""The one epoch loop: batch by batch, watched for divergence, and kept on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.data.splits import Batch
from nastk.core.errors import Diverged
from nastk.core.events import Emit, Progress
from nastk.core.model.distributed import average
from nastk.core.run.within import Tree, Within
from nastk.core.seeds import generator_states, restore_generators

CHECK_EVERY = 20
"""Steps between looks at the loss: a look waits for the device."""

Update = Callable[[Batch], tuple[Tensor, Tensor]]


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


class Tally:
    """Losses and hits of the batches so far; on the device until somebody looks."""

    def __init__(self, losses: Sequence[Tensor] = (), hits: Sequence[Tensor] = (), seen: int = 0) -> None:
        self.losses, self.hits, self.seen = list(losses), list(hits), seen

    def add(self, loss: Tensor, hits: Tensor, samples: int) -> None:
        """Take note of a batch."""
        self.losses.append(loss.reshape(1))
        self.hits.append(hits.reshape(1))
        self.seen += samples

    def look(self) -> None:
        """Wait for the device, and take what is there over to the CPU."""
        self.losses, self.hits = [torch.cat(self.losses).cpu()], [torch.cat(self.hits).cpu()]

    def scores(self) -> Scores:
        """The means over all batches (of the loss) and all samples."""
        self.look()
        return Scores(float(self.losses[0].mean()), float(self.hits[0].sum()) / self.seen, self.seen)


def run_epoch(
    batches: Iterable[Batch], steps: int, update: Update, emit: Emit, stage: str, epoch: int, keeping: Keeping = NOTHING
) -> Scores:
    """Run ``update`` (batch -> detached loss, number correct) on every batch; goes on within the epoch where it was kept.

    Raises :class:`Diverged`, naming epoch and step, when a loss is NaN or infinite.
    """
    tally, done = Tally(), 0
    saved = keeping.within.kept(keeping.step)
    if saved is not None:
        done = saved["batches"]
        tally = Tally([saved["losses"]], [saved["hits"]], saved["seen"])
        keeping.load(saved["learned"])
        restore_generators(saved["generators"])

    def tree() -> Tree:
        tally.look()
        _check_finite(tally.losses[0], stage, epoch)
        own = {"batches": step, "losses": tally.losses[0], "hits": tally.hits[0], "seen": tally.seen}
        return {**own, "generators": generator_states(), "learned": keeping.tree()}

    for step, batch in enumerate(islice(batches, done, None), start=done + 1):
        loss, hits = update(batch)
        tally.add(average(loss), average(hits), len(batch[1]))
        if step % CHECK_EVERY == 0 or step == steps:
            tally.look()
            _check_finite(tally.losses[0], stage, epoch)
        keeping.within.offer(keeping.step, tree)
        emit(Progress(stage, step / steps))
    return tally.scores()


def _check_finite(losses: Tensor, stage: str, epoch: int) -> None:
    bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
    if bad:
        raise Diverged(
            f"The loss became {float(losses[bad[0]])} in {stage}, epoch {epoch + 1}, step {bad[0] + 1}: "
            "lower the learning rate. The last good checkpoint is kept."
        )
