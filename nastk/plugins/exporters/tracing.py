"""A network in evaluation mode as a graph of its layers, recorded by running its own code on values that have no numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, fx, nn

from nastk.core.errors import OutputError
from nastk.core.model.convolution import Conv2d
from nastk.core.model.fused import Leak, describes
from nastk.core.model.network import Network
from nastk.core.model.neuron import MEANING, Neuron, ThresholdNeuron
from nastk.core.model.surrogate import Compare, Surrogate
from nastk.core.types import Shape

BATCH = 10_007
"""Samples of the recorded batch: a prime that no network has as a width, so that the batch is recognised in any shape."""
ROOT = "network"


class Known(fx.Proxy):
    """A value of the graph that knows its shape and type, so that code which asks for them can be recorded."""

    @property
    def value(self) -> Any:
        """The tensor (or tuple of tensors) that stands for it."""
        return self.node.meta["value"]

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def T(self) -> Known:
        return self.tracer.create_proxy("call_function", getattr, (self, "T"), {})

    def dim(self) -> int:
        return self.value.dim()

    def numel(self) -> int:
        return self.value.numel()

    def size(self, dim: int | None = None) -> Any:
        return self.value.shape if dim is None else self.value.shape[dim]

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[n] for n in range(len(self)))


class LayerTracer(fx.Tracer):
    """Records one call. Modules of torch.nn, nastk's convolution, neurons :func:`leak_of` knows and ``leaves`` are steps."""

    def __init__(self, sample: Tensor, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.sample, self.leaves = sample, leaves
        self.computing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = type(m) is Conv2d or (isinstance(m, Neuron) and leak_of(m) is not None)
        return known or isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ARG002  fx's interface
        """A parameter is a tensor to the code that asks; what is computed from parameters alone is a constant of the graph."""
        return attr_val

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs) if self.computing else super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> Known:
        return Known(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["value"] = self._value(node)
        return node

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self.sample
        if node.op == "output":
            return None
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: source.meta["value"])
        if node.op == "call_function":
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        if node.op == "get_attr":
            owner, _, name = node.target.rpartition(".")
            return getattr(self.root.get_submodule(owner), name)
        module = self.root.get_submodule(node.target)
        if isinstance(module, Neuron):
            return torch.empty_like(args[0]), None
        self.computing = True  # calls of modules are caught while a trace is made
        try:
            return module(*args, **kwargs)
        finally:
            self.computing = False


class _Step(Surrogate):
    """The step function alone, in operations that can be recorded: nothing is trained by a file."""

    def gradient(self, u: Tensor) -> Tensor:
        return torch.zeros_like(u)

    def spike(self, u: Tensor, compare: Compare = ">=") -> Tensor:
        return (u >= 0 if compare == ">=" else u > 0).to(u.dtype)


class _Root(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        for neuron in self.network.modules():
            for name, value in list(vars(neuron).items()):
                if isinstance(value, Surrogate) and type(value).spike is Surrogate.spike:
                    setattr(neuron, name, _Step())

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.network(x_TBCHW)


@frozen
class Trace:
    """The steps of ``network(x)`` in order; ``meta["value"]`` of each is a tensor without numbers that stands for its value."""

    nodes: tuple[fx.Node, ...]
    constants: dict[str, Tensor]
    """What the network's code computed from weights and numbers alone, by the name of the step."""


def traced(network: Network, sample: Shape, leaves: tuple[type[nn.Module], ...] = ()) -> Trace:
    """Record a network on ``BATCH`` samples of this shape; modules are named as in it (see :func:`place`).

    Raises :class:`OutputError` for code that decides by the numbers in a tensor.
    """
    nodes = _recorded(_Root(network).to("meta"), torch.empty(sample.T, BATCH, *sample[1:], device="meta"), leaves)
    constants: dict[str, Tensor] = {}
    if any(_constant(node) for node in nodes):  # on a sample with numbers the same steps come in the same order
        root = _Root(network)
        twins = _recorded(root, torch.zeros(sample.T, 1, *sample[1:]), leaves)
        constants = {node.name: twin.meta["value"].detach() for node, twin in zip(nodes, twins, strict=True) if _constant(node)}
    return Trace(nodes, constants)


def _recorded(root: _Root, x_TBCHW: Tensor, leaves: tuple[type[nn.Module], ...]) -> tuple[fx.Node, ...]:
    try:
        with torch.no_grad():
            graph = LayerTracer(x_TBCHW, leaves).trace(root)
    except Exception as error:  # whatever a plug-in's code does with a value that has no numbers
        reason = str(error).partition("\n")[0]
        raise OutputError(f"The network cannot be written as a graph of layers: {type(error).__name__}: {reason}") from error
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return tuple(graph.nodes)


def _constant(node: fx.Node) -> bool:
    return node.op == "get_attr" and not str(node.target).startswith(f"{ROOT}.")


def place(node: fx.Node) -> str:
    """Where in the network a step belongs: the module or tensor that it is, or the module in whose ``forward`` it stands."""
    if node.op in ("call_module", "get_attr") and not _constant(node):
        return str(node.target).removeprefix(f"{ROOT}.")
    return scope(node)


def scope(node: fx.Node) -> str:
    """The module in whose ``forward`` a step stands."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).removeprefix(ROOT).removeprefix(".") if stack else ""


def named(node: fx.Node, modules: Callable[[str], nn.Module]) -> str:
    """A step in words: "max_pool2d in body.cells.0.edges.0_2.ops.max_pool_3x3"."""
    if node.op == "call_module":
        return f"{type(modules(place(node))).__name__} at {place(node)}"
    what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"{'a tensor' if node.op == 'get_attr' else what} in {scope(node) or 'the network'}"


def leak_of(neuron: Neuron[Any]) -> Leak | None:
    """How a neuron's membrane is charged, ``k`` being a number; ``None`` for neurons that no such numbers describe."""
    if not isinstance(neuron, ThresholdNeuron) or not describes(type(neuron), "leak", MEANING):
        return None
    leak = neuron.leak()
    if leak is not None and isinstance(leak.k, Tensor) and leak.k.device.type != "meta":
        return leak._replace(k=float(leak.k.detach()))
    return leak
