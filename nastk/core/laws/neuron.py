"""The laws of neurons: one time step is a pure function of input and state, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core.config import Part
from nastk.core.laws.law import LawBook, applies, ensure
from nastk.core.model.neuron import Neuron, build_neuron
from nastk.core.seeds import generator, seeded
from nastk.core.types import Kind

AnyNeuron = Neuron[Any]


@frozen
class Currents:
    """Input currents ``(T, B, F, H)`` from a seed, normal with this scale."""

    T: int
    B: int
    F: int
    H: int
    scale: float
    seed: int

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.T * self.B * self.F * self.H

    def sequence(self, salt: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        """``(T, B, F, H)``; another one for another ``salt``."""
        shape = (self.T, self.B, self.F, self.H)
        return (torch.randn(shape, generator=generator(self.seed, salt), dtype=torch.float64) * self.scale).to(dtype)


def draw(rng: random.Random) -> Currents:
    """Two to six steps, up to three samples, few features; large enough for many spikes."""
    return Currents(
        rng.randint(2, 6), rng.randint(2, 3), rng.randint(1, 4), rng.randint(1, 3), rng.choice([1.0, 3.0]), rng.randrange(10**6)
    )


def prepare(part: Part, case: Currents) -> AnyNeuron:
    """A fresh layer."""
    with seeded(case.seed, "neuron"):
        return build_neuron(part, case.T)


BOOK: LawBook[AnyNeuron, Currents] = LawBook(Kind.NEURON, draw, prepare, vary=True)


def same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether two states are equal to the bit."""
    return len(left) == len(right) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b for a, b in zip(left, right, strict=True)
    )


@BOOK.law
def causal(neuron: AnyNeuron, case: Currents) -> None:
    """Input from a step on does not change the output before it."""
    x_TBF = case.sequence()
    before, _ = neuron(x_TBF)
    for now in range(1, case.T):
        other = x_TBF.clone()
        other[now:] = 1 - 2 * other[now:]
        ensure(torch.equal(neuron(other)[0][:now], before[:now]), f"the input from step {now} on changed the output before it")


@BOOK.law
def splittable(neuron: AnyNeuron, case: Currents) -> None:
    """Two halves with the state handed over equal one run."""
    x_TBF = case.sequence()
    whole, end = neuron(x_TBF)
    for cut in range(1, case.T):
        first, state = neuron(x_TBF[:cut])
        second, last = neuron(x_TBF[cut:], state)
        ensure(torch.equal(torch.cat([first, second]), whole), f"cut at step {cut}, the spikes differ: state misses something")
        ensure(same(last, end), f"cut at step {cut}, the last state differs")


@BOOK.law
def batch_independent(neuron: AnyNeuron, case: Currents) -> None:
    """What a sample gives does not depend on the other samples of the batch."""
    x_TBF = case.sequence()
    whole, _ = neuron(x_TBF)
    for b in range(case.B):
        ensure(torch.equal(neuron(x_TBF[:, b : b + 1])[0], whole[:, b : b + 1]), f"sample {b} alone gives another output")


@BOOK.law
def repeatable(neuron: AnyNeuron, case: Currents) -> None:
    """Two calls with equal arguments give equal answers, whatever ran between; the arguments are left as they are."""
    x_TBF = case.sequence()
    kept = x_TBF.clone()
    first, end = neuron(x_TBF)
    neuron(case.sequence(salt=1))
    again, last = neuron(x_TBF)
    ensure(torch.equal(first, again) and same(end, last), "the second call gave another answer: something is kept between calls")
    _, state = neuron(x_TBF[:1])
    held = [part.clone() if isinstance(part, Tensor) else part for part in state]
    neuron(x_TBF[1:], state)
    ensure(torch.equal(x_TBF, kept), "the input was written into")
    ensure(same(state, held), "the state that was given was written into")


@BOOK.law
def binary(neuron: AnyNeuron, case: Currents) -> None:
    """The output has the input's shape and is 0 or 1, or -1 where it says ``signed = True``; spikes occur."""
    applies(neuron.spiking, "it says spiking = False")
    x_TBF = case.sequence().abs() * 3
    z_TBF, _ = neuron(x_TBF)
    ensure(z_TBF.shape == x_TBF.shape, f"input {tuple(x_TBF.shape)}, output {tuple(z_TBF.shape)}")
    strange = z_TBF[(z_TBF != 0) & ((z_TBF.abs() if neuron.signed else z_TBF) != 1)]
    ensure(not len(strange), f"the output holds {strange[:1].tolist()}")
    strong = [neuron(torch.full_like(x_TBF, size))[0] for size in ((1e3, -1e3) if neuron.signed else (1e3,))]
    ensure(any(z.any() for z in strong), "an input of 1000 at every step gives no spike")


@BOOK.law
def silent_at_rest(neuron: AnyNeuron, case: Currents) -> None:
    """Without input the output is zero and the state (but for counts of steps) stays as it began: no edge is no input."""
    x_TBF = torch.zeros_like(case.sequence())
    z_TBF, state = neuron(x_TBF)
    ensure(not z_TBF.any(), "zero input gives an output")
    begun = neuron.initial_state(x_TBF[0])
    now, before = ([part for part in parts if isinstance(part, Tensor)] for parts in (state, begun))
    ensure(same(now, before), "without input the state drifts")


@BOOK.law
def differentiable(neuron: AnyNeuron, case: Currents) -> None:
    """A finite gradient reaches the input and every parameter."""
    neuron = neuron.double()
    reached = False
    moved = dict.fromkeys(dict(neuron.named_parameters()), False)
    for scale in (0.25, 0.5, 1.0, 2.0):
        x_TBF = (case.sequence().abs() * scale).requires_grad_()
        z_TBF, _ = neuron(x_TBF)
        ensure(z_TBF.requires_grad, "the output hangs on nothing that can be learned")
        grads = torch.autograd.grad(z_TBF.sum(), [x_TBF, *neuron.parameters()], allow_unused=True)
        for name, grad in zip(["the input", *moved], grads, strict=True):
            ensure(grad is None or bool(grad.isfinite().all()), f"the gradient of {name} is not finite")
        reached = reached or (grads[0] is not None and bool(grads[0].any()))
        moved = {name: moved[name] or (g is not None and bool(g.any())) for name, g in zip(moved, grads[1:], strict=True)}
    ensure(reached, "no gradient reaches the input")
    ensure(all(moved.values()), f"no gradient reaches {', '.join(name for name, seen in moved.items() if not seen)}")


@BOOK.law
def fused_equals_scan(neuron: AnyNeuron, case: Currents) -> None:
    """``forward`` equals the scan of ``step`` from ``initial_state``: outputs to the bit, gradients within 1e-6."""
    neuron = neuron.double()
    x_TBF = case.sequence().requires_grad_()
    fused, end = neuron(x_TBF)
    state: Any = neuron.initial_state(x_TBF[0])
    steps = []
    for x_BF in x_TBF:
        z_BF, state = neuron.step(x_BF, state)
        steps.append(z_BF)
    scan = torch.stack(steps)
    ensure(torch.equal(fused, scan), "forward and the scan of step give other outputs")
    close = [torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(end, state, strict=True) if isinstance(a, Tensor)]
    ensure(all(close), "forward and the scan of step end in other states")
    weight = torch.randn(scan.shape, generator=generator(case.seed, "weight"), dtype=scan.dtype)
    one, two = (torch.autograd.grad((z * weight).sum(), x_TBF)[0] for z in (fused, scan))
    ensure(torch.allclose(one, two, rtol=1e-6, atol=1e-9), "forward and the scan of step give other gradients")


@BOOK.law
def device_and_dtype_follow_the_input(neuron: AnyNeuron, case: Currents) -> None:
    """Output and state have the input's dtype, shape and device, in float64, float32 and bfloat16."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x_TBF = case.sequence(dtype=dtype)
        z_TBF, state = neuron(x_TBF)
        ensure(z_TBF.dtype == dtype, f"input {dtype}, output {z_TBF.dtype}")
        for part in state:
            if isinstance(part, Tensor):
                ensure(part.dtype == dtype, f"input {dtype}, state {part.dtype}")
                ensure(part.shape == x_TBF.shape[1:], f"input of one step {tuple(x_TBF.shape[1:])}, state {tuple(part.shape)}")
    x_TBF = case.sequence(dtype=torch.float32).to("meta")
    z_TBF, state = neuron.float().to("meta")(x_TBF)
    where = [z_TBF.device.type, *(part.device.type for part in state if isinstance(part, Tensor))]
    ensure(set(where) == {"meta"}, f"input on the meta device, output and state on {', '.join(where)}")
