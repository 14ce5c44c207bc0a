"""G2, G3: a neuron, forward and backward, against five traversals of memory and against SpikingJelly.

Sides: nastk's scan of single steps, the same recomputed in the backward pass (saves the input alone), the same compiled by
torch, nastk's kernel, SpikingJelly in torch and as it chooses (Triton or CUDA). The kernel's spikes have to be those of the
scan, and its gradient close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import torch
from gpu.ceilings import copy_rate
from gpu.section import FailedCheck, Row, Setup, Step, close, over, require, timed
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nastk.core.config import NeuronPart

TRAVERSALS = 5
"""Read the input, write the spikes; read the input and the gradient, write the input's gradient."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
TORCH, CHOSEN = "SpikingJelly, torch", "SpikingJelly, its choice"


def ours(kind: str, setup: Setup) -> Any:
    """nastk's neuron."""
    part = NeuronPart.named(kind, v_th=1.0, tau=2.0, surrogate={"name": "atan", "alpha": 2.0})
    return part.build().to(setup.device)


def theirs(side: str, kind: str, setup: Setup) -> Any:
    """The neuron of SpikingJelly that is the same function."""
    from spikingjelly.activation_based import neuron, surrogate

    cls = {
        (TORCH, "lif"): neuron.SimpleLIFNode,
        (CHOSEN, "lif"): neuron.LIFNode,
        (CHOSEN, "plif"): neuron.ParametricLIFNode,
    }[side, kind]
    return cls(2.0, True, 1.0, 0.0, surrogate.ATan(2.0), False, step_mode="m").to(setup.device)


def forwards(kind: str, setup: Setup) -> dict[str, Callable[[], Callable[[Tensor], Tensor]]]:
    """Name -> maker of a function from input to spikes."""

    def scan() -> Callable[[Tensor], Tensor]:
        neuron = ours(kind, setup)
        return lambda x: neuron.scan(x)[0]

    def recomputed() -> Callable[[Tensor], Tensor]:
        run = scan()
        return lambda x: checkpoint(run, x, use_reentrant=False)

    def kernel() -> Callable[[Tensor], Tensor]:
        neuron = ours(kind, setup)

        def run(x: Tensor) -> Tensor:
            found = neuron.fuse(x, None)
            if found is None:
                raise RuntimeError(f"there is no kernel for {x.dtype} on {x.device.type}")
            return found[0]

        return run

    def jelly(side: str) -> Callable[[], Callable[[Tensor], Tensor]]:
        def make() -> Callable[[Tensor], Tensor]:
            node = theirs(side, kind, setup)

            def run(x: Tensor) -> Tensor:
                node.reset()
                return node(x)

            return run

        return make

    found = {"nastk, scan": scan, "nastk, scan recomputed": recomputed, "nastk, kernel": kernel}
    if setup.cuda:
        found["nastk, scan by torch.compile"] = lambda: torch.compile(scan())
    return found | {side: jelly(side) for side in (TORCH, CHOSEN) if (side, kind) != (TORCH, "plif")}


def measure(setup: Setup) -> Iterator[Row]:
    """The rows of both neurons."""
    rate = copy_rate(setup)
    shape = setup.pick((256, 64, 64, 64), (2, 4, 8, 8))
    cases = list(product((torch.bfloat16, torch.float32), ("lif", "plif")))
    for dtype, kind in cases if not setup.toy else cases[-2:]:
        x = (1.5 * torch.randn(2, *shape, device=setup.device)).to(dtype).requires_grad_()
        g = torch.randn_like(x)
        size = x.numel() * x.element_size()
        case = f"{kind}, {str(dtype).removeprefix('torch.')}, T = 2, {size / 2**20:.0f} MB"
        floor = 1e3 * TRAVERSALS * size / rate
        yield Row("", case, "five traversals", floor)
        rows = {}
        for name, make in forwards(kind, setup).items():
            row = timed(setup, Row("", case, name), partial(stepped, make, kind, x, g, setup))
            rows[name] = row
            if name == "nastk, kernel" and row.value:
                row.bar, row.ratio = "G2", row.value / floor
            yield row
        for side in (TORCH, CHOSEN):
            if side in rows and rows[side].value and (ratio := over(rows["nastk, kernel"], rows[side])):
                yield Row("G3" if side == TORCH else "", case, f"nastk, kernel over {side}", ratio, "x", ratio)


def stepped(make: Callable[[], Callable[[Tensor], Tensor]], kind: str, x: Tensor, g: Tensor, setup: Setup) -> Step:
    """A step, after the spikes and the gradient of a part of the input were compared with the scan's."""
    run = make()
    part = x.detach()[:, :2].clone().requires_grad_()
    z, expected = run(part), ours(kind, setup).scan(part)[0]
    require(torch.equal(z, expected), f"{int((z != expected).sum())} of {z.numel()} spikes are not the scan's")
    found, wanted = (torch.autograd.grad(out, part, g[:, :2])[0] for out in (z, expected))
    if not bool(found.isfinite().all()):
        raise FailedCheck("the gradient is not finite")
    close(found, wanted, TOLERANCE[x.dtype], "gradients")

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(run(x), x, g)

    return step
