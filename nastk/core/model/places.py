"""Where a module stands in a network, in the words of its genotype: cell, edge, operation. Layers are counted from 0."""

from __future__ import annotations

from torch import nn


def place(network: nn.Module, name: str) -> str:
    """A module or parameter of a network in words: ``cell 2 (reduction), edge 1->3, conv_3x3``.

    ``name`` is that of :meth:`torch.nn.Module.named_modules` or ``named_parameters``; what lies within an operation counts
    as the operation. A name of another kind of network is given back as it is.
    """
    match name.split("."):
        case [""] | ["body"]:
            return "the network"
        case ["encoder", "neuron", *_]:
            return "the encoder, neuron"
        case ["encoder", *_]:
            return "the encoder"
        case ["body", "cells", key, *rest]:
            return _cell(network, key) + _inside(rest)
        case ["body", "grand", key, "neuron", *_]:
            return f"{_cell(network, key)}, neuron of the input before last"
        case ["body", "grand", key, *_]:
            return f"{_cell(network, key)}, input before last"
        case ["body", "auxiliary", *_]:
            return "the auxiliary head"
        case ["body", "classifier" | "classifiers", *_]:
            return "the classifier"
    return name


def part(network: nn.Module, name: str) -> str:
    """The large part that a module or parameter belongs to: a cell, the encoder, a head."""
    return place(network, name).partition(", ")[0]


def _cell(network: nn.Module, key: str) -> str:
    """``cell 2 (reduction)``; of a trellis, whose key is ``layer_scale_move``, with the scale that it starts from."""
    layer, *state = key.split("_")
    if state:
        scale, move = state
        return f"cell {layer} (from scale {scale}{' down' if move == '1' else ''})"
    planned = getattr(getattr(network, "body", None), "plan", ())
    reduces = int(layer) < len(planned) and planned[int(layer)].reduction
    return f"cell {layer} (reduction)" if reduces else f"cell {layer}"


def _inside(names: list[str]) -> str:
    """What is named within a cell; nothing for the cell itself."""
    match names:
        case ["feeds", number, "neuron", *_]:
            return f", neuron of input {number}"
        case ["feeds", number, *_]:
            return f", input {number}"
        case ["edges", key, *rest]:
            return f", edge {key.replace('_', '->')}{_on_edge(rest)}"
        case ["nodes", node, *_]:
            return f", neuron of node {node}"
        case ["norms", node, *_]:
            return f", norm of node {node}"
        case ["attention", *_]:
            return ", attention at the end"
    return ""


def _on_edge(names: list[str]) -> str:
    match names:
        case ["ops", op, *rest]:
            return f", {op}, neuron" if "neuron" in rest else f", {op}"
        case ["fires", op, *_]:
            return f", {op}, neuron behind it"
        case ["attentions", name, *_]:
            return f", attention {name}"
    return ""
