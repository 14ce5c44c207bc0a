"""Convolutions: synapses that read spikes (or another activation) and give a normalised current."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.convolution import Conv2d
from nastk.core.model.operation import Convolved, Operation, Site, fire, over_time
from nastk.core.types import Face

DARTS = "Liu et al., DARTS: Differentiable Architecture Search, ICLR 2019"
AUTOSNN = "Na et al., AutoSNN: Towards Energy-Efficient Spiking Neural Networks, ICML 2022"
SPIKEDHS = "Che et al., Differentiable Hierarchical and Surrogate Gradient Search for Spiking Neural Networks, NeurIPS 2022"


def conv(site: Site, kernel: int, *, stride: int | None = None, dilation: int = 1, groups: int = 1) -> Conv2d:
    """A bias-free convolution, channels kept, padded so that only the stride changes the size."""
    channels = site.shape.C
    padding = dilation * (kernel - 1) // 2
    step = site.stride if stride is None else stride
    return Conv2d(channels, channels, kernel, step, padding, dilation, groups, bias=False)


def norm(site: Site) -> nn.BatchNorm2d:
    """The run's batch norm."""
    return site.make_norm()


class ConvNorm(Operation):
    """One convolution and batch norm; a sub-class names the kernel."""

    kernel: ClassVar[int]

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.block = nn.Sequential(conv(site, self.kernel), norm(site))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(self.block, x_TBCHW)

    @property
    def recipe(self) -> Convolved:
        convolution, normed = self.block
        return Convolved((convolution,), normed)


@mark.operation("conv_1x1")
class Conv1x1(ConvNorm):
    """Convolution 1x1 and batch norm."""

    kernel = 1


@mark.operation("conv_3x3")
class Conv3x3(ConvNorm):
    """Convolution 3x3 and batch norm."""

    kernel = 3


@mark.operation("conv_5x5")
class Conv5x5(ConvNorm):
    """Convolution 5x5 and batch norm."""

    kernel = 5


class SeparableConv(Operation):
    """Depthwise and pointwise twice, with an activation between (DARTS ``SepConv``; the first activation is the node's)."""

    kernel: ClassVar[int]

    def __init__(self, site: Site) -> None:
        super().__init__()
        channels = site.shape.C
        self.first = nn.Sequential(conv(site, self.kernel, groups=channels), conv(site, 1, stride=1), norm(site))
        self.neuron = site.make_neuron()
        self.second = nn.Sequential(
            conv(site, self.kernel, stride=1, groups=channels), conv(site, 1, stride=1), norm(site)
        )

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(self.second, fire(self.neuron, over_time(self.first, x_TBCHW)))


@mark.operation("sep_conv_3x3", paper=DARTS)
class SepConv3x3(SeparableConv):
    """Separable convolution 3x3, applied twice."""

    kernel = 3


@mark.operation("sep_conv_5x5", paper=DARTS)
class SepConv5x5(SeparableConv):
    """Separable convolution 5x5, applied twice."""

    kernel = 5


class DepthwiseSeparableConv(Operation):
    """Depthwise and pointwise convolution and batch norm, applied once (with dilation: DARTS ``DilConv``)."""

    kernel: ClassVar[int]
    dilation: ClassVar[int]

    def __init__(self, site: Site) -> None:
        super().__init__()
        depthwise = conv(site, self.kernel, dilation=self.dilation, groups=site.shape.C)
        self.block = nn.Sequential(depthwise, conv(site, 1, stride=1), norm(site))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return over_time(self.block, x_TBCHW)

    @property
    def recipe(self) -> Convolved:
        depthwise, pointwise, normed = self.block
        return Convolved((depthwise, pointwise), normed)


@mark.operation("dws_conv_3x3")
class DwsConv3x3(DepthwiseSeparableConv):
    """Depthwise separable convolution 3x3, applied once."""

    kernel, dilation = 3, 1


@mark.operation("dil_conv_3x3", paper=DARTS)
class DilConv3x3(DepthwiseSeparableConv):
    """Separable convolution 3x3 with dilation 2."""

    kernel, dilation = 3, 2


@mark.operation("dil_conv_5x5", paper=DARTS)
class DilConv5x5(DepthwiseSeparableConv):
    """Separable convolution 5x5 with dilation 2."""

    kernel, dilation = 5, 2


class SpikingConvBlock(Operation):
    """Two convolutions with a neuron between (AutoSNN, Na et al. 2022); with ``shortcut`` the input joins the current."""

    kernel: ClassVar[int]
    shortcut: ClassVar[bool]

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.first = nn.Sequential(conv(site, self.kernel), norm(site))
        self.neuron = site.make_neuron()
        self.second = nn.Sequential(conv(site, self.kernel, stride=1), norm(site))
        self.around: nn.Module | None = None
        if self.shortcut:
            self.around = nn.Sequential(conv(site, 1), norm(site)) if site.stride > 1 else nn.Identity()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        current = over_time(self.second, fire(self.neuron, over_time(self.first, x_TBCHW)))
        return current if self.around is None else current + over_time(self.around, x_TBCHW)


@mark.operation("scb_3x3", paper=AUTOSNN)
class Scb3x3(SpikingConvBlock):
    """Spiking convolution block 3x3 of AutoSNN."""

    kernel, shortcut = 3, False


@mark.operation("scb_5x5", paper=AUTOSNN)
class Scb5x5(SpikingConvBlock):
    """Spiking convolution block 5x5 of AutoSNN."""

    kernel, shortcut = 5, False


@mark.operation("srb_3x3", paper=AUTOSNN)
class Srb3x3(SpikingConvBlock):
    """Spiking residual block 3x3 of AutoSNN."""

    kernel, shortcut = 3, True


@mark.operation("srb_5x5", paper=AUTOSNN)
class Srb5x5(SpikingConvBlock):
    """Spiking residual block 5x5 of AutoSNN."""

    kernel, shortcut = 5, True


class SurrogateConv(Operation):
    """Convolution 3x3, batch norm and its own neuron with a DHS surrogate of fixed width (SpikeDHS, Che et al. 2022)."""

    reads = Face.VALUE  # it ends in spikes of its own, so no neuron is put behind it
    width: ClassVar[float]

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.block = nn.Sequential(conv(site, 3), norm(site))
        self.neuron = site.make_neuron(surrogate={"name": "dhs", "b": self.width})

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return fire(self.neuron, over_time(self.block, x_TBCHW))


@mark.operation("snn_b3", paper=SPIKEDHS)
class SnnB3(SurrogateConv):
    """Convolution 3x3 with a neuron of surrogate width 3 (SpikeDHS)."""

    width = 3.0


@mark.operation("snn_b5", paper=SPIKEDHS)
class SnnB5(SurrogateConv):
    """Convolution 3x3 with a neuron of surrogate width 5 (SpikeDHS)."""

    width = 5.0
