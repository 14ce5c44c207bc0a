"""From architecture parameters to the weights of an edge's candidates: softmax, sigmoid, or a relaxed draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core.cell.attended import ATTENTION
from nastk.core.cell.cells import LAYERS
from nastk.core.model.relaxation import EDGES


class Softmax:
    """``softmax(alpha)``: the candidates of an edge compete (DARTS, Liu et al., ICLR 2019)."""

    def weigh(self, alpha_EO: Tensor) -> Tensor:
        """The weights ``(E, O)`` that are evaluated and derived from."""
        return torch.softmax(alpha_EO, dim=-1)

    def draw(self, weights: Mapping[str, Tensor], temperature: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The weights that a half step trains with: here, the same."""
        del temperature, generator
        return dict(weights)

    def undecided(self, w_EO: Tensor) -> Tensor:
        """How open each edge ``(E,)`` is: the entropy of its weights over that of uniform ones."""
        if w_EO.shape[-1] == 1:
            return w_EO.new_zeros(len(w_EO))
        return -(w_EO * w_EO.clamp(min=1e-12).log()).sum(-1) / math.log(w_EO.shape[-1])


class Sigmoid(Softmax):
    """``sigmoid(alpha)``: each candidate is wanted or not, none at the cost of another (FairDARTS, Chu et al., ECCV 2020)."""

    def weigh(self, alpha_EO: Tensor) -> Tensor:
        """Weights in (0, 1) that do not sum to 1."""
        return torch.sigmoid(alpha_EO)

    def undecided(self, w_EO: Tensor) -> Tensor:
        """The mean entropy of yes or no over the candidates of an edge, 1 where all weights are a half."""
        sides = torch.stack([w_EO, 1 - w_EO])
        return -(sides * sides.clamp(min=1e-12).log()).sum(0).mean(-1) / math.log(2)


class GumbelSoftmax(Softmax):
    """Every half step draws: ``softmax((log softmax(alpha) + Gumbel noise) / temperature)`` (SNAS, Xie et al., ICLR 2019)."""

    def draw(self, weights: Mapping[str, Tensor], temperature: float, generator: torch.Generator) -> dict[str, Tensor]:
        """A relaxed draw of one candidate on every edge; the colder, the nearer to one-hot."""
        found = dict(weights)
        for name in cells_of(weights):
            found[name] = torch.softmax(gumbel_noised(weights[name], generator) / temperature, dim=-1)
        return found


WEIGHTINGS: dict[str, type[Softmax]] = {"softmax": Softmax, "sigmoid": Sigmoid, "gumbel-softmax": GumbelSoftmax}
SOFTMAX = Softmax()


@frozen(kw_only=True)
class WeightingConfig:
    """How the candidates of an edge are weighted."""

    kind: Literal["softmax", "sigmoid", "gumbel-softmax"] = field(
        default="softmax",
        metadata={"help": "candidates compete (DARTS), each stands for itself (FairDARTS), or compete in a relaxed draw (SNAS)"},
    )
    temperature: float = field(
        default=1.0, validator=gt(0), metadata={"help": "of the Gumbel noise of gumbel-softmax, at the first epoch"}
    )
    temperature_last: float = field(
        default=0.1, validator=gt(0), metadata={"help": "of the Gumbel noise of gumbel-softmax, at the last epoch (SNAS: 0.03)"}
    )

    def build(self) -> Softmax:
        """The rule of this kind."""
        return WEIGHTINGS[self.kind]()


def cells_of(weights: Mapping[str, Tensor]) -> list[str]:
    """The names of the cells among mixing weights: without the path of layers and the weights of whole edges or attentions."""
    return [name for name in weights if name != LAYERS and not name.endswith((f".{EDGES}", f".{ATTENTION}"))]


def gumbel_noised(w_EO: Tensor, generator: torch.Generator) -> Tensor:
    """``log w`` plus Gumbel noise: its largest entry of a row is a draw in proportion to the weights."""
    uniform = torch.rand(w_EO.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    noise_EO = (-(-uniform.log()).log()).to(w_EO)
    return w_EO.clamp(min=1e-12).log() + noise_EO


def between(first: float, last: float, epoch: int, epochs: int) -> float:
    """A value that goes straight from its first to its last epoch."""
    return first + (last - first) * epoch / max(epochs - 1, 1)
