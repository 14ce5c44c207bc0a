"""Candidate operations of an edge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor, nn

from nastk.core.config import AttentionPart, NeuronPart
from nastk.core.model.attention import Attention
from nastk.core.model.batch_norm import PLAIN, batch_norm
from nastk.core.model.neuron import Neuron, build_neuron
from nastk.core.types import Face, Shape


@frozen
class Site:
    """Where a module is built: what it will see, and what the run uses there."""

    shape: Shape
    """``(T, C, H, W)`` of the input; the output has ``C`` channels and ``1/stride`` of the height and width."""
    stride: int
    affine: bool
    """Whether batch norms have a scale and a shift: not in a supernet, where they would blur the mixing weights."""
    neuron: NeuronPart
    attention: AttentionPart
    batch_norm: str = PLAIN
    """Which batch norm the run uses: ``model.batch_norm``."""

    @property
    def out(self) -> Shape:
        """The output's shape; odd sizes round up."""
        return self.shape._replace(H=-(-self.shape.H // self.stride), W=-(-self.shape.W // self.stride))

    def make_neuron(self, **settings: Any) -> Neuron[Any]:
        """A new layer of the run's neuron, with some settings replaced (``surrogate={"name": "dhs"}``)."""
        return build_neuron(self.neuron.replaced(**settings), self.shape.T)

    def make_norm(self, channels: int | None = None, *, affine: bool | None = None) -> nn.BatchNorm2d:
        """A new layer of the run's batch norm, for ``(T * B, channels, H, W)``; as many channels as the input has."""
        v_th = getattr(self.neuron.config, "v_th", None)
        width, scaled = self.shape.C if channels is None else channels, self.affine if affine is None else affine
        return batch_norm(self.batch_norm, width, self.shape.T, scaled, v_th)

    def make_attention(self, shape: Shape) -> Attention:
        """A new module of the run's attention for activations of this shape."""
        built: Attention = self.attention.build(shape)
        return built


@frozen
class Convolved:
    """An operation that is bias-free convolutions, all but the first of size 1, and a norm: ``norm(c_n(... c_1(x)))``."""

    convolutions: tuple[nn.Conv2d, ...]
    norm: nn.BatchNorm2d


@frozen
class Pooled:
    """An operation that is a map without parameters, the same wherever ``key`` is, and a norm: ``norm(pool(x))``."""

    key: tuple[str, int]
    pool: Callable[[Tensor], Tensor]
    norm: nn.BatchNorm2d


Recipe = Convolved | Pooled


class Operation(nn.Module, ABC):
    """A candidate on an edge. A plug-in class is built as ``cls(site)``; channels in equal channels out.

    ``reads`` says which face of its source node it takes. A *synapse* reads the ACTIVATION and gives a current; a
    *wire* (skip, pooling) reads the VALUE and hands it on. So pre-activation DARTS and spike-driven cells are one rule.
    """

    reads: ClassVar[Face] = Face.ACTIVATION
    identity: bool = False
    """Whether the instance hands its input on unchanged: drop-path spares it."""

    @abstractmethod
    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(T, B, C, H, W)`` to ``(T, B, C, H/stride, W/stride)``."""

    @property
    def recipe(self) -> Recipe | None:
        """What :meth:`forward` computes, where it is of a form that a schedule can do together with others; else None."""
        return None


def over_time(module: Callable[[Tensor], Tensor], x_TBCHW: Tensor) -> Tensor:
    """Run a stateless module with time folded into the batch: ``(T, B, ...)`` to ``(T, B, ...)``."""
    return torch.unflatten(module(x_TBCHW.flatten(0, 1)), 0, x_TBCHW.shape[:2])


def fire(neuron: nn.Module, x_TBCHW: Tensor) -> Tensor:
    """A neuron's output over a whole sequence, from rest."""
    z_TBCHW: Tensor = neuron(x_TBCHW)[0]
    return z_TBCHW
