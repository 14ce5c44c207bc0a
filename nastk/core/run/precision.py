"""Whether bfloat16 pays on this device: a second of real passes in both precisions, where a run leaves it open.

The answer takes the place of ``auto`` in the settings of the run, and so stands in its manifest: a resumed run asks no more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from attrs import evolve, frozen
from torch import Tensor

from nastk.core.cell.cells import LAYERS, CellSpace
from nastk.core.cell.space import Relaxable, SearchSpace
from nastk.core.data.splits import SEARCHED
from nastk.core.data.task import Task
from nastk.core.errors import NastkError
from nastk.core.model.compute import Compute
from nastk.core.model.network import Network
from nastk.core.model.trellis import Trellis
from nastk.core.run.parallel import first
from nastk.core.run.proxy import Proxy
from nastk.core.seeds import rng, seeded
from nastk.core.settings import RunConfig

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
PAYS = 1.1
"""How many times as fast bfloat16 has to be."""
SECONDS, ROUNDS, DRAWS = 1.0, 3, 8
"""How long to measure, and how often at least, after one round to warm up; members to try until one fits the data."""


@frozen
class Probe:
    """Median seconds of a pass in each precision, of all networks that were tried together."""

    seconds: Mapping[Precision, float]

    @property
    def choice(self) -> Precision:
        """bfloat16 where it is more than :data:`PAYS` times as fast."""
        return "bfloat16" if self.seconds["float32"] > PAYS * self.seconds["bfloat16"] else "float32"

    def sentence(self, device: torch.device) -> str:
        """What was chosen, and why."""
        slow, fast = self.seconds["float32"], self.seconds["bfloat16"]
        figures = f"a training pass takes {1000 * fast:.3g} ms in bfloat16 and {1000 * slow:.3g} ms in float32 on {device}"
        return f"precision = {self.choice!r} was chosen: {figures}."


def settled(config: RunConfig, space: SearchSpace, task: Task) -> tuple[RunConfig, list[str]]:
    """The settings with ``auto`` replaced, and a sentence about it; as they are where nothing was left open.

    Random state is kept. Where no network of the space fits the data, float32 stays, and what checks the run says why.
    """
    if config.precision != "auto":
        return config, []
    found = probe(networks(config, space, task), task, config)
    return evolve(config, precision=found.choice), [found.sentence(task.data.device)]


def networks(config: RunConfig, space: SearchSpace, task: Task) -> list[tuple[Network, Mapping[str, Tensor] | None]]:
    """What the run will train: a member at full size, and the supernet at proxy size where the strategy trains one.

    Each with its mixing weights, equal ones. None where no member fits the data.
    """
    wanted = [space.sample(rng(config.seed, "check", draw)) for draw in range(DRAWS)]
    found: list[tuple[Network, Mapping[str, Tensor] | None]] = []
    with seeded(config.seed, "precision"):
        for genotype in wanted:
            try:
                found.append((Network(genotype, task.data.shape, task.outputs, compute=Compute.of(config)), None))
                break
            except NastkError:  # with searched parts, another member may fit
                continue
        fixed = not (isinstance(space, CellSpace) and space.open_parts)
        if found and fixed and isinstance(space, Relaxable) and issubclass(config.strategy.build().requires, Relaxable):
            full = Proxy(space, config)(space.full())
            supernet = Network(full, task.data.shape, task.outputs, affine=False, compute=Compute.of(config))
            found.append((supernet, uniform(supernet, task.data.device)))
    return [(network.to(task.data.device).train(), mixing) for network, mixing in found]


def uniform(supernet: Network, device: torch.device) -> dict[str, Tensor]:
    """Mixing weights that prefer nothing, with a gradient."""
    cells = {name: torch.ones(len(c.edges), len(c.edges[0].candidates)) for name, c in supernet.genotype.cells}
    if isinstance(supernet.body, Trellis):
        cells[LAYERS] = supernet.body.allowed().float()
    return {n: (w / w.sum(-1, keepdim=True).clamp(min=1)).to(device).requires_grad_() for n, w in cells.items()}


def probe(
    tried: Sequence[tuple[Network, Mapping[str, Tensor] | None]],
    task: Task,
    config: RunConfig,
    clock: Callable[[], float] = time.perf_counter,
) -> Probe:
    """Forward and backward passes of a real batch, in turns."""
    device = task.data.device
    totals = dict.fromkeys(PRECISIONS, 0.0)
    for network, mixing in tried:
        x_TBCHW, y_B = next(task.data.batches(config.train.batch, config.seed, "precision", splits=SEARCHED))
        taken: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
        began = clock()
        with seeded(config.seed, "precision", "dropout"):
            while len(taken["float32"]) <= ROUNDS or clock() - began < SECONDS / len(tried):
                for precision in PRECISIONS:
                    network.compute = evolve(network.compute, precision=precision)
                    start = clock()
                    torch.autograd.backward(task.loss(network(x_TBCHW, mixing), y_B))
                    network.zero_grad(set_to_none=True)
                    if device.type == "cuda":
                        torch.cuda.synchronize(device)
                    taken[precision].append(clock() - start)
        for precision in PRECISIONS:
            totals[precision] += statistics.median(taken[precision][1:])
    return Probe({precision: first(seconds) for precision, seconds in totals.items()})
