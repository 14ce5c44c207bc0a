"""The convolution of operations: torch's layer and parameters, computed with fewer products where that is faster."""

from __future__ import annotations

from torch import Tensor, nn

from nastk.core.model.winograd import convolve


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` whose dense, zero-padded form goes through :func:`~nastk.core.model.winograd.convolve`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.groups > 1 or self.padding_mode != "zeros" or isinstance(self.padding, str):
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        stride, padding, dilation = ((pair[0], pair[1]) for pair in (self.stride, self.padding, self.dilation))
        return convolve(input, weight, bias, stride, padding, dilation)
