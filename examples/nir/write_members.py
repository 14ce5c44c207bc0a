"""Write NIR graphs of small random networks, one for each neuron that has a form in NIR: what docs/exporters.md compares.

    python examples/nir/write_members.py FOLDER
    for f in FOLDER/*.nir; do python examples/nir/run_elsewhere.py $f spikingjelly snntorch norse; done

Each is a member of ``spiking-cells`` with three cells of 8 channels on images of 3 x 16 x 16, T = 4. Nothing is trained; four
batches of noise give the norms their statistics.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nastk.core.config import ExporterPart
from nastk.core.model.network import Network
from nastk.core.run.exporter import Trained
from nastk.core.types import Shape
from nastk.testing import build_space

SAMPLE, CLASSES = Shape(1, 3, 16, 16), 10
PLAIN = ("skip_connect", "conv_3x3", "conv_5x5", "conv_1x1")
SEPARABLE = ("skip_connect", "sep_conv_3x3", "dil_conv_3x3")
MEMBERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "lif": ({"name": "lif"}, PLAIN),
    "lif-whole-input": ({"name": "lif", "decay_input": False, "tau": 4.0}, PLAIN),
    "lif-rest": ({"name": "lif", "v_reset": -0.25}, PLAIN),
    "lif-separable": ({"name": "lif"}, SEPARABLE),
    "plif": ({"name": "plif", "tau": 3.0}, PLAIN),
    "if": ({"name": "if"}, PLAIN),
    "cuba-lif": ({"name": "cuba-lif"}, PLAIN),
}


def member(neuron: dict[str, Any], operations: tuple[str, ...]) -> Trained:
    """A random network whose norms have seen four batches."""
    model = {"neuron": neuron, "channels": 8, "cells": 3, "time_steps": 4}
    genotype = build_space("spiking-cells", model, operations=operations).sample(random.Random(1))
    torch.manual_seed(1)
    network = Network(genotype, SAMPLE, CLASSES)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # plain means
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(1, 16, *SAMPLE[1:]))
    return Trained(network.eval(), SAMPLE, CLASSES, (0.5,) * 3, (0.25,) * 3)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, (neuron, operations) in MEMBERS.items():
        path = folder / f"{name}.nir"
        ExporterPart.named("nir").build().write(member(neuron, operations), path)
        print(path)
