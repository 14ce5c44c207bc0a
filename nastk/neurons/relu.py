"""The rectifier, so that a conventional network is the same pipeline under another name."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nastk.core import mark
from nastk.core.model.neuron import Neuron


class NoState(NamedTuple):
    """The state of a neuron that remembers nothing."""


@mark.neuron("relu")
class ReLU(Neuron[NoState]):
    """Rectified linear unit: not spiking, without state or parameters.

    ``z[t] = max(0, x[t])``. With ``T = 1`` the network around it is a conventional one.
    """

    spiking = False

    def initial_state(self, x_BF: Tensor) -> NoState:  # noqa: ARG002  the interface's argument
        return NoState()

    def step(self, x_BF: Tensor, state: NoState) -> tuple[Tensor, NoState]:
        return torch.relu(x_BF), state
