"""The encoder: how samples become the current, or the spikes, that a network's first layer reads at each time step.

A *coding* says what the stem (a 3x3 convolution and norm) reads; intensities are a sample's pixels scaled to [0, 1] from the
darkest to the brightest one of each channel, so they do not depend on how the data are normalised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from nastk.core.errors import ShapeError
from nastk.core.model.cellnet import Material
from nastk.core.model.distributed import uniform
from nastk.core.model.operation import fire
from nastk.core.seeds import generator
from nastk.core.types import Shape

DELTA_THRESHOLD = 0.1
"""The change of intensity that ``delta`` answers to (snnTorch's default)."""


class Coding(nn.Module, ABC):
    """Samples ``(1, B, C, H, W)`` or ``(T, B, C, H, W)`` to what the stem reads, ``(steps, B, width * C, H, W)``."""

    width = 1
    """Channels that a channel of the sample becomes."""

    def __init__(self, sample: Shape, time_steps: int) -> None:
        super().__init__()
        self.sample, self.time_steps = sample, time_steps

    @property
    def steps(self) -> int:
        """Time steps of what the stem reads: T, or 1 where every step is the same."""
        return self.time_steps

    @abstractmethod
    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """What the stem reads."""


class Direct(Coding):
    """Direct coding: the values themselves. A still image is read once, and the current of the stem is fed at each step.

    That is what reading the repeated image at each step gives. Recordings are read frame by frame.
    """

    @property
    def steps(self) -> int:
        return self.sample.T

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW


class Poisson(Coding):
    """Rate coding: at each step a pixel spikes with its intensity as the probability.

    In training the numbers come from torch's global generator, which the training loop seeds. In evaluation they are
    fixed, one for each step and pixel, and the same for all samples: an answer depends on the sample alone.
    """

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        rate_TBCHW = intensity(x_TBCHW).expand(self.time_steps, *x_TBCHW.shape[1:])
        if self.training:
            draws = uniform(torch.empty_like(rate_TBCHW, memory_format=torch.contiguous_format))
        else:
            shape = (self.time_steps, 1, *x_TBCHW.shape[2:])
            draws = torch.rand(shape, generator=generator(0, "poisson"), device="cpu").to(x_TBCHW.device)
        return (draws < rate_TBCHW).to(x_TBCHW.dtype)


class Latency(Coding):
    """Time-to-first-spike coding: a pixel spikes once, at the step ``round((T - 1) (1 - intensity))``, bright ones first.

    As SpikingJelly's ``LatencyEncoder`` with the function ``linear``. For still images: raises :class:`ShapeError` for others.
    """

    def __init__(self, sample: Shape, time_steps: int) -> None:
        super().__init__(sample, time_steps)
        if sample.T != 1:
            raise ShapeError(f"model.encoder: latency codes still images, these samples have {sample.T} time steps.")

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        when_1BCHW = ((self.time_steps - 1) * (1 - intensity(x_TBCHW))).round().long()
        steps_T = torch.arange(self.time_steps, device=x_TBCHW.device)
        return (when_1BCHW == steps_T[:, None, None, None, None]).to(x_TBCHW.dtype)


class Delta(Coding):
    """Delta coding: a spike where the intensity changed by 0.1 or more since the step before; the first follows darkness.

    Rises and falls have a channel of their own, so a channel becomes two. A still image spikes at its first step alone.
    """

    width = 2

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        now = intensity(x_TBCHW).expand(self.time_steps, *x_TBCHW.shape[1:])
        change = torch.diff(now, dim=0, prepend=torch.zeros_like(now[:1]))
        spikes = torch.cat([change >= DELTA_THRESHOLD, change <= -DELTA_THRESHOLD], dim=2)
        return spikes.to(x_TBCHW.dtype)


CODINGS: dict[str, type[Coding]] = {"direct": Direct, "poisson": Poisson, "latency": Latency, "delta": Delta}
"""The codings by their names in ``model.encoder``."""


def intensity(x_TBCHW: Tensor) -> Tensor:
    """Each sample's channels scaled to [0, 1] over all of its steps and pixels; a channel of one value is 0."""
    low, high = x_TBCHW.amin((0, 3, 4), keepdim=True), x_TBCHW.amax((0, 3, 4), keepdim=True)
    span = high - low
    return (x_TBCHW - low) / torch.where(span > 0, span, torch.ones_like(span))


class Encoder(nn.Module):
    """A coding, the stem on what it gives, and the first neuron, unless the space puts neurons before what reads them.

    In front of the neuron the current goes through the part ``input_attention``.

    ``sample`` is the shape of the data's samples, T = 1 for still ones. Raises :class:`ShapeError` when they have
    another number of time steps than the network.
    """

    def __init__(self, sample: Shape, time_steps: int, channels: int, material: Material, coding: str) -> None:
        super().__init__()
        self.time_steps = time_steps
        self._check(sample.T)
        self.coding = CODINGS[coding](sample, time_steps)
        norm = material.site(sample._replace(T=self.coding.steps, C=channels)).make_norm(affine=True)
        convolution = nn.Conv2d(sample.C * self.coding.width, channels, 3, padding=1, bias=False)
        self.stem = nn.Sequential(convolution, norm)
        site = material.site(sample._replace(T=time_steps, C=channels))
        self.attention: nn.Module = material.input_attention.build(site.shape)
        self.neuron = None if material.membrane == "pre" else site.make_neuron()

    def _check(self, steps: int) -> None:
        if steps not in (1, self.time_steps):
            raise ShapeError(
                f"The network has T = {self.time_steps}, the samples have {steps} time steps: make model.time_steps and the "
                "frames of the data set equal."
            )

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """``(1, B, C, H, W)`` or ``(T, B, C, H, W)`` to ``(T, B, channels, H, W)``."""
        self._check(x_TBCHW.shape[0])
        coded = self.coding(x_TBCHW)
        current_NCHW = self.stem(coded.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
        current = torch.unflatten(current_NCHW, 0, coded.shape[:2])
        current = self.attention(current.expand(self.time_steps, *current.shape[1:]))
        return current if self.neuron is None else fire(self.neuron, current)
