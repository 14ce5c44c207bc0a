"""Optimizer state as plain tensors by parameter name, so that a checkpoint needs no pickle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

OptimizerState = dict[str, dict[str, Tensor]]


def state_of(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> OptimizerState:
    """A copy of the optimizer's state tensors by parameter name."""
    return {
        name: {key: value.detach().clone() for key, value in optimizer.state[p].items() if isinstance(value, Tensor)}
        for name, p in parameters.items()
        if optimizer.state.get(p)
    }


def restore(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], state: Mapping[str, Mapping[str, Any]]) -> None:
    """The inverse of :func:`state_of`."""
    for name, values in state.items():
        p = parameters[name]
        # Adam counts its steps in a CPU tensor, unless it is to be recorded; everything else lies with the parameter.
        here = () if optimizer.defaults.get("capturable") else ("step",)
        optimizer.state[p] = {k: v.clone() if k in here else v.clone().to(p.device) for k, v in values.items()}


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine(epoch: int, epochs: int, first: float, last: float, warmup: int = 0) -> float:
    """The learning rate of an epoch: a linear warm-up, then half a cosine from ``first`` towards ``last``."""
    if epoch < warmup:
        return first * (epoch + 1) / (warmup + 1)
    progress = (epoch - warmup) / max(epochs - warmup, 1)
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's parameters and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
