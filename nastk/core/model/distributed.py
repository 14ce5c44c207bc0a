"""What makes a network on shares of a batch learn what it would learn on the whole: sums over the ranks.

Batch norm takes its statistics over all ranks (as Ioffe and Szegedy, ICML 2015, over a whole batch), what is drawn for a
sample is drawn for the samples of all ranks, and gradients are averaged. With one rank every function here does nothing.
Every rank has to make the same calls in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from nastk.core.errors import ConfigError
from nastk.core.ranks import ranks


def average(tensor: Tensor) -> Tensor:
    """The mean over the ranks, without a gradient."""
    if ranks().size == 1:
        return tensor
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / ranks().size


def averaged(leaf: Tensor) -> Tensor:
    """The same tensor; from now on each gradient of it, by whatever function, is the mean over the ranks."""
    if ranks().size > 1:
        leaf.register_hook(average)  # type: ignore[no-untyped-call]  # torch's
    return leaf


class _Sum(torch.autograd.Function):
    """The sum over the ranks; what flows back to each rank is the sum of what all want of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        del ctx
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class DistributedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all ranks, which are of one size; on any device.

    One collective each way: every rank's means and variances, of which those of the whole follow (Chan et al. 1979).
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same."""
        if not self.training and self.track_running_stats:
            return super().forward(x_NCHW)
        place, numbers = ranks(), x_NCHW.numel() // x_NCHW.shape[1]
        wide = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))  # no statistics in bfloat16
        var_C, mean_C = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        mine_2C = torch.stack([mean_C, var_C])
        others = [mine_2C if rank == place.rank else torch.zeros_like(mine_2C) for rank in range(place.size)]
        means_RC, vars_RC = _Sum.apply(torch.stack(others)).unbind(1)  # type: ignore[no-untyped-call]
        mean_C = means_RC.mean(0)
        var_C = vars_RC.mean(0) + means_RC.var(0, correction=0)
        if self.training and self.track_running_stats:
            self._track(mean_C.detach(), var_C.detach(), numbers * place.size)
        scale_C = torch.rsqrt(var_C + self.eps)
        if self.affine:
            scale_C = scale_C * self.weight
        shift_C = -mean_C * scale_C if not self.affine else self.bias - mean_C * scale_C
        return torch.addcmul(shift_C[:, None, None], wide, scale_C[:, None, None]).to(x_NCHW.dtype)

    @torch.no_grad()
    def _track(self, mean_C: Tensor, var_C: Tensor, numbers: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), share)
        self.running_var.lerp_((var_C * numbers / max(numbers - 1, 1)).to(self.running_var.dtype), share)


def with_shared_norms(network: nn.Module) -> None:
    """Turn the batch norms of a network into those over all ranks, in place: whoever holds one holds it still.

    Raises :class:`ConfigError` for a norm over the batch of another class.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = DistributedBatchNorm
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, DistributedBatchNorm):
            fault = f"{type(module).__name__} in the network takes its statistics from one process: only BatchNorm2d is shared"
            raise ConfigError([fault], "several processes")


def drawn(like_TBCHW: Tensor, probability: float) -> Tensor:
    """Ones with this probability, else zeros, in this shape; of several ranks each has its share of one draw for all."""
    return _shared(like_TBCHW, lambda whole: whole.bernoulli_(probability))


def uniform(like_TBCHW: Tensor) -> Tensor:
    """Numbers evenly in [0, 1) in this shape; of several ranks each has its share of one draw for all."""
    return _shared(like_TBCHW, lambda whole: whole.uniform_())


def _shared(like_TBCHW: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
    place, sizes = ranks(), list(like_TBCHW.shape)
    share, sizes[1] = sizes[1], sizes[1] * place.size
    strides = like_TBCHW.stride()
    order = sorted(range(like_TBCHW.ndim), key=lambda d: (-strides[d], d))  # generators fill memory in its order
    whole = like_TBCHW.new_empty([sizes[d] for d in order]).permute([order.index(d) for d in range(like_TBCHW.ndim)])
    return draw(whole).narrow(1, share * place.rank, share)


def dropout(x_TBCHW: Tensor, probability: float) -> Tensor:
    """``torch``'s dropout; of several ranks each has its share of one draw for all."""
    if ranks().size == 1:
        return F.dropout(x_TBCHW, probability)
    return x_TBCHW * drawn(x_TBCHW, 1 - probability) / (1 - probability)
