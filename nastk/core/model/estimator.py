"""Estimators: a cost or score of a genotype without training it; and the cost algebra behind the additive ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from nastk.core.cell.attended import attention_of
from nastk.core.cell.graph import NONE, Algebra, Edge, Genotype
from nastk.core.cell.layout import LayerPlan, plan
from nastk.core.cell.relax import Mixed, rows
from nastk.core.model.cellnet import EdgeModule, Material, edge_site
from nastk.core.model.counting import dense_operations
from nastk.core.model.network import Network
from nastk.core.model.operation import Site
from nastk.core.types import Shape


@frozen
class Measurement:
    """A number and its unit."""

    value: float
    unit: str


class Estimator(ABC):
    """A number for a genotype, without training. A plug-in class is built as ``cls()`` or ``cls(config)``."""

    unit: str

    @abstractmethod
    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        """The number for the network of this genotype on samples ``(T, C, H, W)`` of ``classes`` classes."""


class Expected(Estimator):
    """Differentiable in the mixing weights, so that a search can use it as a penalty."""

    @abstractmethod
    def expected(self, full: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor]) -> Tensor:
        """The expectation under the mixing weights of a full genotype; at one-hot weights it is :meth:`estimate`."""


Measure = Callable[[nn.Module, tuple[int, ...]], float]
"""The cost of one module on an input of this shape (``(T, B, C, H, W)``, B = 1)."""


def count_parameters(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Number of learned numbers."""
    del shape
    return float(sum(p.numel() for p in module.parameters()))


def count_macs(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Dense multiply-accumulates of all convolutions and linear layers, for one image over all time steps."""
    total = 0.0

    def add(layer: nn.Module, args: Any, output: Tensor) -> None:
        nonlocal total
        del args
        total += dense_operations(layer, output)

    layers = [m for m in module.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(add) for layer in layers]
    module.eval()
    with torch.no_grad():
        module(torch.zeros(shape, device="meta"))
    for handle in handles:
        handle.remove()
    return total


class Additive(Expected):
    """A cost that is the sum over the parts of a network: encoder, edges, nodes, head.

    A sub-class names the ``measure`` of one module. Modules are built on torch's meta device: no memory, no numbers.
    """

    measure: Measure

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        return Measurement(float(self._total(genotype, sample, classes, None)), self.unit)

    def expected(self, full: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor]) -> Tensor:
        return torch.as_tensor(self._total(full, sample, classes, weights))

    def _total(self, genotype: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor] | None) -> Any:
        material = Material.of(genotype, affine=True)
        bare = evolve(genotype, cells={name: evolve(cell, edges=()) for name, cell in genotype.cells})
        total: Any = _cost_without_edges(type(self).measure, bare, sample, classes)
        for layer in plan(genotype, sample._replace(T=int(genotype.part("time_steps")))):
            cell = genotype.cell(layer.cell)
            plain = _Costs(type(self).measure, material, layer, cell.inputs)
            costs: Algebra[Cost] = plain
            if weights is not None:
                costs = Mixed(plain, rows(cell, weights[layer.cell]), rows(cell, weights.get(attention_of(layer.cell))))
            for edge in cell.edges:  # a cost is a sum over edges, whatever flows between them
                total = total + costs.arrive(edge, costs.apply(edge, Cost(0.0, 0.0))).value
        return total


@lru_cache(maxsize=64)
def _cost_without_edges(measure: Measure, bare: Genotype, sample: Shape, classes: int) -> float:
    """The cost of what no edge holds: the network whose cells have no edges, measured whole."""
    with torch.device("meta"):
        network = Network(bare, sample, classes)
    return measure(network, (sample.T, 1, *sample[1:]))


class Cost(NamedTuple):
    """The cost of an edge's operations, and how much of the edge is there (the weight that is not on ``none``)."""

    value: Any
    presence: Any


@lru_cache(maxsize=4096)
def _edge_costs(measure: Measure, op: str, attention: str, site: Site, material: Material) -> tuple[float, float]:
    """The cost of one operation (with the neuron behind it), and of the attention, at one place."""
    with torch.device("meta"):
        module = EdgeModule(Edge(0, 1, op, attention), site, material)
    shape, out = (site.shape.T, 1, *site.shape[1:]), (site.out.T, 1, *site.out[1:])
    operations = measure(module.ops[op], shape) + sum(measure(neuron, out) for neuron in module.fires.values())
    return operations, sum(measure(gate, out) for gate in module.attentions.values())


class _Costs(Algebra[Cost]):
    """Costs as an algebra of edges: an operation costs what it measures, attention what share of the edge is there."""

    def __init__(self, measure: Measure, material: Material, layer: LayerPlan, inputs: int) -> None:
        self.measure, self.material, self.layer, self.inputs = measure, material, layer, inputs

    def _measured(self, edge: Edge) -> tuple[float, float]:
        site = edge_site(edge, self.inputs, self.layer, self.material)
        return _edge_costs(self.measure, edge.op, edge.attention, site, self.material)

    def apply(self, edge: Edge, value: Cost) -> Cost:
        del value
        if edge.op == NONE:
            return Cost(0.0, 0.0)
        return Cost(sum(self._measured(evolve(edge, op=op, attention=edge.attentions[0]))[0] for op in edge.candidates), 1.0)

    def mix(self, edge: Edge, weighted: Sequence[tuple[Any, Cost]]) -> Cost:
        del edge
        return Cost(sum(w * cost.value for w, cost in weighted), sum(w * cost.presence for w, cost in weighted))

    def arrive(self, edge: Edge, value: Cost) -> Cost:
        one = next((op for op in edge.candidates if op != NONE), NONE)
        if one == NONE:
            return value
        attention = self._measured(evolve(edge, op=one))[1]
        return Cost(value.value + value.presence * attention, value.presence)

    def join(self, node: int, arrivals: Sequence[Cost]) -> Cost:
        del node
        return Cost(sum(a.value for a in arrivals), 1.0)

    def output(self, values: Sequence[Cost]) -> Cost:
        return Cost(sum(v.value for v in values), 1.0)
