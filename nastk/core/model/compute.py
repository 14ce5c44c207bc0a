"""How a network computes what it computes: the precision of its training passes, and what it keeps for the backward pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nastk.core.settings import RunConfig


@frozen(kw_only=True)
class Compute:
    """Settings that change no meaning; they act in training mode alone, so what is measured is measured in float32."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions, linear layers and what torch's autocast has beside them. Weights, the statistics of norms, alpha and
    the optimizer are float32 in any case."""
    recompute: bool = False
    """Whether the backward pass computes each cell anew, so that the forward pass keeps no more than what enters it."""

    @staticmethod
    def of(config: RunConfig) -> Compute:
        """What a run asks for; its ``auto`` is settled before (:mod:`nastk.core.run.precision`), until then it is float32."""
        return Compute(precision="bfloat16" if config.precision == "bfloat16" else "float32", recompute=config.recompute)

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The block in which a forward pass of this precision runs."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


PLAIN = Compute()


class _Thread(threading.local):
    recomputing = False


_thread = _Thread()


def recomputing() -> bool:
    """Whether this forward pass repeats an earlier one for its gradient: whoever counts must not count it again."""
    return _thread.recomputing


def recomputed(module: nn.Module, function: Callable[..., Tensor], *args: Any) -> Tensor:
    """``function(*args)``, a part of ``module``, of which the graph keeps the arguments alone (Chen et al., 2016).

    The second pass sees the random state of the first, and leaves the buffers of the module (running statistics) as
    they are, so gradients and buffers are those of a single pass. It needs the same code path: hooks that save tensors
    for the backward pass must stay until then.
    """
    found: Tensor = checkpoint(function, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _again(module)))
    return found


@contextmanager
def _again(module: nn.Module) -> Iterator[None]:
    buffers = [(m, name, buffer) for m in module.modules() for name, buffer in m.named_buffers(recurse=False)]
    for owner, name, buffer in buffers:
        setattr(owner, name, buffer.clone())
    _thread.recomputing = True
    try:
        yield
    finally:
        _thread.recomputing = False
        for owner, name, buffer in buffers:
            setattr(owner, name, buffer)
