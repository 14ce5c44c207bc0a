"""The second-order gradient against a brute-force finite difference of the loss after one weight step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.run.optim import weights_of
from nastk.core.types import Split
from nastk.strategies import unrolled
from nastk.strategies.mixing import mixing_weights
from nastk.strategies.unrolled import unrolled_gradient

Loss = Callable[[], Tensor]


def brute_force(
    train_loss: Loss,
    alpha_loss: Loss,
    parameters: Sequence[Tensor],
    alphas: Sequence[Tensor],
    lr: float,
    velocities: Sequence[Tensor],
    weight_decay: float,
    step: float = 1e-5,
) -> list[Tensor]:
    """Central difference, coordinate by coordinate, of ``L_val(w - lr (v + dL_train/dw + wd w), alpha)``."""
    before = [p.detach().clone() for p in parameters]

    def after_one_step() -> float:
        grads = torch.autograd.grad(train_loss(), parameters, allow_unused=True)
        with torch.no_grad():
            for p, b, g, v in zip(parameters, before, grads, velocities, strict=True):
                if g is not None:
                    p.copy_(b - lr * (v + g + weight_decay * b))
            loss = float(alpha_loss())
            for p, b in zip(parameters, before, strict=True):
                p.copy_(b)
        return loss

    found = []
    for alpha in alphas:
        grad = torch.zeros_like(alpha)
        for i in range(alpha.numel()):
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    alpha.view(-1)[i] += sign * step
                sides.append(after_one_step())
                with torch.no_grad():
                    alpha.view(-1)[i] -= sign * step
            grad.view(-1)[i] = (sides[0] - sides[1]) / (2 * step)
        found.append(grad)
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.01, 0.5), st.floats(0.0, 0.3))
def test_two_parameter_toy(seed: int, lr: float, weight_decay: float) -> None:
    """A smooth problem in two weights and two alphas, momentum and weight decay on."""
    generator = torch.Generator().manual_seed(seed)
    a, b, start, alpha0, velocity = (torch.randn(2, dtype=torch.float64, generator=generator) for _ in range(5))
    w, alpha = start.clone().requires_grad_(), alpha0.clone().requires_grad_()

    def train_loss() -> Tensor:
        return (alpha * w - a).square().sum() + 0.3 * torch.sin(w[0] * alpha[1]) + 0.1 * w.pow(4).sum()

    def alpha_loss() -> Tensor:
        return (w - b).square().sum() + 0.5 * torch.cos(w.sum() + alpha.prod())

    given_ = (train_loss, alpha_loss, [w], [alpha], lr, [velocity], weight_decay)
    (found,), (wanted,) = unrolled_gradient(*given_), brute_force(*given_)
    assert torch.equal(w, start), "the weights must be left as they were"
    assert torch.equal(alpha, alpha0)
    assert (found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6


def test_parameters_that_no_loss_reads_stay_and_count_nothing() -> None:
    """A parameter without a gradient makes no step, as in the optimizer: its velocity must not leak into the loss."""
    w, unused, alpha = (torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (0.7, 0.3, 1.2))
    velocity = [torch.tensor([0.4], dtype=torch.float64)] * 2
    given_ = (
        lambda: (w * alpha).square().sum(),
        lambda: (w + alpha + unused).pow(3).sum(),
        [w, unused],
        [alpha],
        0.1,
        velocity,
        0.2,
    )
    (found,), (wanted,) = unrolled_gradient(*given_), brute_force(*given_)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    assert unused.item() == 0.3
    assert w.item() == 0.7


@pytest.mark.parametrize("seed", [0, 1])
def test_supernet(prepare: Callable, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A real supernet in double precision and training mode.

    DARTS's finite difference of length 0.01 crosses kinks of ReLU, which costs accuracy, not correctness: here it is
    short enough to stay on one piece. Coordinates of next to no weight are left out.
    """
    monkeypatch.setattr(unrolled, "STEP", 1e-5)
    run = prepare("darts", seed=seed, batch=16)
    supernet = run.context.supernet().double().train()
    parameters = list(supernet.parameters())
    generator = torch.Generator().manual_seed(seed)
    full = run.space.full()
    alpha = {
        name: torch.randn(len(c.edges), len(c.edges[0].candidates), dtype=torch.float64, generator=generator).requires_grad_()
        for name, c in full.cells
    }
    velocities = [0.1 * torch.randn(p.shape, dtype=torch.float64, generator=generator) for p in parameters]
    train, held = (next(iter(run.context.batches(split, 16, "test"))) for split in (Split.WEIGHTS, Split.ALPHA))

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return run.task.loss(supernet(batch[0].double(), mixing_weights(alpha, None)), batch[1])

    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    given_ = (lambda: loss(train), lambda: loss(held), parameters, list(alpha.values()), 0.1, velocities, 3e-4)
    found, wanted = unrolled_gradient(*given_), brute_force(*given_)
    after = weights_of(supernet)
    assert all(torch.equal(after[name], value) for name, value in before.items())

    first_order = torch.autograd.grad(loss(held), list(alpha.values()))
    for mine, true, plain in zip(found, wanted, first_order, strict=True):
        big = true.abs() > 0.05 * true.abs().max()
        assert big.sum() >= 4
        torch.testing.assert_close(mine[big], true[big], rtol=1e-2, atol=0.0)
        assert (plain[big] - true[big]).norm() > 5e-2 * true[big].norm(), "the second order must matter here"
