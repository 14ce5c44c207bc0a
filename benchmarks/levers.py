"""Precision and recomputed cells: a search step's passes and a training step's, as they are and with each setting.

A step is one forward and backward pass of a batch: of the supernet at equal mixing weights, and of the final network.
"""

from __future__ import annotations

import itertools
from typing import Any

import harness
import report
import worker
from harness import Side

KINDS = {"supernet": ("Supernet", 4), "member": ("Final network", 1)}
SIDES: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32, cells recomputed": {"recompute": True},
    "bfloat16": {"precision": "bfloat16"},
}
"""What each side sets; weights that lie channels last are a side of their own."""
LAID_OUT = "float32, weights channels last"


def prepare(settings: dict[str, Any]) -> worker.Step:
    """A pass of a side."""
    import torch
    from torch.nn.functional import cross_entropy

    from nastk.core.model.compute import Compute
    from nastk.core.model.network import Network
    from nastk.core.run.precision import uniform
    from nastk.core.run.runfile import configure
    from nastk.core.seeds import rng
    from nastk.core.types import Shape

    size = {"channels": 16, "cells": 8, "time_steps": 2, "neuron": "lif"}
    config = configure({"strategy": "darts", "space": "spiking-cells", "model": size})
    space = config.space.build(config.model)
    supernet = settings["kind"] == "supernet"
    genotype = space.full() if supernet else space.sample(rng(0, "levers"))
    network = Network(genotype, Shape(1, 3, 32, 32), 10, affine=not supernet, compute=Compute(**settings["compute"])).train()
    if settings["laid_out"]:
        network.to(memory_format=torch.channels_last)
    mixing = uniform(network, torch.device("cpu")) if supernet else None
    x_TBCHW, y_B = torch.randn(1, settings["batch"], 3, 32, 32), torch.arange(settings["batch"]) % 10

    def step() -> None:
        cross_entropy(network(x_TBCHW, mixing).mean(0), y_B).backward()
        network.zero_grad(set_to_none=True)

    return step


def load(settings: dict[str, Any]) -> None:
    """All imports, so that they do not count as memory."""
    import torch

    import nastk.core.run.run
    from nastk.core.run.runfile import configure

    assert nastk.core.run.run
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    configure({"strategy": "darts", "space": "spiking-cells", "model": {"neuron": "lif"}})


def main() -> None:
    """Measure, print, write ``levers.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="batch of the supernet; the final network's is four times that")
    options = parser.parse_args()
    rows = []
    for (kind, (title, share)), threads in itertools.product(KINDS.items(), options.threads):
        batch = options.batch * 4 // share
        common = {"kind": kind, "batch": batch, "laid_out": False}
        sides = [Side(name, "levers.py", {**common, "compute": compute}) for name, compute in SIDES.items()]
        sides.append(Side(LAID_OUT, "levers.py", {**common, "compute": {}, "laid_out": True}))
        rows += harness.compare(f"{title}, T = 2, batch {batch}", sides, threads, report.effort_of(options))
    report.publish("levers", "Precision and memory", rows, options)


if __name__ == "__main__":
    if worker.is_worker():
        worker.serve(load, prepare)
    else:
        main()
