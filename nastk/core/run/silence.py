"""What is dead in a network that trains: neurons that never fire, parts that no gradient reaches.

The first step of an epoch is looked at, and in the steps behind it only what was silent there: a network in which
everything is alive pays for one step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nastk.core.cell.graph import NONE
from nastk.core.model.cellnet import CellModule
from nastk.core.model.compute import recomputing
from nastk.core.model.neuron import Neuron
from nastk.core.model.places import part, place

HINT = 'They pass nothing on: lower model.neuron.v_th, or normalise their current (space.norm = "node", where there is one)'
SHOWN = 4
"""Layers that one sentence names."""


class Silence:
    """Listens to the neurons of a network, and looks at its gradients, through one epoch. Close it at the end."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._fired: dict[str, Tensor] = {}
        self._unreached: set[str] | None = None
        idle = set(_without_arrivals(network))
        self._handles = {
            name: module.register_forward_hook(self._hook(name))
            for name, module in network.named_modules()
            if isinstance(module, Neuron) and module.spiking and name not in idle
        }

    def _hook(self, name: str) -> Callable[..., None]:
        def saw(module: nn.Module, args: Any, output: Any) -> None:
            del module, args
            if recomputing():
                return
            fired = output[0].detach().any()
            if name in self._fired:
                self._fired[name].logical_or_(fired)  # in place: a step that is recorded writes there each time
            else:
                self._fired[name] = fired

        return saw

    def look(self) -> None:
        """To be called behind the first step, and now and then: what has given a sign is watched no more.

        It waits for the device.
        """
        for name in set(self._handles) - set(self.layers()):
            self._handles.pop(name).remove()
        if self._unreached is None or self._unreached:
            now = self._reached()
            suspects = now if self._unreached is None else self._unreached
            self._unreached = {name for name in suspects if not now.get(name, False)}

    def _reached(self) -> dict[str, bool]:
        """Of every part that took part in the last step, whether a gradient reaches it."""
        grads = [(part(self.network, name), p.grad) for name, p in self.network.named_parameters() if p.grad is not None]
        if not grads:
            return {}
        sizes = torch.stack([grad.detach().abs().amax().float() for _, grad in grads]).tolist()
        found: dict[str, bool] = defaultdict(bool)
        for (name, _), size in zip(grads, sizes, strict=True):
            found[name] |= size != 0
        return dict(found)

    def layers(self) -> list[str]:
        """The neurons that have run and not fired so far, by their module's name."""
        watched = [name for name in self._fired if name in self._handles]
        if not watched:
            return []
        fired = torch.stack([self._fired[name] for name in watched]).tolist()
        return [name for name, alive in zip(watched, fired, strict=True) if not alive]

    def sentences(self, stage: str, epoch: int, told: set[str]) -> Iterator[str]:
        """What to tell at the end of an epoch (from 0); whatever is in ``told`` is left out, and the rest added to it."""
        where = f"in {stage}, epoch {epoch + 1}"
        if fresh := _fresh(self._dead(), told):
            more = f"; and {len(fresh) - SHOWN} more" if len(fresh) > SHOWN else ""
            yield f"Neurons that never fired {where}: {'; '.join(fresh[:SHOWN])}{more}. {HINT}."
        if fresh := _fresh([f"{name} (gradient)" for name in sorted(self._unreached or ())], told):
            names = "; ".join(name.removesuffix(" (gradient)") for name in fresh)
            yield f"No gradient reached these parts {where}: {names}. They do not learn: look for silent neurons around them."

    def _dead(self) -> list[str]:
        """The silent places in words: the whole network, whole cells, single layers of others."""
        silent = self.layers()
        if silent and len(silent) == len(self._fired):
            return ["the whole network"]
        ran: dict[str, int] = defaultdict(int)
        dead: dict[str, list[str]] = defaultdict(list)
        for name in self._fired:
            ran[part(self.network, name)] += 1
        for name in silent:
            dead[part(self.network, name)].append(place(self.network, name))
        return [text for where, names in dead.items() for text in ([where] if len(names) == ran[where] else names)]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles.values():
            handle.remove()


def _fresh(places: list[str], told: set[str]) -> list[str]:
    fresh = [name for name in dict.fromkeys(places) if name not in told]
    told.update(fresh)
    return fresh


def _without_arrivals(network: nn.Module) -> Iterator[str]:
    """Neurons of nodes that nothing leads to: their silence is the architecture's."""
    for name, cell in network.named_modules():
        if isinstance(cell, CellModule):
            led_to = {*range(cell.cell.inputs), *(edge.dst for edge in cell.cell.edges if edge.op != NONE)}
            yield from (f"{name}.nodes.{node}" for node in cell.nodes if int(node) not in led_to)
