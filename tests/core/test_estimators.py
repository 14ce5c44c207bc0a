"""The additive costs: what they say of a genotype is what its built network has, and they extend to mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.cell.cells import CellSpace
from nastk.core.model.estimator import Additive, Expected
from nastk.core.model.network import Network
from nastk.core.types import Shape
from nastk.plugins.estimators.costs import Macs, Parameters
from nastk.testing import build_space, genotypes, weights

SPACES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "toy": ("toy", {}, {}),
    "toy-relu": ("toy", {"neuron": "relu", "time_steps": 1}, {}),
    "spiking": ("spiking-cells", {}, {"nodes": 2}),
    "dhs": ("spiking-cells", {}, {"preset": "dhs", "nodes": 2}),
    "snas": ("spiking-cells", {}, {"preset": "snas", "nodes": 2, "norm": "operation"}),
    "autosnn-op": ("spiking-cells", {}, {"preset": "autosnn", "nodes": 2, "membrane": "op"}),
    "darts-preset": ("spiking-cells", {"neuron": "lif"}, {"preset": "darts", "nodes": 2}),
    "cbam": ("spiking-cells", {"attention": "cbam"}, {"nodes": 2}),
    "eca-end": ("spiking-cells", {"attention": "eca", "attention_location": "end"}, {"nodes": 2, "sharing": "shared"}),
    "cbam-both": ("spiking-cells", {"attention": "cbam", "attention_location": "both"}, {"nodes": 2}),
    "eca-candidate": ("toy", {"attention": "eca", "attention_location": "candidate"}, {}),
    "tcsa": ("toy", {"attention": {"name": "tcsa", "t_reduction": 1}}, {}),
    "per-cell": ("spiking-cells", {}, {"nodes": 2, "sharing": "per_cell"}),
    "darts": ("darts-cells", {"neuron": "relu", "time_steps": 1}, {}),
    "darts-cbam": ("darts-cells", {"neuron": "plif", "time_steps": 2, "attention": "cbam"}, {}),
}
SAMPLE, CLASSES = Shape(1, 3, 9, 8), 5
COSTS = {"parameters": Parameters(), "macs": Macs()}


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> CellSpace:
    """One space, its networks narrow and short."""
    name, model, own = SPACES[request.param]
    found: CellSpace = build_space(name, {"channels": 4, "cells": 3, **model}, **own)
    return found


@pytest.fixture(params=COSTS.values(), ids=COSTS.keys())
def cost(request: pytest.FixtureRequest) -> Additive:
    """One of the bundled costs."""
    found: Additive = request.param
    return found


def built(genotype: Any) -> Network:
    """The network on the meta device."""
    with torch.device("meta"):
        return Network(genotype, SAMPLE, CLASSES)


def counted_macs(network: Network) -> float:
    """Multiply-accumulates of a whole forward pass, counted here by the shapes that pass, not by nastk."""
    total = 0.0

    def add(layer: Any, _: object, out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += out.numel() * layer.in_features
        else:
            total += out.numel() * layer.in_channels // layer.groups * int(np.prod(layer.kernel_size))

    for layer in network.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(add)
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, 1, *SAMPLE[1:], device="meta"))
    return total


def test_estimate_is_what_the_network_has(space: CellSpace) -> None:
    @settings(deadline=None, max_examples=4)
    @given(genotypes(space))
    def holds(genotype: Any) -> None:
        network = built(genotype)
        assert COSTS["parameters"].estimate(genotype, SAMPLE, CLASSES).value == sum(p.numel() for p in network.parameters())
        assert COSTS["macs"].estimate(genotype, SAMPLE, CLASSES).value == counted_macs(network)

    holds()


def test_expected_at_one_hot_is_the_estimate(space: CellSpace, cost: Expected) -> None:
    @settings(deadline=None, max_examples=4)
    @given(genotypes(space))
    def holds(genotype: Any) -> None:
        hot = {name: torch.from_numpy(w) for name, w in space.one_hot(genotype).items()}
        assert all(w.dtype == torch.float64 for w in hot.values())
        found = cost.expected(space.full(), SAMPLE, CLASSES, hot)
        assert float(found) == pytest.approx(cost.estimate(genotype, SAMPLE, CLASSES).value, rel=1e-12)

    holds()


def test_expected_is_linear_and_differentiable_in_the_weights(space: CellSpace, cost: Expected) -> None:
    """Its gradient exists everywhere, is the slope, and says that more of an operation never costs less."""
    full = space.full()

    @settings(deadline=None, max_examples=3)
    @given(weights(space, 0.0, 1.0), weights(space, 0.0, 1.0), st.floats(0.0, 1.0))
    def holds(first: dict[str, np.ndarray], second: dict[str, np.ndarray], share: float) -> None:
        a, b = ({n: torch.from_numpy(w.copy()) for n, w in given_.items()} for given_ in (first, second))
        between = {n: (share * a[n] + (1 - share) * b[n]).requires_grad_() for n in a}
        value = cost.expected(full, SAMPLE, CLASSES, between)
        ends = [float(cost.expected(full, SAMPLE, CLASSES, w)) for w in (a, b)]
        assert value.item() == pytest.approx(share * ends[0] + (1 - share) * ends[1], rel=1e-9)
        grads = torch.autograd.grad(value, list(between.values()))
        for (name, _), grad in zip(between.items(), grads, strict=True):
            assert torch.isfinite(grad).all()
            assert (grad >= 0).all()
            if "none" in (candidates := full.cell(name).edges[0].candidates):
                assert (grad[:, candidates.index("none")] == 0).all(), "none costs nothing"
        assert sum(float(g.sum()) for g in grads) > 0

    holds()


def test_cost_grows_with_width_depth_and_time() -> None:
    def of(cost: Additive, **model: Any) -> float:
        found = build_space("toy", {"channels": 4, "cells": 3, "time_steps": 2, **model})
        return cost.estimate(found.decode([2, 2, 2, *[0] * (len(found.decisions) - 3)]), SAMPLE, CLASSES).value

    for cost in COSTS.values():
        assert of(cost) < of(cost, channels=6)
        assert of(cost) < of(cost, cells=4)
    assert of(COSTS["macs"]) < of(COSTS["macs"], time_steps=3)
    assert of(COSTS["parameters"]) == of(COSTS["parameters"], time_steps=3)


def test_cost_of_operations_is_ordered() -> None:
    """none and pooling below a 1x1, a 3x3, a 5x5 convolution."""
    space = build_space(
        "toy", {"channels": 4, "cells": 3}, operations=["none", "avg_pool_3x3", "conv_1x1", "conv_3x3", "conv_5x5"]
    )
    members = [space.decode([op, op, op, *[0] * (len(space.decisions) - 3)]) for op in range(5)]
    for cost in COSTS.values():
        values = [cost.estimate(member, SAMPLE, CLASSES).value for member in members]
        assert values == sorted(values)
        assert values[1] < values[2] < values[3] < values[4]


def test_auxiliary_head_is_not_counted(space: CellSpace) -> None:
    genotype = space.decode([0] * len(space.decisions))
    with torch.device("meta"):
        whole = Network(genotype, SAMPLE, CLASSES, auxiliary=True)
    plain = sum(p.numel() for n, p in whole.named_parameters() if ".auxiliary." not in n)
    assert COSTS["parameters"].estimate(genotype, SAMPLE, CLASSES).value == plain
    assert plain < sum(p.numel() for p in whole.parameters())
