"""G4: norm, mixing weight and sum of what leaves a node, forward and backward, against its floor."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from gpu.ceilings import copy_rate
from gpu.section import Row, Setup, Step, close, timed
from torch import Tensor

from nastk.core.model.norm_mix import norm_mix
from nastk.core.model.norm_mix_kernels import Term

EDGES, GROUPS, POOLS, EPS = 4, 3, 2, 1e-5
"""A node with four edges: three forms of convolution on each, two poolings that all edges share, and the value itself."""


def terms() -> list[Term]:
    """Every candidate of every edge."""
    found = [Term(group, edge, edge, True) for group in range(GROUPS) for edge in range(EDGES)]
    found += [Term(GROUPS + pool, 0, edge, True) for pool in range(POOLS) for edge in range(EDGES)]
    return found + [Term(GROUPS + POOLS, 0, edge, False) for edge in range(EDGES)]


def plain(channels: int, weights_M: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The same with one batch norm a term, and sums in Python."""
    out: dict[int, Tensor] = {}
    for w, term in zip(weights_M, terms(), strict=True):
        y = inputs[term.tensor][:, term.block * channels : (term.block + 1) * channels]
        y = w * (F.batch_norm(y, None, None, training=True, eps=EPS) if term.normed else y)
        out[term.slot] = out[term.slot] + y if term.slot in out else y
    return [out[slot] for slot in range(EDGES)]


def measure(setup: Setup) -> Iterator[Row]:
    """A row a side."""
    rate = copy_rate(setup)
    channels, samples, pixels = setup.pick((16, 128, 32), (2, 4, 8))
    generator = torch.Generator().manual_seed(0)
    widths = [EDGES * channels] * GROUPS + [channels] * (POOLS + 1)

    def made(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(setup.device)

    inputs = [made(samples, width, pixels, pixels).to(memory_format=torch.channels_last).requires_grad_() for width in widths]
    weights = torch.rand(len(terms()), generator=generator).to(setup.device).requires_grad_()
    outer = [made(samples, channels, pixels, pixels).to(memory_format=torch.channels_last) for _ in range(EDGES)]
    sides = {
        "batch norms and sums": lambda: plain(channels, weights, inputs),
        "nastk": lambda: norm_mix(terms(), EDGES, channels, EPS, weights, inputs)[0],
    }
    read, written = (sum(x.numel() * x.element_size() for x in tensors) for tensors in (inputs, outer))
    floor = 1e3 * (3 * read + 2 * written) / rate  # y, z; y, g, the gradient of y: each once
    case = f"{len(terms())} terms, {EDGES} edges, {read / 2**20:.0f} MB, float32"
    yield Row("", case, "every tensor once", floor)
    for name, run in sides.items():

        def make(run=run) -> Step:
            def step() -> tuple[Tensor, ...]:
                return torch.autograd.grad(run(), [weights, *inputs], outer)

            expected = torch.autograd.grad(sides["batch norms and sums"](), [weights, *inputs], outer)
            for found, wanted in zip(step(), expected, strict=True):
                close(found, wanted, 2e-3, "gradients")
            for found, wanted in zip(run(), sides["batch norms and sums"](), strict=True):
                close(found, wanted, 1e-4, "mixtures")
            return step

        row = timed(setup, Row("", case, name), make)
        if name == "nastk" and row.value:
            row.bar, row.ratio = "G4", row.value / floor
        yield row
