"""The second-order architecture gradient of DARTS (Liu, Simonyan, Yang, ICLR 2019, equations 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[[], Tensor]
STEP = 0.01
"""Length of the finite difference along the validation gradient."""


def unrolled_gradient(
    train_loss: Loss,
    alpha_loss: Loss,
    parameters: Sequence[Tensor],
    alphas: Sequence[Tensor],
    lr: float,
    velocities: Sequence[Tensor],
    weight_decay: float,
) -> list[Tensor]:
    """``d/d alpha`` of ``alpha_loss(w', alpha)``, where ``w'`` is one SGD step from ``w`` on ``train_loss(w, alpha)``.

    ``velocities`` are the momentum terms ``momentum * buffer`` that the step would add. The Hessian-vector product is
    a central difference. The losses are closures over the parameters, which are left as they were.
    """
    before = [p.detach().clone() for p in parameters]
    grads = torch.autograd.grad(train_loss(), parameters, allow_unused=True)
    with torch.no_grad():
        for p, grad, velocity in zip(parameters, grads, velocities, strict=True):
            if grad is not None:
                p -= lr * (velocity + grad + weight_decay * p)
    count = len(alphas)
    found = torch.autograd.grad(alpha_loss(), [*alphas, *parameters], allow_unused=True)
    direct, vector = _filled(found[:count], alphas), _filled(found[count:], parameters)
    norm = torch.sqrt(sum((v.square().sum() for v in vector), torch.zeros((), device=vector[0].device)))
    epsilon = STEP / norm.clamp(min=1e-12)
    sides = []
    for sign in (1.0, -1.0):
        _put(parameters, [b + sign * epsilon * v for b, v in zip(before, vector, strict=True)])
        sides.append(_filled(torch.autograd.grad(train_loss(), alphas, allow_unused=True), alphas))
    _put(parameters, before)
    return [d - lr * (plus - minus) / (2 * epsilon) for d, plus, minus in zip(direct, *sides, strict=True)]


def _filled(grads: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if g is None else g for g, t in zip(grads, like, strict=True)]


@torch.no_grad()
def _put(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for p, value in zip(parameters, values, strict=True):
        p.copy_(value)
