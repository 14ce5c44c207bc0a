"""Mixing weights that are disturbed while the weights train, so that the loss gets smooth in them (SmoothDARTS).

Chen and Hsieh, Stabilizing Differentiable Architecture Search via Perturbation-based Regularization, ICML 2020: the
weights are to do well in a neighbourhood of the mixing weights, at a uniform draw in it (RS) or at its worst point (ADV).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from nastk.core.model.distributed import average
from nastk.strategies.weighting import between, cells_of

Loss = Callable[[Mapping[str, Tensor]], Tensor]


@frozen(kw_only=True)
class PerturbationConfig:
    """How the mixing weights are disturbed in the half steps of the weights."""

    kind: Literal["none", "random", "adversarial"] = field(
        default="none", metadata={"help": "not at all, by uniform noise (SDARTS-RS), or to the worst (SDARTS-ADV)"}
    )
    radius_first: float = field(default=0.03, validator=ge(0), metadata={"help": "largest change of a weight, first epoch"})
    radius: float = field(default=0.3, validator=ge(0), metadata={"help": "largest change of a weight, last epoch"})
    steps: int = field(default=7, validator=ge(1), metadata={"help": "ascents of adversarial: each costs a pass of the supernet"})

    def build(self, epoch: int, epochs: int) -> Undisturbed:
        """The rule of this kind with the radius of an epoch."""
        return KINDS[self.kind](between(self.radius_first, self.radius, epoch, epochs), self.steps)


class Undisturbed:
    """The weights as they are."""

    def __init__(self, radius: float, steps: int) -> None:
        self.radius, self.steps = radius, steps

    def __call__(self, weights: Mapping[str, Tensor], loss: Loss, generator: torch.Generator) -> dict[str, Tensor]:
        """The weights that a half step of the supernet's weights computes with; ``loss`` is that of its batch."""
        del loss, generator
        return dict(weights)


class RandomNoise(Undisturbed):
    """Uniform noise, cut where a weight would fall below nought."""

    def __call__(self, weights: Mapping[str, Tensor], loss: Loss, generator: torch.Generator) -> dict[str, Tensor]:
        del loss
        found = dict(weights)
        for name in cells_of(weights):
            found[name] = (weights[name] + self._noise(weights[name], generator)).clamp(min=0)
        return found

    def _noise(self, w_EO: Tensor, generator: torch.Generator) -> Tensor:
        return ((2 * torch.rand(w_EO.shape, generator=generator) - 1) * self.radius).to(w_EO)


class Adversary(RandomNoise):
    """Projected gradient ascent by signs from a random start, in steps of 2.5 radii over their number."""

    def __call__(self, weights: Mapping[str, Tensor], loss: Loss, generator: torch.Generator) -> dict[str, Tensor]:
        names = cells_of(weights)
        found = super().__call__(weights, loss, generator)
        for _ in range(self.steps):
            leaves = {name: found[name].detach().requires_grad_() for name in names}
            grads = torch.autograd.grad(loss({**weights, **leaves}), list(leaves.values()))
            for name, grad in zip(names, grads, strict=True):
                moved = leaves[name].detach() + 2.5 * self.radius / self.steps * average(grad).sign()
                moved = torch.minimum(torch.maximum(moved, weights[name] - self.radius), weights[name] + self.radius)
                found[name] = moved.clamp(min=0)
        return found


KINDS: dict[str, type[Undisturbed]] = {"none": Undisturbed, "random": RandomNoise, "adversarial": Adversary}
