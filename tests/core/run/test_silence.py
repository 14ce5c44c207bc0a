"""Neurons that never fire and parts that no gradient reaches are found; what is alive is watched for one step alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from nastk.core.cell.space import SearchSpace
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron, ThresholdNeuron
from nastk.core.model.places import part, place
from nastk.core.run.runfile import configure
from nastk.core.run.silence import Silence
from nastk.core.types import Shape

torch.set_num_threads(1)
OPS = ("none", "skip_connect", "conv_3x3", "avg_pool_3x3")


def space_of(name: str = "toy", **settings: Any) -> SearchSpace:
    config = configure({"space": {"name": name, **settings}, "model": {"channels": 4, "cells": 3, "attention": "none"}})
    found: SearchSpace = config.space.build(config.model)
    return found


def network_of(*ops: str) -> Network:
    """Three cells of the space ``toy`` with these operations on the edges 0->1, 0->2 and 1->2."""
    space = space_of()
    choice = [OPS.index(op) for op in ops] + [0] * (len(space.decisions) - len(ops))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(space.decode(choice), Shape(1, 3, 8, 8), 4).train()


def silence(network: Network, where: str) -> None:
    """Neurons whose module's name begins so never fire any more."""
    for name, module in network.named_modules():
        if name.startswith(where) and isinstance(module, ThresholdNeuron):
            module.firing = evolve(module.firing, v_th=1e6)


def step(network: Network, seed: int = 0) -> None:
    x = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    network.zero_grad()
    nn.functional.cross_entropy(network(x).mean(0), torch.arange(4)).backward()


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def told(network: Network, steps: int = 2) -> list[str]:
    watch, known = Silence(network), set[str]()
    for number in range(steps):
        step(network, number)
        watch.look()
    found = list(watch.sentences("train", 0, known))
    assert not list(watch.sentences("train", 1, known)), "once a stage"
    watch.close()
    assert not hooks(network)
    return found


def test_a_network_that_is_alive_is_watched_for_one_step() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    watch = Silence(network)
    neurons = sum(isinstance(module, Neuron) for module in network.modules())
    assert hooks(network) == neurons > 0
    step(network)
    watch.look()
    assert hooks(network) == 0
    assert not list(watch.sentences("train", 0, set()))


def test_layers_cells_and_all_are_told_as_what_they_are() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    silence(network, "body.cells.0.nodes.1")
    (text,) = told(network)
    assert text.startswith("Neurons that never fired in train, epoch 1: cell 0, neuron of node 1. ")
    silence(network, "body.cells.2.")
    assert "epoch 1: cell 0, neuron of node 1; cell 2 (reduction). " in told(network)[0]
    silence(network, "")
    assert "epoch 1: the whole network. " in told(network)[0]


def test_what_fires_once_is_not_dead() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    before = {name: m.firing for name, m in network.named_modules() if isinstance(m, ThresholdNeuron)}
    silence(network, "body.cells.2.")
    watch = Silence(network)
    step(network)
    watch.look()
    assert hooks(network) == sum(name.startswith("body.cells.2.") for name in before)
    for name, firing in before.items():
        network.get_submodule(name).firing = firing  # type: ignore[assignment]
    step(network)
    assert not watch.layers()
    watch.look()
    assert hooks(network) == 0
    assert not list(watch.sentences("train", 0, set()))


def test_a_node_that_nothing_leads_to_is_silent_by_design() -> None:
    network = network_of("none", "conv_3x3", "skip_connect")
    assert not any("node 1" in text for text in told(network))


def test_many_layers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nastk.core.run.silence.SHOWN", 1)
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    silence(network, "body.cells.2.nodes.")
    assert "epoch 1: cell 2 (reduction), neuron of node 1; and 1 more. " in told(network)[0]


def test_a_dead_cell_comes_before_those_that_it_starves() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    silence(network, "body.cells.1.")
    assert "epoch 1: cell 1 (reduction); cell 2 (reduction). " in told(network)[0]


def test_a_part_that_no_gradient_reaches() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")

    def cut(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return output * 0

    handle = network.get_submodule("body.cells.1").register_forward_hook(cut)
    watch = Silence(network)
    step(network)
    watch.look()
    sentences = list(watch.sentences("train", 4, set()))
    handle.remove()
    watch.close()
    (text,) = [sentence for sentence in sentences if sentence.startswith("No gradient")]
    assert text.startswith("No gradient reached these parts in train, epoch 5: cell 0; cell 1 (reduction); the encoder. ")


@pytest.mark.parametrize("space", ["toy", "darts-cells", "spiking-cells", "trellis"])
def test_every_module_has_a_place_in_words(space: str) -> None:
    """No name of a module is left as it is, and each part is one that the network has."""
    found = space_of("spiking-cells", layer_level="searched") if space == "trellis" else space_of(space)
    genotype = found.full()  # type: ignore[attr-defined]
    network = Network(genotype, Shape(1, 3, 8, 8), 4, affine=False)
    names = [name for name, module in network.named_modules() if not list(module.children())]
    names += [name for name, _ in network.named_parameters()]
    parts = {part(network, name) for name in names}
    assert parts <= {"the encoder", "the classifier"} | {p for p in parts if p.startswith("cell ")}
    assert len([p for p in parts if p.startswith("cell ")]) == len(network.body.cells)  # type: ignore[arg-type]
    for name in names:
        words = place(network, name)
        assert "." not in words
        assert ("edge " in words) == (".edges." in name)
    assert place(network, "") == "the network"


def test_words_of_known_places() -> None:
    network = network_of("conv_3x3", "conv_3x3", "conv_3x3")
    for name, words in {
        "body.cells.2.edges.1_2.ops.conv_3x3.block.0.weight": "cell 2 (reduction), edge 1->2, conv_3x3",
        "body.cells.0.feeds.0.project.1": "cell 0, input 0",
        "body.cells.0.feeds.0.neuron": "cell 0, neuron of input 0",
        "body.cells.1.norms.2": "cell 1 (reduction), norm of node 2",
        "body.cells.1.edges.0_1.attentions.cbam.gate": "cell 1 (reduction), edge 0->1, attention cbam",
        "body.auxiliary.features.2": "the auxiliary head",
        "something.else": "something.else",
    }.items():
        assert place(network, name) == words
