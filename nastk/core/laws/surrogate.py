"""The laws of surrogate gradients: a step forward, and backward an even bump, number by number."""

from __future__ import annotations

import copy
import math
import random
from typing import get_args

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.config import Part
from nastk.core.laws.law import LawBook, ensure
from nastk.core.model.surrogate import Compare, Surrogate
from nastk.core.seeds import generator
from nastk.core.types import Kind

DTYPES = (torch.float64, torch.float32, torch.bfloat16)
COMPARES: tuple[Compare, ...] = get_args(Compare)


@frozen
class Distances:
    """Distances from the threshold ``u = v - v_th``, normal with this scale, zeros among them."""

    n: int
    scale: float
    seed: int

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.n

    def u(self, salt: str = "") -> Tensor:
        """``(n + 2,)`` in float64; both zeros are in it."""
        u_N = torch.randn(self.n, generator=generator(self.seed, salt), dtype=torch.float64) * self.scale
        return torch.cat((u_N, torch.tensor([0.0, -0.0], dtype=torch.float64)))


def draw(rng: random.Random) -> Distances:
    """A few numbers, close to the threshold or far from it."""
    return Distances(rng.randint(4, 20), rng.choice([0.1, 1.0, 10.0]), rng.randrange(10**6))


def prepare(part: Part, _case: Distances) -> Surrogate:
    """A fresh one."""
    built: Surrogate = part.build()
    return built


BOOK: LawBook[Surrogate, Distances] = LawBook(Kind.SURROGATE, draw, prepare, vary=True)


def gradient(surrogate: Surrogate, u: Tensor) -> Tensor:
    """What a copy says of a copy, so that memory and scribbling break the law about them and no other."""
    return copy.deepcopy(surrogate).gradient(u.clone())


def close(left: Tensor, right: Tensor) -> bool:
    """Equal within the rounding of float64."""
    return left.shape == right.shape and torch.allclose(left.double(), right.double(), rtol=1e-9, atol=1e-12)


@BOOK.law
def step_forward(surrogate: Surrogate, case: Distances) -> None:
    """A spike is 1 where ``u >= 0`` (or ``u > 0``), else 0, in the dtype of ``u``."""
    for dtype in DTYPES:
        tiny, huge = torch.finfo(dtype).tiny, torch.finfo(dtype).max
        u = torch.cat((case.u().to(dtype), torch.tensor([tiny, -tiny, huge, -huge], dtype=dtype)))
        for compare in COMPARES:
            z, expected = copy.deepcopy(surrogate).spike(u.clone(), compare), u >= 0 if compare == ">=" else u > 0
            ensure(z.dtype == dtype, f"u is {dtype}, the spikes are {z.dtype}")
            ensure(torch.equal(z, expected.to(dtype)), f"the spikes are not the step u {compare} 0")


@BOOK.law
def backward_is_gradient(surrogate: Surrogate, case: Distances) -> None:
    """Going back through a spike multiplies by ``gradient(u)``, whichever way it compares."""
    upstream = torch.randn(case.n + 2, generator=generator(case.seed, "upstream"), dtype=torch.float64)
    for compare in COMPARES:
        u = case.u().requires_grad_()
        (grad,) = torch.autograd.grad(copy.deepcopy(surrogate).spike(u, compare), u, upstream)
        ensure(close(grad, upstream * gradient(surrogate, case.u())), "the gradient of a spike is not gradient(u)")


@BOOK.law
def even(surrogate: Surrogate, case: Distances) -> None:
    """``gradient(-u)`` equals ``gradient(u)``."""
    u = case.u()
    ensure(close(gradient(surrogate, -u), gradient(surrogate, u)), "gradient(-u) differs from gradient(u)")


@BOOK.law
def largest_at_the_threshold(surrogate: Surrogate, case: Distances) -> None:
    """At ``u = 0`` it is positive, and nowhere larger in size; lobes below zero are allowed."""
    g = gradient(surrogate, case.u())
    peak = float(g[-1])
    ensure(peak > 0, f"at the threshold it is {peak:.4g}")
    ensure((g.abs() <= peak * (1 + 1e-9)).all(), f"it is {peak:.4g} at the threshold, and {float(g.abs().max()):.4g} beside it")


@BOOK.law
def finite(surrogate: Surrogate, _case: Distances) -> None:
    """It is finite at 0 and for the smallest and largest numbers of each dtype."""
    for dtype in DTYPES:
        info = torch.finfo(dtype)
        sizes = [0.0, info.tiny, info.eps, 1.0, 50.0, 1e3, math.sqrt(info.max), info.max]
        u = torch.tensor([sign * size for size in sizes for sign in (1, -1)], dtype=dtype)
        strange = u[~gradient(surrogate, u).isfinite()]
        ensure(not len(strange), f"it is not finite at u = {strange[:1].tolist()} in {dtype}")


@BOOK.law
def element_wise(surrogate: Surrogate, case: Distances) -> None:
    """Each number is answered by itself: in any order, in any shape, alone."""
    u = case.u()
    g = gradient(surrogate, u)
    order = torch.randperm(len(u), generator=generator(case.seed, "order"))
    ensure(close(gradient(surrogate, u[order]), g[order]), "in another order the answers differ")
    ensure(close(gradient(surrogate, u[:, None, None]).flatten(), g), "in another shape the answers differ")
    alone = torch.stack([gradient(surrogate, one) for one in u])
    ensure(close(alone, g), "one number alone is answered otherwise")


@BOOK.law
def shape_and_dtype(surrogate: Surrogate, case: Distances) -> None:
    """It has the shape and the dtype of ``u``, in float64, float32 and bfloat16."""
    for dtype in DTYPES:
        u = case.u().to(dtype)
        for shaped in (u, u.view(1, -1, 1), u[0], u[:0]):
            g = gradient(surrogate, shaped)
            ensure(g.dtype == dtype, f"u is {dtype}, the gradient is {g.dtype}")
            ensure(g.shape == shaped.shape, f"u is {tuple(shaped.shape)}, the gradient is {tuple(g.shape)}")


@BOOK.law
def stateless(surrogate: Surrogate, case: Distances) -> None:
    """Equal arguments give equal answers, whatever was asked between; ``u`` is left as it is."""
    given = case.u()
    first = surrogate.gradient(given).clone()
    surrogate.gradient(case.u("between"))
    ensure(torch.equal(surrogate.gradient(case.u()), first), "the second answer differs: something is kept between calls")
    ensure(torch.equal(given, case.u()), "u was written into")


@BOOK.law_tried(2)
def runs_on_meta(surrogate: Surrogate, case: Distances) -> None:
    """It runs on torch's meta device, where costs are counted: no step hangs on a value."""
    u = case.u().to("meta")
    g = gradient(surrogate, u)
    ensure(g.device.type == "meta", f"u is on the meta device, the gradient on {g.device}")
