"""Names what goes wrong in a search while it happens: figures every epoch, a sentence once for each sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.cell.graph import NONE
from nastk.core.events import Emit, Notice
from nastk.strategies.guard import History, Look
from nastk.strategies.mixing import SKIP

LEAD = 1.2
"""An edge has turned into an operation whose weight is this many times that of every other one."""
SHARE = 0.5
"""A cell is turning into an operation that has this share of its edges."""
GAP = 0.25
"""Training over validation accuracy at which the weights know their samples by heart."""
EARLY = 0.1
"""Entropy below which a search has decided."""

GUARDS = (
    "strategy.guard (max_skips, stop_skips, skip_dropout), strategy.relaxation.partial = 4, "
    "strategy.weighting.kind = 'sigmoid', strategy.regulariser.beta_decay"
)


@frozen
class Health:
    """What is looked at in one kind of search: how long it is, and which settings help."""

    epochs: int
    guards: str = GUARDS

    def watch(self, look: Look, history: History, emit: Emit) -> History:
        """Tell of every sign that was not told before; gives the history with them in it."""
        told = list(history["noticed"])
        for sign in SIGNS:
            name, text = sign.__name__, sign(look, self)
            if text and name not in told:
                emit(Notice(text))
                told.append(name)
        return {**history, "noticed": told}


def lead(look: Look, op: str) -> Tensor:
    """By how much an operation's weight is above the best of the others, for every edge of the normal cells."""
    found = [torch.zeros(0)]
    for names, w_EO in _normal(look):
        if op in names and len(names) > 1:
            others = [i for i, name in enumerate(names) if name != op]
            found.append((w_EO[:, names.index(op)] - w_EO[:, others].amax(-1)).cpu())
    return torch.cat(found)


def skip_lead(look: Look) -> float:
    """The mean lead of the skips: positive where they win on the whole."""
    found = lead(look, SKIP)
    return float(found.mean()) if len(found) else 0.0


def _normal(look: Look) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    return ((names, look.weights[name]) for name, names in look.candidates.items() if name != "reduce")


def _turned(look: Look, op: str) -> tuple[str, int, int]:
    """The normal cell with the largest share of edges that have turned into an operation: its name, those, all."""
    found = [("", 0, 1)]
    for name, names in look.candidates.items():
        if name == "reduce" or op not in names or len(names) < 2:
            continue
        w_EO = look.weights[name]
        others = [i for i, other in enumerate(names) if other != op]
        turned = w_EO[:, names.index(op)] > LEAD * w_EO[:, others].amax(-1)
        found.append((name, int(turned.sum()), len(turned)))
    return max(found, key=lambda cell: cell[1] / cell[2])


def turning_into_skips(look: Look, health: Health) -> str | None:
    """The known failure of DARTS (Zela et al., ICLR 2020; Liang et al., arXiv 1909.06035)."""
    name, turned, edges = _turned(look, SKIP)
    if turned < max(SHARE * edges, 2):
        return None
    return f"The {_spoken(name)} is turning into skips: {turned} of {edges} edges, epoch {look.epoch}; guards: {health.guards}."


def coming_apart(look: Look, health: Health) -> str | None:
    """Most edges carry nothing: the derived network may not be connected."""
    name, turned, edges = _turned(look, NONE)
    if turned < max(SHARE * edges, 2):
        return None
    return (
        f"The {_spoken(name)} is coming apart: {turned} of {edges} edges carry nothing, epoch {look.epoch}; "
        f"guards: a space without the operation none, or {health.guards}."
    )


def learning_by_heart(look: Look, health: Health) -> str | None:
    """A supernet that fits its own samples only says little about candidates; early on, its norms still lag behind."""
    gap = look.accuracy - look.valid_accuracy
    if gap < GAP or 2 * look.epoch <= health.epochs:
        return None
    return (
        f"The supernet knows its samples by heart: accuracy {look.accuracy:.2f} in training, {look.valid_accuracy:.2f} in "
        f"validation, epoch {look.epoch}; guards: fewer epochs, a larger strategy.weight_decay, or strategy.guard.stop_plateau."
    )


def deciding_early(look: Look, health: Health) -> str | None:
    """Weights that are one-hot in the first half of a search do not learn any more."""
    if look.entropy >= EARLY or 2 * look.epoch > health.epochs:
        return None
    return (
        f"The mixing weights have decided early: entropy {look.entropy:.3f}, epoch {look.epoch} of {health.epochs}; "
        "guards: a smaller strategy.alpha_lr, a larger strategy.warmup, or strategy.guard.stop_entropy."
    )


def _spoken(cell: str) -> str:
    return "normal cell" if cell == "normal" else f"cell {cell!r}"


SIGNS: tuple[Callable[[Look, Health], str | None], ...] = (turning_into_skips, coming_apart, learning_by_heart, deciding_early)
