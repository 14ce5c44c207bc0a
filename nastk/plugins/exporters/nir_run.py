"""Running a NIR graph as a torch module: forward Euler steps of ``dt`` seconds, all time steps of a node at once."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nastk.core.errors import SchemaError, ShapeError

STATELESS = ("Input", "Output", "Conv2d", "Affine", "Linear", "Scale", "Threshold", "Flatten", "SumPool2d", "AvgPool2d")
STATEFUL = ("IF", "LIF", "LI", "CubaLIF")
NUMBERS = {
    "Conv2d": ("weight", "bias"),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Threshold": ("threshold",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}
"""The arrays of each kind of node. What else a node has is its form: whole numbers that say how to compute."""


class NirNode(nn.Module):
    """One node: pictures ``(T, B, ...)`` to pictures. Membranes start at ``v_reset``, or at ``v_leak`` where there is none."""

    def __init__(self, node: Any, dt: float) -> None:
        super().__init__()
        self.kind = type(node).__name__
        for name in NUMBERS.get(self.kind, ()):
            value = torch.as_tensor(np.asarray(getattr(node, name)))
            self.register_buffer(name, value if value.dtype == torch.float64 else value.float())
        # In the arrays' own type: 2e-4 and 1e-4 as float32 have the quotient 2, as float64 they may not.
        self.dt = float(np.float32(dt))
        if self.kind == "Conv2d":
            padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
            self.form = {"stride": _pair(node.stride), "padding": padding, "dilation": _pair(node.dilation)}
            self.form["groups"] = int(node.groups)
        if self.kind in ("SumPool2d", "AvgPool2d"):
            self.form = {name: _pair(getattr(node, name)) for name in ("kernel_size", "stride", "padding")}
        if self.kind == "Flatten":
            self.ends = tuple(int(end) + 2 * (end >= 0) for end in (node.start_dim, node.end_dim))

    def forward(self, x_TBF: Tensor) -> Tensor:
        if self.kind in STATEFUL:
            return self._scan(x_TBF)
        if self.kind in ("Conv2d", "SumPool2d", "AvgPool2d"):
            return torch.unflatten(self._picture(x_TBF.flatten(0, 1)), 0, x_TBF.shape[:2])
        if self.kind in ("Affine", "Linear"):
            return F.linear(x_TBF, self.weight, self.bias if self.kind == "Affine" else None)
        if self.kind == "Scale":
            return x_TBF * self.scale
        if self.kind == "Threshold":
            return (x_TBF > self.threshold).to(x_TBF.dtype)
        return x_TBF.flatten(*self.ends) if self.kind == "Flatten" else x_TBF

    def _picture(self, x_NCHW: Tensor) -> Tensor:
        if self.kind == "Conv2d":
            return F.conv2d(x_NCHW, self.weight, self.bias, **self.form)
        mean_NCHW = F.avg_pool2d(x_NCHW, **self.form)
        height, width = self.form["kernel_size"]
        return mean_NCHW * (height * width) if self.kind == "SumPool2d" else mean_NCHW

    def _scan(self, x_TBF: Tensor) -> Tensor:
        rest = self.v_leak if self.kind == "LI" else self.v_reset
        v = rest.to(x_TBF.dtype).expand(x_TBF.shape[1:])
        current, outputs = torch.zeros_like(v), []
        for x_BF in x_TBF:
            if self.kind == "CubaLIF":
                current = current + (self.w_in * x_BF - current) / (self.tau_syn / self.dt)
                x_BF = current
            if self.kind == "IF":
                v = v + (self.r * self.dt) * x_BF
            else:
                tau = self.tau_mem if self.kind == "CubaLIF" else self.tau
                v = v + (self.r * x_BF - (v - self.v_leak)) / (tau / self.dt)
            if self.kind == "LI":
                outputs.append(v)
                continue
            fired = v > self.v_threshold
            outputs.append(fired.to(x_TBF.dtype))
            v = torch.where(fired, self.v_reset.to(v.dtype), v)
        return torch.stack(outputs)


class NirNetwork(nn.Module):
    """Samples ``(T, B, C, H, W)``, or one frame that is shown at every step, to ``(T, B, K)``.

    ``order`` holds the node names in the order in which they run, ``nodes`` the modules under these names. Inputs of a node add.
    """

    def __init__(self, graph: Any, time_steps: int, dt: float, source: str) -> None:
        super().__init__()
        self.time_steps = time_steps
        kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
        strange = sorted({kind for kind in kinds.values() if kind not in STATELESS + STATEFUL})
        if strange:
            raise SchemaError(f"{source} has nodes that are not read here: {', '.join(strange)}.")
        self.feeds: dict[str, list[str]] = {name: [] for name in kinds}
        for before, behind in graph.edges:
            if before not in kinds or behind not in kinds:
                raise SchemaError(f"{source} has an edge from {before} to {behind}, of which there is no such node.")
            self.feeds[behind].append(before)
        try:
            self.order = tuple(TopologicalSorter({name: sorted(self.feeds[name]) for name in sorted(kinds)}).static_order())
        except CycleError as error:
            raise SchemaError(f"{source} is a recurrent network, which is not read here.") from error
        ends = [[name for name, kind in kinds.items() if kind == wanted] for wanted in ("Input", "Output")]
        if any(len(end) != 1 for end in ends):
            raise SchemaError(f"{source} has {len(ends[0])} inputs and {len(ends[1])} outputs: one of each is read here.")
        self.first, self.last = ends[0][0], ends[1][0]
        lost = [name for name in kinds if not self.feeds[name] and name != self.first]
        if lost:
            raise SchemaError(f"{source} has a node that nothing arrives at: {sorted(lost)[0]}.")
        self.shape = tuple(int(size) for size in graph.nodes[self.first].input_type["input"])
        self.nodes = nn.ModuleDict({name: NirNode(node, dt) for name, node in sorted(graph.nodes.items())})

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.values(x_TBCHW)[self.last].flatten(2)

    def values(self, x_TBCHW: Tensor) -> Mapping[str, Tensor]:
        """What every node gives, ``(T, B, ...)``. Raises :class:`ShapeError` for samples of another shape."""
        if x_TBCHW.shape[0] not in (1, self.time_steps) or tuple(x_TBCHW.shape[2:]) != self.shape:
            raise ShapeError(
                f"The network has T = {self.time_steps} and reads {self.shape}, the samples are {tuple(x_TBCHW.shape)}."
            )
        found: dict[str, Tensor] = {}
        for name in self.order:
            arrivals = [found[source] for source in self.feeds[name]]
            x = x_TBCHW.expand(self.time_steps, *x_TBCHW.shape[1:]) if name == self.first else sum(arrivals[1:], arrivals[0])
            found[name] = self.nodes[name](x)
        return found


def _pair(number: Any) -> tuple[int, int]:
    both = np.broadcast_to(np.asarray(number), 2)
    return int(both[0]), int(both[1])
