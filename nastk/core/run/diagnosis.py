"""Where a divergence began: its epoch is run again up to the bad step, and that one with somebody at every module.

Nobody watches while all is well. The repetition begins where the epoch was kept last, so it takes minutes at most where a
run has a directory; it is exact, as every step depends on the seed alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from nastk.core.data.splits import Batch
from nastk.core.errors import Diverged
from nastk.core.events import Emit, Progress
from nastk.core.model.compute import recomputing
from nastk.core.model.network import Network
from nastk.core.model.places import part, place
from nastk.core.ranks import ranks
from nastk.core.run.epoch import Pass, begun

NOT_AGAIN = "Repeated from the last checkpoint, the step went well: where it began is not known."


def find(work: Pass, error: Diverged, emit: Emit) -> str:
    """Where it began, as a sentence. ``work`` is the epoch from its beginning, and is not fit for anything behind this.

    Never fails: the divergence itself matters more.
    """
    try:
        # Of several processes each may have kept another batch, and all have to take the same ones.
        _, done = begun(work.keeping) if ranks().size == 1 else (None, 0)
        for step, batch in enumerate(islice(work.batches, done, None), start=done):
            if step == error.step:
                return _watched(work, batch)
            work.update(batch)
            emit(Progress(work.stage, (step + 1) / work.steps))
    except Exception as failure:  # told beside what it was to explain
        return f"Where it began cannot be said ({type(failure).__name__}: {failure})."
    return NOT_AGAIN


def _watched(work: Pass, batch: Batch) -> str:
    """The sentence of one step."""
    network = work.network
    if spoiled := next((name for name, value in network.named_parameters() if not _finite(value)), None):
        return f"Weights in {place(network, spoiled)} were not finite before that step."
    network.set_scheduled(False)  # the plain fold calls every operation by itself
    with _watching(network) as seen:
        loss, _, _ = work.update(batch)
    if seen.activation is not None:
        return f"The first activation that is not finite is in {place(network, seen.activation)}."
    if not _finite(loss):
        return "All activations are finite, the loss itself is not: look at the loss, its penalties, and the labels."
    if seen.gradient is not None:
        return f"Loss and activations are finite; the first gradient that is not is that of {place(network, seen.gradient)}."
    if not seen.squares:
        return NOT_AGAIN
    largest = max(seen.squares, key=lambda name: seen.squares[name])
    share = math.sqrt(seen.squares[largest] / max(sum(seen.squares.values()), 1e-300))
    return f"The largest gradient is that of {largest}, {100 * share:.0f} % of the norm."


class _Seen:
    """What was seen in a step: the first module and the first parameter that are not finite, and sums of squares."""

    def __init__(self) -> None:
        self.activation: str | None = None
        self.gradient: str | None = None
        self.squares: dict[str, float] = defaultdict(float)
        """Of the gradients, by the part of the network."""


@contextmanager
def _watching(network: Network) -> Iterator[_Seen]:
    seen = _Seen()

    def ran(name: str) -> Callable[..., None]:
        def look(module: Any, args: Any, output: Any) -> None:
            del module, args
            if seen.activation is None and not recomputing() and not all(map(_finite, _tensors(output))):
                seen.activation = name

        return look

    def learned(name: str) -> Callable[[Tensor], None]:
        where = part(network, name)

        def look(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if seen.gradient is None and not _finite(parameter.grad):
                seen.gradient = name
            seen.squares[where] += float(parameter.grad.detach().cpu().double().square().sum())

        return look

    handles: list[Any] = [module.register_forward_hook(ran(name)) for name, module in network.named_modules()]
    for name, p in network.named_parameters():
        if p.requires_grad:
            handles.append(p.register_post_accumulate_grad_hook(learned(name)))  # type: ignore[no-untyped-call]  # torch's
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for entry in output:
            yield from _tensors(entry)


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())
