"""What each layer of a network is in NIR: folded into convolutions and neurons where it has a form, named where it has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from attrs import evolve
from torch import fx, nn

from nastk.core.errors import OutputError
from nastk.core.model.attention import Attention
from nastk.core.model.batch_norm import BatchNormThroughTime, TemporalEffectiveBatchNorm, ThresholdBatchNorm
from nastk.core.model.encoder import Coding
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron
from nastk.core.model.reduce import FactorizedReduce
from nastk.core.types import Shape
from nastk.plugins.exporters.nir_neurons import NoForm, form_of
from nastk.plugins.exporters.nir_wiring import INPUT, Array, Part, Picture, Planned, Wiring
from nastk.plugins.exporters.tracing import named, place, traced

LEAVES = (Neuron, Attention, Coding, FactorizedReduce, nn.BatchNorm2d)
NORMS = (nn.BatchNorm2d, ThresholdBatchNorm, TemporalEffectiveBatchNorm, BatchNormThroughTime)
MOST_NAMED = 4


def lowered(network: Network, sample: Shape, dt: float) -> dict[str, Planned]:
    """The nodes of the network's graph at each time step of ``dt`` seconds, in an order in which they can be run.

    Raises :class:`OutputError`, which names the layers that have no form in NIR and where they are.
    """
    lowering = Lowering(network, sample, dt)
    for node in traced(network, sample, LEAVES).nodes:
        lowering.step(node)
    if lowering.faults:
        more = len(lowering.faults) - MOST_NAMED
        found = "; ".join(lowering.faults[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise OutputError(f"The network cannot be exported, since NIR has no form for: {found}.")
    return lowering.nodes


class Lowering:
    """Walks over the steps of a traced network and wires the nodes of each."""

    def __init__(self, network: Network, sample: Shape, dt: float) -> None:
        self.modules, self.dt = network.get_submodule, dt
        self.wiring = Wiring(sample[1:])
        self.values: dict[fx.Node, Any] = {}
        self.faults: list[str] = []
        self.nodes: dict[str, Planned] = {}

    def step(self, node: fx.Node) -> None:
        """Lower one step; a layer without a form is noted, and a stand-in of its shape takes its place."""
        if node.op == "placeholder":
            self.values[node] = Picture((Part(self.wiring.shape[0], (INPUT,)),), *self.wiring.shape[1:])
        elif node.op == "output":
            last = self.values[node.args[0]]
            if not self.faults:
                self.nodes = self.wiring.finished(last)
        else:
            try:
                self.values[node] = self._value(node)
            except NoForm as fault:
                self.faults.append(str(fault))
                self.values[node] = self._stand_in(node)
        value = self.values.get(node)
        if isinstance(value, Picture) and len(node.users) > 1:
            self.wiring.shared.update(value.sources)

    def _value(self, node: fx.Node) -> Any:
        if any(self.values[source] is None for source in node.all_input_nodes):
            return None  # behind something that was named already
        if node.op == "call_module":
            layer = self.modules(place(node))
            how = next((how for kind, how in MODULES.items() if isinstance(layer, kind)), None)
        else:
            layer = None
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            how = None if node.op == "get_attr" else FUNCTIONS.get(str(name))
        if how is None:
            raise NoForm(named(node, self.modules))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: self.values[source])
        made = how(self, node, layer, *args, **kwargs) if layer is not None else how(self, node, *args, **kwargs)
        if made is None:
            raise NoForm(named(node, self.modules))
        return made

    def _stand_in(self, node: fx.Node) -> Picture | None:
        shape = _shape(node)
        return Picture((Part(shape[-3], (INPUT,)),), *shape[-2:]) if len(shape) in (4, 5) else None

    # Layers

    def conv(self, node: fx.Node, layer: nn.Conv2d, x: Picture) -> Picture | None:
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            return None
        if len(set(layer.kernel_size)) > 1:
            raise NoForm(f"a kernel that is not square, which nir takes for a square one ({named(node, self.modules)})")
        weight, bias = _dense(_array(layer.weight), layer.groups), None if layer.bias is None else _array(layer.bias)
        form = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        return self.wiring.convolved(place(node), x, weight, bias, _size(node), **form)

    def norm(self, node: fx.Node, layer: nn.BatchNorm2d, x: Picture) -> Picture | None:
        """``scale x + shift``, where it is the same at every time step."""
        if layer.running_mean is None or layer.running_var is None or type(layer) not in NORMS:
            return None
        factor = layer.scale if isinstance(layer, ThresholdBatchNorm) and not layer.affine else 1.0
        if isinstance(layer, TemporalEffectiveBatchNorm) and layer.p is not None:
            if len(set(layer.p.tolist())) > 1:
                raise NoForm(f"a scale for each time step ({named(node, self.modules)})")
            factor = float(layer.p[0])
        if isinstance(layer, BatchNormThroughTime) and layer.time_steps > 1:
            raise NoForm(f"a norm for each time step ({named(node, self.modules)})")
        scale = factor / np.sqrt(_array(layer.running_var) + layer.eps)
        scale = scale if layer.weight is None else scale * _array(layer.weight)
        shift = -_array(layer.running_mean) * scale + (0.0 if layer.bias is None else factor * _array(layer.bias))
        return self.wiring.affine(place(node), x, scale, shift)

    def reduce(self, node: fx.Node, layer: FactorizedReduce, x: Picture) -> Picture | None:
        """Both 1x1 convolutions are taps of one of 3x3: the middle, and one pixel on."""
        halves = [_array(layer.even.weight)] + ([] if layer.odd is None else [_array(layer.odd.weight)])
        weight = np.zeros((sum(map(len, halves)), x.channels, 3, 3))
        start = 0
        for tap, half in zip((1, 2), halves, strict=False):
            weight[start : start + len(half), :, tap, tap] = half[:, :, 0, 0]
            start += len(half)
        made = self.wiring.convolved(place(node), x, weight, None, _size(node), stride=(2, 2), padding=(1, 1))
        return self.norm(node, layer.norm, made)

    def linear(self, node: fx.Node, layer: nn.Linear, x: Picture) -> Picture | None:
        """The classifier behind a mean over H and W: one convolution of the picture's size."""
        if not x.averaged:
            return None
        side = max(x.height, x.width)  # square, as nir expects of a kernel
        first, second = -(-(side - x.height) // 2), -(-(side - x.width) // 2)
        weight = np.zeros((layer.out_features, layer.in_features, side, side))
        mean = _array(layer.weight)[:, :, None, None] / (x.height * x.width)
        weight[:, :, first : first + x.height, second : second + x.width] = mean
        form = {"stride": (side, side), "padding": (first, second)}
        bias = None if layer.bias is None else _array(layer.bias)
        return self.wiring.convolved(place(node), evolve(x, averaged=False), weight, bias, (1, 1), **form)

    def neuron(self, node: fx.Node, layer: Neuron[Any], x: Picture) -> Picture:
        try:
            kind, numbers = form_of(layer, self.dt)
        except NoForm as fault:
            where = named(node, self.modules)
            raise NoForm(f"{fault} ({where})" if str(fault) else where) from fault
        parts = []
        for part in x.parts:
            shape = (part.channels, x.height, x.width)
            fields = {name: np.full(shape, value, np.float32) for name, value in numbers.items()}
            made = (self.wiring.add(place(node), kind, part.sources, **fields),) if part.sources else ()
            parts.append(Part(part.channels, made, spikes=True))  # without any input it stays at rest
        return evolve(x, parts=tuple(parts))

    def unchanged(self, node: fx.Node, layer: nn.Module, x: Picture) -> Picture | None:
        """Of a kind of which one ("none", direct coding) hands on what it gets, and the others have no form."""
        del layer
        return x if node.meta["value"] is node.all_input_nodes[0].meta["value"] else None

    def same(self, node: fx.Node, layer: nn.Module, x: Picture) -> Picture:
        del node, layer
        return x

    def pool_module(self, node: fx.Node, layer: nn.AvgPool2d, x: Picture) -> Picture | None:
        how = (layer.ceil_mode, layer.count_include_pad, layer.divisor_override)
        return self.average(node, x, layer.kernel_size, layer.stride, layer.padding, *how)

    # Functions

    def average(
        self, node: fx.Node, x: Picture, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Picture | None:  # fmt: skip
        """The sum of the pixels under the kernel, divided by how many there are, which is less at the border."""
        if ceil_mode or divisor_override or len(set(_pair(kernel_size))) > 1:
            return None
        kernel, step, edge = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
        ones = F.pad(torch.ones(1, 1, x.height, x.width), (edge[1], edge[1], edge[0], edge[0]), value=float(count_include_pad))
        count_HW = _array(F.avg_pool2d(ones, kernel, step)[0, 0]) * kernel[0] * kernel[1]
        form, out = {"stride": step, "padding": edge}, _size(node)
        even = np.ptp(count_HW) < 1e-3
        summed = self.wiring.each(place(node), x, np.full(kernel, 1 / count_HW.mean().round() if even else 1.0), out, **form)
        if even:
            return summed
        parts = []
        for part in summed.parts:
            scale = np.broadcast_to(1 / count_HW.round(), (part.channels, *out)).astype(np.float32)
            made = (self.wiring.add(f"{place(node)}_count", "Scale", part.sources, scale=scale),) if part.sources else ()
            parts.append(Part(part.channels, made))
        return evolve(summed, parts=tuple(parts))

    def maximum(
        self, node: fx.Node, x: Picture, kernel_size: Any, stride: Any = None, padding: Any = 0,
        dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
    ) -> Picture | None:  # fmt: skip
        """Of spikes: whether there is any under the kernel. Of other values there is none in NIR."""
        if ceil_mode or return_indices or len(set(_pair(kernel_size))) > 1:
            return None
        if not all(part.spikes or not part.sources for part in x.parts):
            raise NoForm(f"the maximum of values that are no spikes ({named(node, self.modules)})")
        form = {"stride": _pair(stride or kernel_size), "padding": _pair(padding), "dilation": _pair(dilation)}
        summed = self.wiring.each(place(node), x, np.ones(_pair(kernel_size)), _size(node), **form)
        parts = []
        for part in summed.parts:
            half = np.full((part.channels, *_size(node)), 0.5, np.float32)
            made = (self.wiring.add(f"{place(node)}_any", "Threshold", part.sources, threshold=half),) if part.sources else ()
            parts.append(Part(part.channels, made, spikes=True))
        return evolve(summed, parts=tuple(parts))

    def fold(self, node: fx.Node, x: Picture, *axes: Any, **named_axes: Any) -> Picture | None:
        """``flatten(0, 1)`` and its inverse: time and batch as one axis, which NIR has none of."""
        del axes, named_axes
        before, after = _shape(node.all_input_nodes[0]), _shape(node)
        return x if {len(before), len(after)} == {4, 5} and before[-3:] == after[-3:] else None

    def hand_on(self, node: fx.Node, x: Picture, *args: Any, **kwargs: Any) -> Picture | None:
        """Another layout in memory, type, or (``expand``) number of equal time steps."""
        del args, kwargs
        before, after = _shape(node.all_input_nodes[0]), _shape(node)
        return x if before[1:] == after[1:] else None

    def mean(self, node: fx.Node, x: Picture, dim: Any = None, keepdim: bool = False) -> Picture | None:
        rank = len(_shape(node.all_input_nodes[0]))
        axes = {axis % rank for axis in (dim if isinstance(dim, (tuple, list)) else ())}
        return evolve(x, averaged=True) if axes == {rank - 2, rank - 1} and not keepdim and not x.averaged else None

    def cat(self, node: fx.Node, tensors: list[Picture], dim: int = 0) -> Picture | None:
        rank = len(_shape(node))
        if dim % rank != rank - 3:
            return None
        return evolve(tensors[0], parts=tuple(part for x in tensors for part in x.parts))

    def add(self, node: fx.Node, x: Any, y: Any) -> Picture | None:
        pictures = isinstance(x, Picture) and isinstance(y, Picture) and not (x.averaged or y.averaged)
        alike = pictures and (x.channels, x.height, x.width) == (y.channels, y.height, y.width)
        return self.wiring.added(place(node), x, y) if alike else None

    def mul(self, node: fx.Node, x: Any, y: Any) -> Picture | None:
        x, factor = (x, y) if isinstance(x, Picture) else (y, x)
        if not isinstance(factor, (int, float)) or x.averaged:
            return None
        if factor == 0:
            return evolve(x, parts=tuple(Part(part.channels, (), spikes=True) for part in x.parts))
        return self.wiring.affine(place(node), x, np.full(x.channels, float(factor)), np.zeros(x.channels))

    def getitem(self, node: fx.Node, x: Picture, index: Any) -> Picture | None:
        """Every so many pixels; the first of a neuron's two answers."""
        if index == 0 and isinstance(node.args[0].meta["value"], tuple):  # type: ignore[union-attr]
            return x
        if not isinstance(index, tuple) or len(index) != 3 or index[0] is not Ellipsis:
            return None
        if any(not isinstance(one, slice) or one.start not in (None, 0) or one.stop is not None for one in index[1:]):
            return None
        steps = tuple(one.step or 1 for one in index[1:])
        return self.wiring.each(place(node), x, np.ones((1, 1)), _size(node), stride=steps)

    def zeros(self, node: fx.Node, *args: Any, **kwargs: Any) -> Picture | None:
        del args, kwargs
        shape = _shape(node)
        return Picture((Part(shape[-3], (), spikes=True),), *shape[-2:]) if len(shape) in (4, 5) else None


MODULES: dict[type[nn.Module], Callable[..., Picture | None]] = {
    nn.Conv2d: Lowering.conv,
    nn.BatchNorm2d: Lowering.norm,
    nn.Linear: Lowering.linear,
    nn.AvgPool2d: Lowering.pool_module,
    FactorizedReduce: Lowering.reduce,
    Neuron: Lowering.neuron,
    Attention: Lowering.unchanged,
    Coding: Lowering.unchanged,
    nn.Identity: Lowering.same,
    nn.Dropout: Lowering.same,
    nn.Dropout2d: Lowering.same,
}
FUNCTIONS: dict[str, Callable[..., Picture | None]] = {
    "avg_pool2d": Lowering.average,
    "max_pool2d": Lowering.maximum,
    "flatten": Lowering.fold,
    "unflatten": Lowering.fold,
    "expand": Lowering.hand_on,
    "contiguous": Lowering.hand_on,
    "to": Lowering.hand_on,
    "mean": Lowering.mean,
    "cat": Lowering.cat,
    "add": Lowering.add,
    "mul": Lowering.mul,
    "getitem": Lowering.getitem,
    "new_zeros": Lowering.zeros,
    "zeros_like": Lowering.zeros,
}


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()


def _dense(weight: Array, groups: int) -> Array:
    """The kernels ``(K, C, k, k)`` of a convolution in groups, with zeros where it looks at other groups."""
    out, narrow = weight.shape[:2]
    whole = np.zeros((out, narrow * groups, *weight.shape[2:]))
    for group in range(groups):
        rows = slice(group * out // groups, (group + 1) * out // groups)
        whole[rows, group * narrow : (group + 1) * narrow] = weight[rows]
    return whole


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta["value"]
    return tuple((value[0] if isinstance(value, tuple) else value).shape)


def _size(node: fx.Node) -> tuple[int, int]:
    height, width = _shape(node)[-2:]
    return height, width


def _pair(number: Any) -> tuple[int, int]:
    first, second = number if isinstance(number, (tuple, list)) else (number, number)
    return int(first), int(second)
