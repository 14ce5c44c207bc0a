"""Recomputed cells: the same gradients, buffers, counts and random state as in one pass, and less memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.cell.cells import CellSpace
from nastk.core.errors import ConfigError
from nastk.core.model import compute
from nastk.core.model.cellnet import CellModule
from nastk.core.model.compute import Compute
from nastk.core.model.counting import SpikeCounter
from nastk.core.model.network import Network
from nastk.core.model.relaxation import EXACT, RelaxationConfig
from nastk.core.settings import RunConfig
from nastk.core.types import Shape

torch.set_num_threads(1)
SAMPLE, CLASSES = Shape(1, 3, 8, 8), 4
SPACES: dict[str, dict[str, Any]] = {
    "toy": {"space": "toy"},
    "darts": {"space": "darts-cells"},
    "op": {"space": {"name": "spiking-cells", "membrane": "op", "nodes": 2}},
    "attention": {"space": {"name": "spiking-cells", "nodes": 2}, "model": {"attention": "cbam"}},
    "trellis": {"space": {"name": "spiking-cells", "layer_level": "searched", "nodes": 2}},
}


def space_of(name: str) -> CellSpace:
    from nastk.core.run.runfile import configure

    model = {"channels": 4, "cells": 2, "neuron": "plif"}
    config = configure(SPACES[name], sets=[f"model.{key}={value}" for key, value in model.items()])
    found: CellSpace = config.space.build(config.model)
    return found


def built(space: CellSpace, seed: int, *, supernet: bool, recompute: bool, **options: Any) -> Network:
    """A network whose weights depend on the seed alone."""
    import random

    genotype = space.full() if supernet else space.sample(random.Random(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(genotype, SAMPLE, CLASSES, affine=not supernet, compute=Compute(recompute=recompute), **options).train()


def mixing_of(net: Network, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: (len(c.edges), len(c.edges[0].candidates)) for name, c in net.genotype.cells}
    if not str(net.genotype.part("layers")).isdigit():
        shapes["layers"] = (len(str(net.genotype.part("layers"))) - 1, 4, 2)  # type: ignore[assignment]
    return {name: torch.randn(shape, generator=generator).softmax(-1).requires_grad_() for name, shape in shapes.items()}


def learned(net: Network, seed: int, *, supernet: bool, counter: SpikeCounter | None = None) -> dict[str, Tensor | None]:
    """Loss, gradients and the random state after the backward pass, with everything random at work."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(1, 4, *SAMPLE[1:], generator=generator), torch.randint(0, CLASSES, (4,), generator=generator)
    mixing = mixing_of(net, seed) if supernet else None
    wanted = dict(net.named_parameters()) | {f"mixing {name}": w for name, w in (mixing or {}).items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        logits = net.logits(x, mixing)
        loss = F.cross_entropy(logits.main.mean(0), y)
        if logits.auxiliary is not None:
            loss = loss + F.cross_entropy(logits.auxiliary.mean(0), y)
        if counter is not None:
            loss = loss + 1e-3 * counter.nos()
        grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        return {"loss": loss.detach(), **dict(zip(wanted, grads, strict=True)), "random": torch.get_rng_state()}


def equal(one: Tensor | None, two: Tensor | None) -> bool:
    return one is two if one is None or two is None else torch.equal(one, two)


@settings(deadline=None, max_examples=2)
@given(seed=st.integers(0, 10**6), supernet=st.booleans())
@pytest.mark.parametrize("name", SPACES)
def test_gradients_buffers_and_random_state_are_those_of_one_pass_to_the_bit(name: str, seed: int, supernet: bool) -> None:
    space = space_of(name)
    if name == "trellis" and not supernet:
        supernet = True
    kept, again = (built(space, seed, supernet=supernet, recompute=recompute) for recompute in (False, True))
    for net in (kept, again):
        net.set_dropout(skip_dropout=0.3) if supernet else net.set_dropout(drop_path=0.3)
    for step in range(2):  # the second on moved statistics
        expected, found = (learned(net, seed + step, supernet=supernet) for net in (kept, again))
        assert expected.keys() == found.keys()
        for place, value in expected.items():
            assert equal(value, found[place]), place
        states = kept.state_dict(), again.state_dict()
        for place, buffer in states[0].items():
            assert torch.equal(buffer, states[1][place]), place


@pytest.mark.parametrize(
    "relaxation", [RelaxationConfig(paths=1), RelaxationConfig(partial=2), RelaxationConfig(merged=2)], ids=lambda r: r.name
)
def test_relaxations_are_recomputed_too(relaxation: RelaxationConfig) -> None:
    space = space_of("toy")
    pair = [built(space, 0, supernet=True, recompute=recompute, relaxation=relaxation) for recompute in (False, True)]
    expected, found = (learned(net, 0, supernet=True) for net in pair)
    assert all(equal(value, found[place]) for place, value in expected.items())
    assert all(torch.equal(a, b) for a, b in zip(pair[0].buffers(), pair[1].buffers(), strict=True))


def test_spikes_are_counted_once_even_by_a_counter_that_stays_open() -> None:
    space = space_of("toy")
    totals, grads = [], []
    for recompute in (False, True):
        net = built(space, 3, supernet=True, recompute=recompute)
        with SpikeCounter(net) as counter:
            grads.append(learned(net, 3, supernet=True, counter=counter))
            counter.saw(4)
        totals.append((counter.figures(), counter.firing_rate()))
    assert totals[0] == totals[1]
    assert totals[0][0] is not None
    assert totals[0][0]["total"] > 0
    assert all(equal(value, grads[1][place]) for place, value in grads[0].items())


def test_each_cell_runs_twice_in_training_and_once_otherwise() -> None:
    net = built(space_of("toy"), 0, supernet=False, recompute=True)
    calls: list[bool] = []
    cells = [m for m in net.modules() if isinstance(m, CellModule)]
    for cell in cells:
        cell.feeds[0].register_forward_hook(lambda *_: calls.append(compute.recomputing()))
    learned(net, 0, supernet=False)
    assert sorted(calls) == [False] * len(cells) + [True] * len(cells)
    assert not compute.recomputing()
    calls.clear()
    with torch.no_grad():
        net(torch.zeros(1, 2, *SAMPLE[1:]))
    net.eval()(torch.zeros(1, 2, *SAMPLE[1:])).sum().backward()
    assert calls == [False] * (2 * len(cells))


def test_it_keeps_less_for_the_backward_pass() -> None:
    kept: dict[bool, int] = {}
    for recompute in (False, True):
        net = built(space_of("toy"), 0, supernet=True, recompute=recompute)
        own = {p.data_ptr() for p in net.parameters()}
        held: dict[int, int] = {}

        def pack(t: Tensor, own: set[int] = own, held: dict[int, int] = held) -> Tensor:
            if t.data_ptr() not in own:
                held[t.data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = net(torch.randn(1, 4, *SAMPLE[1:]), mixing_of(net, 0)).sum()
        kept[recompute] = sum(held.values())
        del loss
    assert kept[True] < kept[False] / 4


def test_a_failure_in_the_second_pass_leaves_the_network_as_it_was() -> None:
    net = built(space_of("toy"), 0, supernet=False, recompute=True)
    before = copy.deepcopy(dict(net.named_buffers()))

    def fail(*_: Any) -> None:
        if compute.recomputing():
            raise RuntimeError("planted")

    next(m for m in net.modules() if isinstance(m, CellModule)).feeds[0].register_forward_hook(fail)
    loss = net(torch.randn(1, 4, *SAMPLE[1:])).sum()
    moved = dict(net.named_buffers())
    with pytest.raises(RuntimeError, match="planted"):
        loss.backward()
    assert not compute.recomputing()
    assert all(buffer is moved[name] for name, buffer in net.named_buffers())
    assert any(not torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())


def test_a_run_says_so_once_for_all_its_networks() -> None:
    from nastk.core.laws.context import small_context

    context = small_context("ma-darts", recompute=True)
    supernet = context.supernet(EXACT)
    assert all(m.compute.recompute for m in supernet.modules() if isinstance(m, CellModule))
    assert not Compute.of(RunConfig()).recompute
    assert isinstance(supernet, nn.Module)


def test_what_is_computed_anew_cannot_be_recorded() -> None:
    """Refused with the configuration, on every device: a CUDA graph cannot take the random state of the first pass."""
    from nastk.core.run.runfile import configure

    with pytest.raises(ConfigError, match="recompute and capture exclude each other"):
        configure(sets=["recompute=true", "capture=true"])
    assert configure(sets=["recompute=true"]).recompute
    assert configure(sets=["capture=true"]).capture
