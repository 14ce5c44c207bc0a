"""What counts as divergence: losses and gradients that are NaN or infinite, and gradients that explode."""

from __future__ import annotations

import math

import torch
from attrs import field, frozen
from torch import Tensor

from nastk.core.errors import Diverged
from nastk.core.settings import DivergenceConfig

WINDOW = 100
"""Steps of the same epoch whose median says what a gradient usually is."""
USUAL = 1.0
"""The least that counts as usual: gradients that were next to nothing may grow."""
ADVICE = "lower the learning rate"


@frozen
class Alert:
    """What a stage watches for, and what it has told already: a place is named once."""

    explosion: float = DivergenceConfig().explosion
    """A gradient's norm so many times the usual one is an explosion."""
    told: set[str] = field(factory=set)


def check(losses_N: Tensor, norms_N: Tensor, explosion: float, stage: str, epoch: int) -> None:
    """Raise :class:`Diverged` for the first bad step of an epoch; both are ``(steps,)``, on the CPU, and ``epoch`` is from 0.

    A norm is that of the whole gradient before it was clipped.
    """
    good = torch.isfinite(losses_N) & torch.isfinite(norms_N) & (norms_N <= explosion * USUAL)
    for step in (~good).nonzero().flatten().tolist():
        loss, norm = float(losses_N[step]), float(norms_N[step])
        where = f"in {stage}, epoch {epoch + 1}, step {step + 1}"
        if not math.isfinite(loss):
            raise Diverged(f"The loss became {loss} {where}: {ADVICE}.", step)
        if not math.isfinite(norm):
            raise Diverged(f"The gradient became {norm} {where}: {ADVICE}.", step)
        before = norms_N[max(0, step - WINDOW) : step]
        usual = max(float(before.median()) if len(before) else 0.0, USUAL)
        if norm > explosion * usual:
            times = f"{norm:.3g}, {norm / usual:.3g} times the usual one (divergence.explosion = {explosion:g})"
            raise Diverged(f"The gradient exploded {where}, to a norm of {times}: {ADVICE}.", step)
