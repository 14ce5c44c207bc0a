"""Guards against searches that go wrong: what they may derive, and when they stop early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional
from torch import Tensor

from nastk.core.cell.graph import NONE, Genotype
from nastk.strategies.mixing import SKIP, skips
from nastk.strategies.weighting import cells_of

History = dict[str, Any]
"""What the guards and the health monitor remember from epoch to epoch, as plain values; a part of the state."""


@frozen(kw_only=True)
class GuardConfig:
    """Guards, each off unless set; the early stops look from the end of the warm-up on."""

    skip_dropout: float = field(
        default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "dropout on skips, decaying to zero over the search"}
    )
    max_skips: int | None = field(
        default=None, validator=optional(ge(0)), metadata={"help": "most skips of a normal cell that is derived"}
    )
    stop_skips: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata={"help": "stop once a normal cell would have more skips than this (DARTS+: 1)"},
    )
    stop_entropy: float | None = field(
        default=None,
        validator=optional(and_(gt(0), le(1))),
        metadata={"help": "stop once the mean entropy of the mixing weights is below this: the search has decided"},
    )
    stop_plateau: int | None = field(
        default=None, validator=optional(ge(1)), metadata={"help": "stop after so many epochs without better validation accuracy"}
    )
    stop_ranking: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "stop once no edge has ranked its candidates anew for so many epochs (DARTS+: 10)"},
    )

    def reason(self, look: Look, history: History) -> str | None:
        """Why the search should stop now, in the words of a notice."""
        return next((text for rule in STOPS if (text := rule(self, look, history))), None)


@frozen
class Look:
    """A search after an epoch (from 1): what would be derived without guards, from which weights, and how well it does."""

    epoch: int
    genotype: Genotype
    candidates: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, Tensor]
    entropy: float
    accuracy: float
    valid_accuracy: float

    def rankings(self) -> dict[str, list[list[int]]]:
        """For each edge the numbers of its candidates from heaviest to lightest, without skip and none."""
        found = {}
        for name in cells_of(self.weights):
            kept = [i for i, op in enumerate(self.candidates[name]) if op not in (SKIP, NONE)]
            found[name] = self.weights[name][:, kept].argsort(dim=-1, descending=True, stable=True).tolist()
        return found


def remembered(history: Mapping[str, Any], look: Look) -> History:
    """The history with this look in it."""
    found = {"best": -1.0, "best_epoch": 0, "rankings": {}, "rankings_epoch": 0, "noticed": [], **history}
    if look.valid_accuracy > found["best"]:
        found |= {"best": look.valid_accuracy, "best_epoch": look.epoch}
    if (rankings := look.rankings()) != found["rankings"]:
        found |= {"rankings": rankings, "rankings_epoch": look.epoch}
    return found


def _collapsed(guard: GuardConfig, look: Look, history: History) -> str | None:
    del history
    found = skips(look.genotype)
    return f"the cell collapses to {found} skips" if guard.stop_skips is not None and found > guard.stop_skips else None


def _decided(guard: GuardConfig, look: Look, history: History) -> str | None:
    del history
    decided = guard.stop_entropy is not None and look.entropy < guard.stop_entropy
    return f"the mixing weights have decided (entropy {look.entropy:.3f})" if decided else None


def _flat(guard: GuardConfig, look: Look, history: History) -> str | None:
    since = look.epoch - history["best_epoch"]
    flat = guard.stop_plateau is not None and since >= guard.stop_plateau
    return f"the validation accuracy has not risen for {since} epochs" if flat else None


def _settled(guard: GuardConfig, look: Look, history: History) -> str | None:
    """The second criterion of DARTS+ (Liang et al., arXiv 1909.06035), which ranks the operations that learn."""
    since = look.epoch - history["rankings_epoch"]
    settled = guard.stop_ranking is not None and since >= guard.stop_ranking
    return f"no edge has ranked its candidates anew for {since} epochs" if settled else None


STOPS: tuple[Callable[[GuardConfig, Look, History], str | None], ...] = (_collapsed, _decided, _flat, _settled)
