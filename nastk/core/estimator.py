"""Estimators: a cost or score of a genotype without training it; and the cost algebra behind the additive ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from nastk.core.cellnet import CellModule, EdgeModule, Material
from nastk.core.counting import dense_operations
from nastk.core.graph import Algebra, Cell, Edge, Genotype, fold
from nastk.core.layout import LayerPlan, plan
from nastk.core.network import Network
from nastk.core.relax import Mixed, rows
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
        shape = sample._replace(T=int(genotype.part("time_steps")))
        layers = plan(genotype, shape)
        total = self._outside(genotype, sample, shape, classes)
        for layer in layers:
            cell = genotype.cell(layer.cell)
            costs: Algebra[Any] = _Costs(type(self), material, layer, cell)
            if weights is not None:
                costs = Mixed(costs, rows(cell, list(weights[layer.cell])))
            total = total + fold(cell, costs, [0.0] * cell.inputs)
        return total
