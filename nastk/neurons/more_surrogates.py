"""More surrogate gradients: exponential tails, algebraic tails, and the rectangle. ``u = v - v_th``."""

from __future__ import annotations

import math

import torch
from attrs import field, frozen
from attrs.validators import gt
from torch import Tensor

from nastk.core import mark
from nastk.core.model.surrogate import Bump, Surrogate


@frozen(kw_only=True)
class PiecewiseExpConfig:
    """Settings of ``piecewise-exp``."""

    alpha: float = field(default=1.0, validator=gt(0), metadata={"help": "sharpness; the peak is alpha / 2"})


@mark.surrogate("piecewise-exp", config=PiecewiseExpConfig)
class PiecewiseExp(Surrogate):
    """Derivative of a step of two exponentials: the Laplace density.

    ``g(u) = (alpha / 2) exp(-alpha |u|)``; area 1. SpikingJelly ``PiecewiseExp(alpha)``.
    """

    def __init__(self, config: PiecewiseExpConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return self.alpha / 2 * torch.exp(-self.alpha * u.abs())


@frozen(kw_only=True)
class SingleExponentialConfig:
    """Settings of ``single-exponential``."""

    width: float = field(default=0.25, validator=gt(0), metadata={"help": "distance at which it has fallen to 1/e"})
    scale: float = field(default=1.0, validator=gt(0), metadata={"help": "the peak is scale / width"})


@mark.surrogate(
    "single-exponential",
    config=SingleExponentialConfig,
    paper="Shrestha and Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS 2018",
)
class SingleExponential(Surrogate):
    """Exponential of a free width, as in SLAYER (Shrestha & Orchard, 2018).

    ``g(u) = (scale / width) exp(-|u| / width)``; area ``2 scale``. sinabs ``SingleExponential(grad_width, grad_scale)``, whose
    width is ``grad_width`` thresholds: ``width = grad_width * v_th`` (the default is its 0.5 at a threshold of 0.5).
    """

    def __init__(self, config: SingleExponentialConfig) -> None:
        self.width, self.scale = config.width, config.scale

    def gradient(self, u: Tensor) -> Tensor:
        return self.scale / self.width * torch.exp(-u.abs() / self.width)


@frozen(kw_only=True)
class ErfConfig:
    """Settings of ``erf``."""

    alpha: float = field(default=2.0, validator=gt(0), metadata={"help": "sharpness; the peak is alpha / sqrt(pi)"})


@mark.surrogate("erf", config=ErfConfig)
class Erf(Surrogate):
    """Derivative of the Gauss error function: a Gaussian.

    ``g(u) = (alpha / sqrt(pi)) exp(-(alpha u)^2)``; area 1. SpikingJelly ``Erf(alpha)``. A Gaussian of deviation ``s`` is
    ``alpha = 1 / (s sqrt(2))``.
    """

    def __init__(self, config: ErfConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return self.alpha / math.sqrt(math.pi) * torch.exp(-(self.alpha * u).square())


@frozen(kw_only=True)
class SoftSignConfig:
    """Settings of ``soft-sign``."""

    alpha: float = field(default=2.0, validator=gt(0), metadata={"help": "sharpness; the peak is alpha / 2"})


@mark.surrogate("soft-sign", config=SoftSignConfig)
class SoftSign(Surrogate):
    """Derivative of the soft sign: a fast sigmoid of area 1.

    ``g(u) = (alpha / 2) / (1 + alpha |u|)^2``. SpikingJelly ``SoftSign(alpha)``; the same as ``fast-sigmoid`` with
    ``slope = alpha, scale = alpha / 2``.
    """

    def __init__(self, config: SoftSignConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + self.alpha * u.abs()).square()

    def bump(self) -> Bump:
        return Bump("fast-sigmoid", self.alpha / 2, self.alpha)


@frozen(kw_only=True)
class NonzeroSignLogAbsConfig:
    """Settings of ``nonzero-sign-log-abs``."""

    alpha: float = field(default=1.0, validator=gt(0), metadata={"help": "the peak"})


@mark.surrogate("nonzero-sign-log-abs", config=NonzeroSignLogAbsConfig)
class NonzeroSignLogAbs(Surrogate):
    """Derivative of a signed logarithm: a tail so slow that its area is infinite.

    ``g(u) = 1 / (1 / alpha + |u|)``. SpikingJelly ``NonzeroSignLogAbs(alpha)``.
    """

    def __init__(self, config: NonzeroSignLogAbsConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return 1 / (1 / self.alpha + u.abs())


@frozen(kw_only=True)
class RectangleConfig:
    """Settings of ``rectangle``."""

    alpha: float = field(default=1.0, validator=gt(0), metadata={"help": "the height; zero where |u| >= 1 / (2 alpha)"})


@mark.surrogate(
    "rectangle",
    config=RectangleConfig,
    paper="Wu et al., Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural Networks, "
    "Frontiers in Neuroscience 2018",
)
class Rectangle(Surrogate):
    """Rectangle of area 1 around the threshold, as in STBP (Wu et al., 2018).

    ``g(u) = alpha`` where ``|u| < 1 / (2 alpha)``, else 0. SpikingJelly ``Rect(alpha)``.
    """

    def __init__(self, config: RectangleConfig) -> None:
        self.alpha = config.alpha

    def gradient(self, u: Tensor) -> Tensor:
        return self.alpha * (u.abs() < 0.5 / self.alpha).to(u.dtype)
