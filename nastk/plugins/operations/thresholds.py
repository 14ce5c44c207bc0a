"""Synapses with a neuron of their own: the firing threshold is a part of the operation, and so is searched."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.operation import Operation, Site, fire, over_time
from nastk.core.types import Face
from nastk.plugins.operations.convolutions import conv, norm

SPIKENAS = "Sun et al., SpikeNAS-Bench: Benchmarking NAS Algorithms for Spiking Neural Network Architecture, IEEE TAI 2025"


class ThresholdConv(Operation):
    """The run's neuron with a threshold of its own, convolution 3x3 and batch norm (SpikeNAS-Bench, Sun et al. 2025).

    The neuron must have a setting ``v_th``; one without (``relu``) is refused by a :class:`ConfigError`.
    """

    reads = Face.VALUE  # its own neuron answers to the sum of arrivals
    threshold: ClassVar[float]

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.neuron = site.make_neuron(v_th=self.threshold)
        self.block = nn.Sequential(conv(site, 3), norm(site))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(self.block, fire(self.neuron, x_TBCHW))


@mark.operation("vth05_conv_3x3", paper=SPIKENAS)
class Vth05Conv3x3(ThresholdConv):
    """Neuron of firing threshold 0.5, convolution 3x3 and batch norm."""

    threshold = 0.5


@mark.operation("vth10_conv_3x3", paper=SPIKENAS)
class Vth10Conv3x3(ThresholdConv):
    """Neuron of firing threshold 1.0, convolution 3x3 and batch norm."""

    threshold = 1.0


@mark.operation("vth15_conv_3x3", paper=SPIKENAS)
class Vth15Conv3x3(ThresholdConv):
    """Neuron of firing threshold 1.5, convolution 3x3 and batch norm."""

    threshold = 1.5
