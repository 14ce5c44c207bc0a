"""What a network computes is what its genotype says: supernet and member agree, shapes as planned, spikes between nodes."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import Genotype, canonical
from nastk.core.cell.layout import plan
from nastk.core.errors import SchemaError, ShapeError
from nastk.core.model.cellnet import CellModule
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron
from nastk.core.model.operation import Operation, Site
from nastk.core.registry import registry
from nastk.core.types import Kind, Shape
from nastk.testing import build_space, genotypes

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)
MODEL = {"channels": 2, "cells": 3, "neuron": {"name": "plif", "v_th": 0.1}}
Settings = tuple[tuple[str, Any], ...]


def images(seed: int, batch: int = 3, sample: Shape = SAMPLE, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(1, batch, *sample[1:], generator=generator, dtype=dtype)


def tensors(mixing: Any) -> dict[str, Tensor]:
    return {name: torch.as_tensor(matrix, dtype=torch.float64) for name, matrix in mixing.items()}


def random_mixing(full: Genotype, seed: int) -> dict[str, Tensor]:
    """Logits of mixing weights, leaves of the graph."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: (len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    return {n: torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for n, s in shapes.items()}


def softmax(alpha: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: matrix.softmax(-1) for name, matrix in alpha.items()}


def network(genotype: Genotype, sample: Shape = SAMPLE, **options: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net = Network(genotype, sample, 4, **options).double()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # running statistics are plain means, so that a few batches are enough
    return net


@contextmanager
def observed(module: nn.Module, kind: type[nn.Module]) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """The name, first input and output of every call of the modules of a class."""
    calls: list[tuple[str, Tensor, Tensor]] = []

    def hook(name: str) -> Any:
        def note(_: nn.Module, args: Any, out: Any) -> None:
            first = args[0] if isinstance(args[0], Tensor) else args[0][0]
            calls.append((name, first, out[0] if isinstance(out, tuple) else out))

        return note

    handles = [m.register_forward_hook(hook(name)) for name, m in module.named_modules() if isinstance(m, kind)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


# Supernet and member

CASES: dict[str, tuple[Settings, Settings]] = {
    "toy": ((("name", "toy"),), ()),
    "toy-cbam": ((("name", "toy"),), (("attention", "cbam"), ("attention_location", "both"))),
    "toy-candidate": ((("name", "toy"),), (("attention", "cbam"), ("attention_location", "candidate"))),
    "spiking": ((("name", "spiking-cells"), ("nodes", 3)), ()),
    "spiking-cbam": ((("name", "spiking-cells"),), (("attention", "cbam"), ("time_steps", 1))),
    "dhs": ((("name", "spiking-cells"), ("preset", "dhs"), ("nodes", 3)), (("attention", "cbam"), ("attention_location", "end"))),
    "autosnn-op": ((("name", "spiking-cells"), ("preset", "autosnn"), ("nodes", 2), ("membrane", "op")), ()),
    "per-cell": ((("name", "spiking-cells"), ("sharing", "per_cell"), ("nodes", 2)), (("attention", "cbam"),)),
    "trellis": ((("name", "spiking-cells"), ("layer_level", "searched"), ("nodes", 2)), (("cells", 4),)),
    "trellis-cbam": (
        (("name", "spiking-cells"), ("layer_level", "searched"), ("nodes", 2), ("sharing", "shared")),
        (("cells", 4), ("attention", "cbam"), ("attention_location", "both"), ("time_steps", 1)),
    ),
    "darts": ((("name", "darts-cells"),), (("neuron", "relu"), ("time_steps", 1))),
    "darts-cbam": ((("name", "darts-cells"),), (("attention", "cbam"), ("time_steps", 2))),
}
cases = pytest.mark.parametrize("case", CASES)


@functools.lru_cache(maxsize=2)
def supernet(case: str) -> tuple[CellSpace, Network]:
    """A space and its supernet, whose batch norms have seen images under random mixing weights."""
    settings, model = CASES[case]
    space: CellSpace = build_space(**dict(settings), model={**MODEL, **dict(model)})
    net = network(space.full(), affine=False)
    for seed in range(3):
        mixing = softmax(random_mixing(space.full(), seed))
        with torch.no_grad():
            net(images(seed), {**mixing, "layers": torch.full((3, 4, 2), 0.5, dtype=torch.float64)})
    return space, net


@settings(deadline=None, max_examples=4)
@given(st.data(), st.integers(0, 1000))
@cases
def test_the_supernet_at_one_hot_weights_is_the_member(case: str, data: st.DataObject, seed: int) -> None:
    space, net = supernet(case)
    genotype = data.draw(genotypes(space))
    member = network(genotype, affine=True)
    member.inherit(net)
    hot, x = tensors(space.one_hot(genotype)), images(seed)
    for training in (False, True):  # evaluation first: training moves the running statistics of both
        net.train(training)
        member.train(training)
        with torch.no_grad():
            assert (net(x, hot) - member(x)).abs().max() <= 1e-10


@cases
def test_members_differ_and_see_their_images(case: str) -> None:
    """So the law above compares answers that depend on the member and on the image."""
    space, net = supernet(case)
    rng = random.Random(1)
    for training in (False, True):
        net.train(training)
        with torch.no_grad():
            answers = [net(images(0), tensors(space.one_hot(space.sample(rng)))) for _ in range(8)]
        assert sum(float(a.std(dim=1).max()) > 1e-6 for a in answers) >= 4
        assert len({round(float(a[0, 0, 0]), 9) for a in answers}) >= 5


@cases
def test_alpha_gets_finite_gradients(case: str) -> None:
    space, net = supernet(case)
    net.train()
    alpha = random_mixing(space.full(), 7)
    mixing = softmax(alpha)
    if space.searches_layers:
        alpha["layers"] = torch.zeros(3, 4, 2, dtype=torch.float64, requires_grad=True)
        mixing["layers"] = alpha["layers"].softmax(-1)
    net(images(7), mixing).mean(0).square().sum().backward()
    for matrix in alpha.values():
        assert matrix.grad is not None
        assert bool(matrix.grad.isfinite().all())
        assert float(matrix.grad.abs().sum()) > 0
    net.zero_grad()


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 1000))
@pytest.mark.parametrize("case", ["spiking", "spiking-cbam", "dhs", "darts-cbam", "trellis"])
def test_images_are_independent_in_evaluation(case: str, seed: int) -> None:
    space, net = supernet(case)
    net.eval()
    mixing = {**softmax(random_mixing(space.full(), seed)), "layers": torch.full((3, 4, 2), 0.5, dtype=torch.float64)}
    x = images(seed)
    with torch.no_grad():
        whole = net(x, mixing)
        for i in range(x.shape[1]):
            assert (net(x[:, i : i + 1], mixing) - whole[:, i : i + 1]).abs().max() <= 1e-10


# Spikes between nodes


@pytest.mark.parametrize("preset", ["default", "dhs", "snas", "darts"])
@pytest.mark.parametrize("training", [True, False])
def test_nodes_of_spiking_cells_exchange_spikes_in_the_supernet(preset: str, training: bool) -> None:
    space = build_space("spiking-cells", MODEL, preset=preset, nodes=3)
    net = network(space.full(), affine=False).train(training)
    net.set_scheduled(False)  # by the fold every operation is called, and can be watched
    mixing = softmax(random_mixing(space.full(), 3))
    watched = observed(net, Operation), observed(net, CellModule), observed(net, Neuron)
    with torch.no_grad(), watched[0] as operations, watched[1] as cells, watched[2] as neurons:
        net(images(3), mixing)
    assert len(operations) > 3 * 9
    for name, entering, _ in operations:
        assert bool(((entering == 0) | (entering == 1)).all()), name
    for name, _, leaving in (*cells, *neurons):
        assert bool(((leaving == 0) | (leaving == 1)).all()), name
    nodes = [out for name, _, out in neurons if ".nodes." in name]
    assert len(nodes) == 3 * 3
    assert sum(float(out.sum()) for out in nodes) > 0
    assert len(neurons) == sum(isinstance(m, Neuron) for m in net.modules())  # none is built that never fires


# Absent edges


@settings(deadline=None, max_examples=10)
@given(st.data(), st.sampled_from(["cbam", "eca", "none"]), st.sampled_from(["after_every", "both"]))
def test_an_absent_edge_adds_nothing(data: st.DataObject, attention: str, location: str) -> None:
    """An explicit ``none`` edge, attention behind it or not, is no edge."""
    space = build_space("toy", {**MODEL, "attention": attention, "attention_location": location})
    genotype = data.draw(genotypes(space))
    without = evolve(genotype, cells={name: canonical(cell) for name, cell in genotype.cells})
    a, b = network(genotype), network(without)
    b.inherit(a)
    with torch.no_grad():
        assert torch.equal(a(images(1)), b(images(1)))


@pytest.mark.parametrize("stride", [1, 2])
def test_none_gives_zeros(stride: int) -> None:
    site = Site(Shape(2, 2, 7, 9), stride, True, *_parts())
    out = registry().load(Kind.OPERATION, "none")(site)(torch.randn(2, 3, 2, 7, 9))
    assert not out.any()


# Shapes


def _parts() -> tuple[Any, Any]:
    from nastk.core.config import AttentionPart, NeuronPart

    return NeuronPart.named("plif"), AttentionPart.named("cbam")


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (1, 1), (2, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [2, 3])
def test_every_operation_has_the_shape_that_its_site_says(size: tuple[int, int], stride: int, channels: int) -> None:
    site = Site(Shape(2, channels, *size), stride, True, *_parts())
    assert site.out == Shape(2, channels, (size[0] + stride - 1) // stride, (size[1] + stride - 1) // stride)
    for name in registry().names(Kind.OPERATION):
        operation = registry().load(Kind.OPERATION, name)(site).eval()
        with torch.no_grad():
            assert operation(torch.rand(2, 3, channels, *size)).shape == (2, 3, *site.out[1:]), name


@settings(deadline=None, max_examples=3)
@given(st.data(), st.sampled_from([(7, 9), (8, 8), (5, 6), (9, 32), (32, 32)]))
def test_cells_have_the_planned_shapes(space: CellSpace, data: st.DataObject, size: tuple[int, int]) -> None:
    genotype = data.draw(genotypes(space))
    sample = Shape(1, 3, *size)
    steps, width = int(genotype.part("time_steps")), int(genotype.part("channels"))
    net = Network(genotype, sample, 4).eval()
    with torch.no_grad(), observed(net, CellModule) as calls:
        logits = net(torch.rand(1, 2, *sample[1:]))
    assert logits.shape == (steps, 2, 4)
    planned = plan(genotype, sample._replace(T=steps))
    path = str(genotype.part("layers"))
    assert len(calls) == len(planned) == len(path)
    before = 0
    for layer, (_, _, out) in zip(planned, calls, strict=True):
        scale = int(path[layer.index])
        outputs = len(genotype.cell(layer.cell).outputs)
        real = (steps, 2, width * 2**scale * outputs, *(-(-side // 2**scale) for side in size))
        halves = 2 if layer.reduction else 1
        stated = (layer.shape.C * outputs, -(-layer.shape.H // halves), -(-layer.shape.W // halves))
        assert tuple(out.shape) == real
        assert stated == real[2:]
        assert layer.reduction == (scale > before)
        assert layer.stride == halves
        before = scale


def test_feeds_bring_both_inputs_to_what_the_edges_see() -> None:
    space = build_space("spiking-cells", {**MODEL, "cells": 4}, layer_level="searched", nodes=2)
    for path in next(d.options for d in space.decisions if d.name == "layers"):
        genotype = space.sample(random.Random(0)).with_parts(layers=dict(path)["layers"])
        net = Network(genotype, SAMPLE, 4).eval()
        cells = list(net.body.cells)  # type: ignore[arg-type]
        seen: list[tuple[int, Tensor]] = []
        for i, cell in enumerate(cells):
            for feed in cell.feeds:
                feed.register_forward_hook(lambda _m, _a, out, i=i, seen=seen: seen.append((i, out)))
        with torch.no_grad():
            net(torch.rand(1, 2, 3, 8, 8))
        shapes = [layer.shape for layer in plan(genotype, SAMPLE._replace(T=2))]
        assert len(seen) == 2 * len(cells)
        assert all(tuple(out.shape) == (2, 2, *shapes[i][1:]) for i, out in seen)


def test_what_does_not_fit_is_refused() -> None:
    space = build_space("toy", MODEL)
    genotype = space.decode([0] * len(space.decisions))
    with pytest.raises(ShapeError, match="would halve a side of 1"):
        Network(genotype, Shape(1, 3, 2, 2), 4)
    for path in ("x", "02", "10", "20", "0*", "²", ""):
        with pytest.raises(SchemaError, match="are no path"):
            plan(genotype.with_parts(layers=path), SAMPLE)
    with pytest.raises(ShapeError, match="T = 2, the samples have 3"):
        Network(genotype, SAMPLE, 4)(torch.rand(3, 1, 3, 8, 8))
    with pytest.raises(SchemaError, match="no cell for layer 0: it has other"):
        plan(evolve(genotype, cells={"other": genotype.cell("shared")}), SAMPLE)


def test_a_trellis_wants_mixing_weights() -> None:
    _, net = supernet("trellis")
    with pytest.raises(ValueError, match="mixing weights"):
        net(images(0))


def test_a_state_of_the_trellis_is_a_mean_of_its_arrivals() -> None:
    """So the masses reach the logits once: twice the weights of one step give twice the logits."""
    space, net = supernet("trellis")
    net.eval()
    mixing = softmax(random_mixing(space.full(), 2))
    steps = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    with torch.no_grad():
        once = net(images(2), {**mixing, "layers": steps})
        for layer in range(3):
            doubled = steps.clone()
            doubled[layer] *= 2
            assert (net(images(2), {**mixing, "layers": doubled}) - 2 * once).abs().max() <= 1e-10
