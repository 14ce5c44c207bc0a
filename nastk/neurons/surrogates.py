"""Surrogate gradients, one class each. ``u = v - v_th``; every formula is even in ``u`` and largest at 0."""

from __future__ import annotations

import math

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core import mark
from nastk.core.model.surrogate import Bump, Surrogate


@frozen(kw_only=True)
class ATanConfig:
    """Settings of ``atan``."""

    alpha: float = field(default=2.0, validator=gt(0), metadata={"help": "sharpness; the peak is alpha / 2"})


@mark.surrogate(
    "atan",
    config=ATanConfig,
    paper="Fang et al., Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks, ICCV 2021",
)
class ATan(Surrogate):
    """Derivative of a scaled arc tangent (Fang et al., 2021).

    ``g(u) = (alpha / 2) / (1 + (pi alpha u / 2)^2)``; area 1. SpikingJelly ``ATan(alpha)``, snnTorch ``atan(alpha)``.
    """

    def __init__(self, config: ATanConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        half = self.alpha / 2
        scaled = math.pi * half * u
        return half / (1 + scaled * scaled)

    def bump(self) -> Bump:
        return Bump("atan", self.alpha / 2, math.pi * self.alpha / 2)


@frozen(kw_only=True)
class SigmoidConfig:
    """Settings of ``sigmoid``."""

    alpha: float = field(default=4.0, validator=gt(0), metadata={"help": "sharpness; the peak is alpha / 4"})


@mark.surrogate("sigmoid", config=SigmoidConfig)
class Sigmoid(Surrogate):
    """Derivative of the logistic function.

    ``g(u) = alpha s (1 - s)``, ``s = sigmoid(alpha u)``; area 1. SpikingJelly ``Sigmoid(alpha)``, snnTorch
    ``sigmoid(slope=alpha)`` (whose default is 25).
    """

    def __init__(self, config: SigmoidConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        s = torch.sigmoid(self.alpha * u)
        return self.alpha * s * (1 - s)

    def bump(self) -> Bump:
        return Bump("logistic", self.alpha)


@frozen(kw_only=True)
class FastSigmoidConfig:
    """Settings of ``fast-sigmoid``."""

    slope: float = field(default=25.0, validator=gt(0), metadata={"help": "how fast it falls off beside the threshold"})
    scale: float = field(default=1.0, validator=gt(0), metadata={"help": "the peak, at the threshold"})


@mark.surrogate(
    "fast-sigmoid",
    config=FastSigmoidConfig,
    paper="Zenke and Ganguli, SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks, Neural Computation 2018",
)
class FastSigmoid(Surrogate):
    """Derivative of the fast sigmoid, as in SuperSpike (Zenke & Ganguli, 2018).

    ``g(u) = scale / (1 + slope |u|)^2``; area ``2 scale / slope``. snnTorch ``fast_sigmoid(slope)`` has ``scale = 1``;
    SpikingJelly ``SuperSpike(alpha)`` has ``slope = 1, scale = alpha``.
    """

    def __init__(self, config: FastSigmoidConfig) -> None:
        self.slope, self.scale = config.slope, config.scale

    def gradient(self, u: Tensor) -> Tensor:
        return self.scale / (1 + self.slope * u.abs()).square()

    def bump(self) -> Bump:
        return Bump("fast-sigmoid", self.scale, self.slope)


@frozen(kw_only=True)
class TriangleConfig:
    """Settings of ``triangle``."""

    width: float = field(default=1.0, validator=gt(0), metadata={"help": "half the base: zero where |u| >= width"})
    height: float = field(default=0.3, validator=gt(0), metadata={"help": "the peak (dampening factor), at the threshold"})


@mark.surrogate(
    "triangle",
    config=TriangleConfig,
    paper="Esser et al., Convolutional Networks for Fast, Energy-Efficient Neuromorphic Computing, PNAS 2016",
)
class Triangle(Surrogate):
    """Triangle of free width and height (Esser et al., 2016; height 0.3 by Bellec et al., 2018).

    ``g(u) = height max(0, 1 - |u| / width)``; area ``width * height``. snnTorch's ``triangular`` is another function
    (not even, without bound) and has no counterpart here.
    """

    def __init__(self, config: TriangleConfig) -> None:
        self.width, self.height = config.width, config.height

    def gradient(self, u: Tensor) -> Tensor:
        return self.height * (1 - u.abs() / self.width).clamp(min=0)

    def bump(self) -> Bump:
        return Bump("triangle", self.height, 1 / self.width)


@frozen(kw_only=True)
class PiecewiseQuadraticConfig:
    """Settings of ``piecewise-quadratic``."""

    alpha: float = field(default=1.0, validator=gt(0), metadata={"help": "the peak; zero where |u| >= 1 / alpha"})


@mark.surrogate("piecewise-quadratic", config=PiecewiseQuadraticConfig)
class PiecewiseQuadratic(Surrogate):
    """Derivative of a piecewise quadratic step: the triangle of area 1.

    ``g(u) = max(0, alpha - alpha^2 |u|)``. SpikingJelly ``PiecewiseQuadratic(alpha)``; the same as ``triangle`` with
    ``width = 1 / alpha, height = alpha``.
    """

    def __init__(self, config: PiecewiseQuadraticConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return (self.alpha - self.alpha**2 * u.abs()).clamp(min=0)

    def bump(self) -> Bump:
        return Bump("triangle", self.alpha, self.alpha)


@frozen(kw_only=True)
class DHSConfig:
    """Settings of ``dhs``."""

    b: float = field(default=3.0, validator=gt(0), metadata={"help": "sharpness; SpikeDHS chooses among 3 and 5"})


@mark.surrogate(
    "dhs",
    config=DHSConfig,
    paper="Che et al., Differentiable Hierarchical and Surrogate Gradient Search for Spiking Neural Networks, NeurIPS 2022",
)
class DHS(Surrogate):
    """Derivative of a clipped tanh, whose width SpikeDHS searches (Che et al., 2022).

    ``g(u) = b (1 - tanh^2(b u)) / (2 tanh(b / 2))`` where ``|u| < 0.5``, else 0; area 1. A small ``b`` comes near the
    rectangle of height 1, a large one is a narrow peak.
    """

    def __init__(self, config: DHSConfig) -> None:
        self.b = config.b

    def gradient(self, u: Tensor) -> Tensor:
        t = torch.tanh(self.b * u)
        bump = (1 - t * t) * (self.b / (2 * math.tanh(self.b / 2)))
        return bump.masked_fill(u.abs() >= 0.5, 0.0)

    def bump(self) -> Bump:
        return Bump("tanh", self.b / (2 * math.tanh(self.b / 2)), self.b)
