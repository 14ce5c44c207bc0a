"""A traced network as Python source over torch alone: a class for the encoder, one for each cell, one for the whole."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from attrs import define, field
from torch import fx, nn

from nastk.core.errors import OutputError
from nastk.core.model.convolution import Conv2d
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron, ThresholdNeuron
from nastk.core.types import Shape
from nastk.plugins.exporters.python_neurons import Neurons
from nastk.plugins.exporters.tracing import BATCH, Trace, named, place, scope, traced

GROUPS = re.compile(r"(encoder|body\.cells\.\d+)(\.|$)")
LONGEST = 90
"""Characters of an expression that is written where it is used."""
MOST_NUMBERS = 64
"""Numbers of a constant that is written into the source."""
SIGNS: dict[Any, str] = {
    getattr(operator, name): sign
    for name, sign in {
        "add": "+", "sub": "-", "mul": "*", "truediv": "/", "matmul": "@", "pow": "**",
        "ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!=",
    }.items()
}


def classes(network: Network, sample: Shape) -> str:
    """The source of the classes, the last of which is ``Network``.

    Its parameters and buffers have the network's names, with underscores for some of the dots. Raises :class:`OutputError` for
    a network that cannot be recorded, or has modules that are not torch's own.
    """
    return Writer(network, traced(network, sample)).source()


@define
class Body:
    """One class while it is written: the attributes that it makes, and the lines of its ``forward``."""

    prefix: str
    made: dict[str, str] = field(factory=dict)
    lines: list[str] = field(factory=list)
    names: dict[fx.Node, str] = field(factory=dict)
    batch: bool = False


class Writer:
    """Writes the steps of a traced network down, group by group."""

    def __init__(self, network: Network, trace: Trace) -> None:
        self.network, self.nodes, self.constants = network, trace.nodes, trace.constants
        self.neurons = Neurons()
        self.keys = set(network.state_dict())
        self.group = {node: _group(node) for node in self.nodes}

    def source(self) -> str:
        """All classes."""
        parts, calls = [], {}
        for group in dict.fromkeys(self.group.values()):
            if group:
                members = [node for node in self.nodes if self.group[node] == group]
                inputs, output = self._ends(members)
                title = "Encoder" if group == "encoder" else f"Cell{group.rpartition('.')[2]}"
                parts.append(self._class(title, group, members, inputs, output))
                calls[output] = (group, title, inputs)
        parts.append(self._whole(calls))
        return "\n\n\n".join([*self.neurons.sources(), *parts])

    def _ends(self, members: Sequence[fx.Node]) -> tuple[list[fx.Node], fx.Node]:
        inside = set(members)
        inputs = dict.fromkeys(source for node in members for source in node.all_input_nodes if source not in inside)
        outputs = [node for node in members if any(user not in inside for user in node.users)]
        if len(outputs) != 1:
            raise OutputError(
                f"The network cannot be written as Python: {_group(members[0])} gives {len(outputs)} results, not one."
            )
        return list(inputs), outputs[0]

    def _class(self, title: str, group: str, members: Sequence[fx.Node], inputs: list[fx.Node], output: fx.Node) -> str:
        body = Body(f"{group}.")
        body.names = {node: "x" if len(inputs) == 1 else f"x{n}" for n, node in enumerate(inputs)}
        for node in members:
            self._statement(node, body, last=node is output)
        shapes = ", ".join(_shape(node) for node in inputs)
        return self._text(title, f"{shapes} to {_shape(output)}.", body, [body.names[node] for node in inputs], inputs)

    def _whole(self, calls: dict[fx.Node, tuple[str, str, list[fx.Node]]]) -> str:
        body = Body("")
        last = next(node for node in self.nodes if node.op == "output").args[0]
        inputs = [node for node in self.nodes if node.op == "placeholder"]
        body.names = {inputs[0]: "x"}
        for node in self.nodes:
            if node in calls:
                group, title, sources = calls[node]
                name = group.replace(".", "_")
                body.made[name] = f"{title}()"
                variable = "encoded" if group == "encoder" else f"cell_{group.rpartition('.')[2]}"
                body.lines.append(f"{variable} = self.{name}({', '.join(self._read(s, body) for s in sources)})")
                body.names[node] = variable
            elif not self.group[node] and node.op not in ("placeholder", "output"):
                self._statement(node, body, last=node is last)
        if last in calls or not any(line.startswith("return") for line in body.lines):
            body.lines.append(f"return {self._read(last, body)}")
        about = f"Normalised samples {_shape(inputs[0])} to logits {_shape(last)}; the logits' mean over time decides."
        return self._text("Network", about, body, ["x"], inputs)

    def _text(self, title: str, about: str, body: Body, names: list[str], inputs: list[fx.Node]) -> str:
        head = [
            f"class {title}(nn.Module):",
            f'    """{about}"""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
        ]
        head += [f"        self.{name} = {value}" for name, value in body.made.items()]
        given = ", ".join(f"{name}: Tensor" for name in names)
        head += ["", f"    def forward(self, {given}) -> Tensor:"]
        if body.batch:
            first = next(node for node in inputs if len(_dims(node)) > 1 and _dims(node)[1] == BATCH)
            head.append(f"        B = {body.names[first]}.shape[1]")
        return "\n".join([*head, *(f"        {line}" for line in body.lines)])

    def _statement(self, node: fx.Node, body: Body, last: bool) -> None:
        """A line of its own, unless the expression is short and used once, by a step of the same class."""
        text = self._expression(node, body)
        if last:
            body.lines.append(f"return {text}")
        elif self._within(node, text):
            body.names[node] = text
        else:
            own = (
                place(node.args[0] if _spikes(node) else node).removeprefix(body.prefix.rstrip(".")).removeprefix(".")
                or node.name
            )
            name = wanted = "y_" + _attribute(own) if own[0].isdigit() else _attribute(own)
            taken, n = set(body.names.values()), 1
            while name in taken or name in ("self", "B", "x"):
                n += 1
                name = f"{wanted}_{n}"
            body.lines.append(f"{name} = {text}")
            body.names[node] = name

    def _within(self, node: fx.Node, text: str) -> bool:
        """Whether an expression is written where it is used."""
        if isinstance(node.meta["value"], tuple):  # a neuron: what is used is the item behind it
            return True
        user = next(iter(node.users))
        return len(node.users) == 1 and len(text) <= LONGEST and self.group[user] == self.group[node]

    def _read(self, node: fx.Node, body: Body) -> str:
        return body.names[node]

    def _expression(self, node: fx.Node, body: Body) -> str:
        if node.op == "call_module":
            return f"self.{self._module(node, body)}({', '.join(self._arguments(node, body))})"
        if node.op == "get_attr":
            return f"self.{self._tensor(node, body)}"
        if node.op == "call_method":
            first, *others = self._arguments(node, body)
            return f"{_bracketed(first)}.{node.target}({', '.join(others)})"
        target: Any = node.target
        if target is operator.getitem:
            return self._item(node, body)
        if target is getattr:
            return f"{_bracketed(self._read(node.args[0], body))}.{node.args[1]}"  # type: ignore[arg-type]
        if target is operator.neg:
            return f"-{_bracketed(self._read(node.args[0], body))}"  # type: ignore[arg-type]
        if target in SIGNS:
            left, right = (_bracketed(text) for text in self._arguments(node, body))
            return f"{left} {SIGNS[target]} {right}"
        for space, prefix in ((torch, "torch"), (F, "F")):
            if getattr(space, getattr(target, "__name__", ""), None) is target:
                return f"{prefix}.{target.__name__}({', '.join(self._arguments(node, body))})"
        raise OutputError(
            f"The network cannot be written as Python: {named(node, self.network.get_submodule)} is no function of torch."
        )

    def _item(self, node: fx.Node, body: Body) -> str:
        source, index = node.args
        if _spikes(node):
            return self._read(source, body)  # type: ignore[arg-type]
        places = index if isinstance(index, tuple) else (index,)
        return f"{_bracketed(self._read(source, body))}[{', '.join(self._literal(one, body) for one in places)}]"  # type: ignore[arg-type]

    def _arguments(self, node: fx.Node, body: Body) -> list[str]:
        named_ones = [f"{name}={self._literal(value, body)}" for name, value in node.kwargs.items()]
        return [self._literal(value, body) for value in node.args] + named_ones

    def _literal(self, value: Any, body: Body) -> str:
        if isinstance(value, fx.Node):
            return self._read(value, body)
        if isinstance(value, slice):
            ends = ["" if end is None else self._literal(end, body) for end in (value.start, value.stop, value.step)]
            return ":".join(ends if ends[2] else ends[:2])
        if isinstance(value, (tuple, list)):
            inner = ", ".join(self._literal(one, body) for one in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
        if isinstance(value, int) and not isinstance(value, bool) and value and value % BATCH == 0:
            body.batch = True
            return "B" if value == BATCH else f"{value // BATCH} * B"
        return "..." if value is Ellipsis else repr(value)

    def _module(self, node: fx.Node, body: Body) -> str:
        path = place(node)
        module = self.network.get_submodule(path)
        name = _attribute(path.removeprefix(body.prefix))
        if isinstance(module, Neuron):
            assert isinstance(module, ThresholdNeuron)
            body.made[name] = self.neurons.made(module)
            return name
        kind = nn.Conv2d if type(module) is Conv2d else type(module)  # nastk's is torch's, computed in another way
        torchs = getattr(nn, kind.__name__, None) is kind and not list(module.children())
        if not torchs or getattr(module, "padding_mode", "zeros") != "zeros":
            raise OutputError(
                f"The network cannot be written as Python: {named(node, self.network.get_submodule)} is no plain module."
            )
        if kind is nn.BatchNorm2d:  # some of what it says of itself is not known to every version of torch
            body.made[name] = f"nn.BatchNorm2d({module.num_features}, eps={module.eps}, affine={module.affine})"
        else:
            body.made[name] = f"nn.{module!r}"
        return name

    def _tensor(self, node: fx.Node, body: Body) -> str:
        """A parameter or buffer of a module that is not torch's own, or what was computed from such."""
        constant = self.constants.get(node.name)
        if constant is None:
            path = place(node)
            if path not in self.keys:
                raise OutputError(f"The network cannot be written as Python: {path} is not among its weights.")
            owner, _, last = path.rpartition(".")
            tensor = getattr(self.network.get_submodule(owner), last)
            name = _attribute(path.removeprefix(body.prefix))
            body.made[name] = f"nn.Parameter(torch.empty({tuple(tensor.shape)}, dtype={tensor.dtype}), requires_grad=False)"
            return name
        if constant.numel() > MOST_NUMBERS:
            what = f"{constant.numel()} numbers that {scope(node) or 'it'} computes without its input"
            raise OutputError(f"The network cannot be written as Python: {what} are too many to stand in the source.")
        name = _attribute(node.name).strip("_")
        body.made[name] = f"nn.Buffer(torch.tensor({constant.tolist()!r}, dtype={constant.dtype}), persistent=False)"
        return name


def _group(node: fx.Node) -> str:
    found = GROUPS.match(scope(node) if node.op == "get_attr" else place(node))
    return found[1] if found and node.op not in ("placeholder", "output") else ""


def _spikes(node: fx.Node) -> bool:
    """Whether a step is the first of a neuron's two answers: the classes of neurons written here give that alone."""
    return node.target is operator.getitem and node.args[1] == 0 and isinstance(node.args[0].meta["value"], tuple)  # type: ignore[union-attr]


def _attribute(path: str) -> str:
    return re.sub(r"\W", "_", path)


def _dims(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["value"].shape)


def _shape(node: fx.Node) -> str:
    return "(" + ", ".join("B" if size == BATCH else str(size) for size in _dims(node)) + ")"


def _bracketed(text: str) -> str:
    """A text that stays one thing beside an operator or in front of a dot."""
    one = isinstance(ast.parse(text, mode="eval").body, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant))
    return text if one and not text[0].isdigit() else f"({text})"
