"""Mobile inverted bottlenecks: widen, convolve each channel, narrow."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.operation import Operation, Site, fire, over_time
from nastk.core.types import Face

MOBILENET_V2 = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"


class InvertedBottleneck(Operation):
    """Pointwise, depthwise and pointwise convolution, each with a norm, the first two with the run's neuron (MobileNetV2).

    Between them there are ``expansion`` times the channels. The last norm ends it, without a neuron (the linear
    bottleneck); at stride 1 the input is added to it.
    """

    reads = Face.VALUE  # a linear bottleneck reads and gives currents; its neurons are inside
    expansion: ClassVar[int]
    kernel: ClassVar[int]

    def __init__(self, site: Site) -> None:
        super().__init__()
        channels, wide = site.shape.C, site.shape.C * self.expansion
        depthwise = nn.Conv2d(wide, wide, self.kernel, site.stride, self.kernel // 2, groups=wide, bias=False)
        self.widen = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), site.make_norm(wide))
        self.first = site.make_neuron()
        self.each = nn.Sequential(depthwise, site.make_norm(wide))
        self.second = site.make_neuron()
        self.narrow = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), site.make_norm())
        self.shortcut = site.stride == 1

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        wide = fire(self.first, over_time(self.widen, x_TBCHW))
        out = over_time(self.narrow, fire(self.second, over_time(self.each, wide)))
        return x_TBCHW + out if self.shortcut else out


@mark.operation("mbconv_3_3x3", paper=MOBILENET_V2)
class MBConv3x3(InvertedBottleneck):
    """Inverted bottleneck: three times the channels, depthwise convolution 3x3."""

    expansion, kernel = 3, 3


@mark.operation("mbconv_6_5x5", paper=MOBILENET_V2)
class MBConv5x5(InvertedBottleneck):
    """Inverted bottleneck: six times the channels, depthwise convolution 5x5."""

    expansion, kernel = 6, 5
