"""Counting what a network does: spikes, synaptic operations, multiply-accumulates, energy.

NoS is the number of spikes that all neurons emit for one image over all time steps; one of -1 counts as one of 1. A layer
whose input is spikes is *spike-driven*: it needs additions (or subtractions) only. For it SOP is their exact number (one for
each spike and synapse, borders respected), and AC the usual estimate, firing rate times the dense operations. Every other
layer is counted as MAC: the stem on a static image (once, not at every step), the classifier, attention, and what reads
averaged spikes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor, nn

from nastk.core.data.splits import Batch
from nastk.core.model.compute import recomputing
from nastk.core.model.neuron import Neuron

PROFILES = {"45nm": (4.6, 0.9)}
"""Energy of one MAC and one AC in pJ: 32-bit float at 45 nm (Horowitz, ISSCC 2014)."""


class SpikeCounter:
    """Counts the spikes of a network's neurons by forward hooks, for each cell and in all.

    ``nos`` is differentiable where the forward pass was: it can be a penalty. Use as a context manager.
    """

    def __init__(self, network: nn.Module) -> None:
        self.neurons = {n: m for n, m in network.named_modules() if isinstance(m, Neuron) and m.spiking}
        self.cells = sorted({cell for name in self.neurons if (cell := _cell_number(name)) is not None})
        self._device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self._handles: list[Any] = []
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self._spikes: dict[int | None, Tensor] = {}
        self._kept: dict[int | None, Tensor] = {}
        self._sites = 0
        self._images = 0

    def __enter__(self) -> SpikeCounter:
        for name, neuron in self.neurons.items():
            self._handles.append(neuron.register_forward_hook(self._hook(_cell_number(name))))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, cell: int | None) -> Any:
        def count(module: Neuron[Any], args: Any, output: Any) -> None:
            del args
            if recomputing():
                return
            z_TBF = module.spikes(output[0])
            spikes = z_TBF.sum(dtype=torch.promote_types(z_TBF.dtype, torch.float32))
            self._spikes[cell] = self._spikes[cell] + spikes if cell in self._spikes else spikes
            self._sites += z_TBF.numel()

        return count

    def saw(self, images: int) -> None:
        """Say how many images the counted forward passes had."""
        self._images += images

    def cut(self) -> None:
        """Add the counts to totals, which stay where they are in memory, and let go of the graphs behind them."""
        for cell, spikes in self._spikes.items():
            if cell in self._kept:
                self._kept[cell].add_(spikes.detach())
            else:
                self._kept[cell] = spikes.detach().clone()
        self._spikes = {}

    def totals(self) -> dict[str, Any]:
        """What was counted so far, as plain values and tensors: the inverse of :meth:`put`."""
        self.cut()
        kept = [["" if cell is None else str(cell), spikes.clone()] for cell, spikes in self._kept.items()]
        return {"kept": kept, "sites": self._sites, "images": self._images}

    def put(self, totals: Mapping[str, Any]) -> None:
        """Go on from what was counted elsewhere."""
        self._kept = {int(cell) if cell else None: spikes.to(self._device).clone() for cell, spikes in totals["kept"]}
        self._sites, self._images = totals["sites"], totals["images"]

    def _counts(self) -> dict[int | None, Tensor]:
        found = dict(self._kept)
        for cell, spikes in self._spikes.items():
            found[cell] = found[cell] + spikes if cell in found else spikes
        return found

    def nos(self) -> Tensor:
        """Spikes an image, all neurons, all time steps."""
        return torch.stack(list(self._counts().values())).sum() / max(self._images, 1)

    def figures(self) -> dict[str, Any] | None:
        """``{"total", "cells"}`` in spikes an image; ``None`` for a network without spiking neurons."""
        if not self.neurons or not self._images:
            return None
        counts = self._counts()
        cells = [float(counts.get(cell, torch.zeros(())).detach()) / self._images for cell in self.cells]
        return {"total": float(self.nos().detach()), "cells": cells}

    def rate(self) -> Tensor:
        """Share of (neuron, time step) pairs that fire; differentiable as ``nos`` is."""
        return self.nos() * self._images / max(self._sites, 1)

    def firing_rate(self) -> float | None:
        """The same as a number; ``None`` where nothing was counted."""
        return float(self.rate().detach()) if self._sites else None


def _cell_number(name: str) -> int | None:
    """The layer of a neuron by its module name; ``None`` outside of cells."""
    head, _, rest = name.partition("cells.") if ".cells." in name else name.partition("grand.")
    return int(rest.split(".")[0].split("_")[0]) if head.startswith("body.") and rest else None


@frozen
class Operations:
    """Counted operations, for one image over all time steps."""

    macs: float
    acs: float
    sops: float

    def energy_nj(self, profile: str) -> float:
        """Energy of the MACs and ACs in nJ; memory is not counted."""
        mac, ac = PROFILES[profile]
        return (self.macs * mac + self.acs * ac) / 1000


@torch.no_grad()
def count_operations(network: nn.Module, batches: Iterable[Batch]) -> Operations:
    """The mean over the images of some batches, in evaluation mode."""
    totals = {"macs": 0.0, "acs": 0.0, "sops": 0.0}
    images = 0
    was_training = network.training
    network.eval()
    with _counted(network, totals):
        for x_TBCHW, _ in batches:
            network(x_TBCHW)
            images += x_TBCHW.shape[1]
    network.train(was_training)
    return Operations(**{name: total / max(images, 1) for name, total in totals.items()})


@contextmanager
def _counted(network: nn.Module, totals: dict[str, float]) -> Iterator[None]:
    def count(module: nn.Module, args: Any, output: Tensor) -> None:
        x = args[0].abs().cpu()  # double precision is not on every device
        dense = dense_operations(module, output)
        if bool(((x == 0) | (x == 1)).all()):
            totals["acs"] += dense * float(x.double().mean())
            totals["sops"] += synaptic_operations(module, x)
        else:
            totals["macs"] += dense

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def dense_operations(module: nn.Module, output: Tensor) -> float:
    """Multiply-accumulates of a convolution or linear layer that gave this output, padding counted as input."""
    if isinstance(module, nn.Linear):
        return float(output.numel() * module.in_features)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    return float(output.numel() * module.weight[0].numel())


def synaptic_operations(module: nn.Module, x: Tensor) -> float:
    """The exact number of (spike, synapse) pairs: each spike, of either sign, reaches as many outputs as the border lets it."""
    x = x.abs()
    if isinstance(module, nn.Linear):
        return float(x.double().sum()) * module.out_features
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    spikes = x.double().sum(1, keepdim=True)
    ones = torch.ones(1, 1, *module.kernel_size, dtype=torch.float64, device=x.device)
    convolve = F.conv1d if isinstance(module, nn.Conv1d) else F.conv2d
    reached = convolve(spikes, ones, None, module.stride, module.padding, module.dilation)
    return float(reached.sum()) * module.out_channels / module.groups
