"""``attention_location = "searched"``: every edge of a cell chooses its attention, in every space, supernet and network."""

from __future__ import annotations

import copy
import functools
import json
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.attention.cbam import CBAM
from nastk.attention.squeeze_excite import SqueezeExcite
from nastk.core.cell.attended import attention_of
from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import Cell, Edge, Genotype, canonical, fold
from nastk.core.cell.relax import Mixed, rows
from nastk.core.cell.resize import resized, settings_of
from nastk.core.config import EstimatorPart, structure
from nastk.core.errors import ConfigError, NotInSpace, SchemaError
from nastk.core.model.cellnet import EdgeModule
from nastk.core.model.network import Network
from nastk.core.model.relaxation import RelaxationConfig
from nastk.core.settings import ModelConfig
from nastk.core.types import Shape
from nastk.testing import build_space, genotypes, weights

torch.set_num_threads(1)
SAMPLE, CLASSES = Shape(1, 3, 8, 8), 4
CHOICES = ["none", "se", {"name": "cbam", "reduction": 2}]
MODEL: dict[str, Any] = {
    "channels": 2,
    "cells": 3,
    "neuron": {"name": "plif", "v_th": 0.1},
    "attention": {"choices": CHOICES},
    "attention_location": "searched",
}
SPACES: dict[str, dict[str, Any]] = {
    "toy": {"name": "toy"},
    "spiking": {"name": "spiking-cells", "nodes": 2},
    "per-cell": {"name": "spiking-cells", "nodes": 2, "sharing": "per_cell"},
    "summed": {"name": "spiking-cells", "nodes": 2, "wiring": "edge"},
    "trellis": {"name": "spiking-cells", "nodes": 1, "layer_level": "searched", "model": {"cells": 4}},
    "darts": {"name": "darts-cells"},
}
every_space = pytest.mark.parametrize("name", SPACES)


@functools.lru_cache
def built(name: str) -> CellSpace:
    spec = dict(SPACES[name])
    found: CellSpace = build_space(model={**MODEL, **spec.pop("model", {})}, **spec)
    return found


def network(genotype: Genotype, seed: int = 5, **options: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Network(genotype, SAMPLE, CLASSES, **options).double()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    return net


def images(seed: int) -> Tensor:
    return 3 * torch.randn(1, 3, *SAMPLE[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensors(arrays: Any) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array, np.float64)) for name, array in arrays.items()}


def alphas(space: CellSpace, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hot = tensors(space.one_hot(space.sample(random.Random(0))))
    return {n: torch.randn(w.shape, generator=generator, dtype=torch.float64).requires_grad_() for n, w in hot.items()}


# The space


@every_space
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_members_round_trip(name: str, data: st.DataObject) -> None:
    space = built(name)
    genotype = data.draw(genotypes(space))
    assert space.decode(space.encode(genotype)) == genotype
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert space.derive(space.one_hot(genotype)) == genotype
    assert {edge.attention for _, cell in genotype.cells for edge in cell.edges} <= {"none", "se", "cbam"}


@every_space
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_weights_stand_for_a_member_that_takes_the_heaviest_attention(name: str, data: st.DataObject) -> None:
    space = built(name)
    drawn = data.draw(weights(space))
    genotype = space.derive(drawn)
    assert genotype in space
    for cell_name, cell in genotype.cells:
        w_EA = drawn[attention_of(cell_name)]
        full = [(edge.src, edge.dst) for edge in space.full().cell(cell_name).edges]
        for edge in cell.edges:
            row = w_EA[full.index((edge.src, edge.dst))]
            assert row[("none", "se", "cbam").index(edge.attention)] == row.max()


@every_space
def test_the_attention_of_one_edge_is_one_decision(name: str) -> None:
    space = built(name)
    named = [i for i, decision in enumerate(space.decisions) if ".attention" in decision.name]
    assert len(named) == sum(len(cell.edges) for _, cell in space.sample(random.Random(0)).cells)
    choice = [0] * len(space.decisions)
    start = space.decode(choice)
    for i in named:
        other = space.decode([*choice[:i], 2, *choice[i + 1 :]])
        before, after = ([edge for _, cell in g.cells for edge in cell.edges] for g in (start, other))
        changed = [(a.attention, b.attention) for a, b in zip(before, after, strict=True) if a != b]
        assert changed == [("none", "cbam")]


def test_a_space_with_a_fixed_attention_has_no_such_decision() -> None:
    fixed = build_space("toy", {**MODEL, "attention": "cbam", "attention_location": "after_every"})
    assert not any("attention" in d.name for d in fixed.decisions if d not in fixed.parts)
    with pytest.raises(NotInSpace, match="edge 0->1 has the attention 'se'; the space has none"):
        fixed.encode(attended(fixed.decode([1] * 3 + [0] * (len(fixed.decisions) - 3)), "se"))


def attended(genotype: Genotype, attention: str) -> Genotype:
    cells = {
        name: Cell(cell.inputs, [Edge(e.src, e.dst, e.op, attention) for e in cell.edges], cell.outputs)
        for name, cell in genotype.cells
    }
    return Genotype(genotype.space, cells, genotype.parts)


def test_settings_of_each_attention_are_kept() -> None:
    genotype = built("toy").sample(random.Random(1))
    assert genotype.part("attention") == "none|se|cbam"
    assert genotype.section("attention") == {"cbam.reduction": 2}
    model = settings_of(genotype)["model"]
    cbam = {"name": "cbam", "reduction": 2, "kernel": 7}
    assert model["attention"]["choices"] == ["none", {"name": "se", "reduction": 16}, cbam]
    assert resized(genotype, structure(model, ModelConfig, "model")) == genotype


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"attention": "cbam"}, "needs choices of at least two distinct names, got cbam"),
        ({"attention": {"choices": ["se", {"name": "se", "reduction": 2}]}}, "distinct names, got se, se"),
        ({"attention_location": {"choices": ["end", "searched"]}}, "'searched' cannot be one of several"),
    ],
)
def test_what_is_no_choice_is_refused(table: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        build_space("toy", {**MODEL, **table})


def test_digests_of_cells_without_attentions_of_their_own_are_as_before() -> None:
    cell = Cell(1, [Edge(0, 1, "conv_3x3"), Edge(1, 2, "skip_connect")], (1, 2))
    plain = Genotype("s", {"a": cell}, {"attention": "cbam"})
    assert plain.digest == "ce90fce192dedaa1"
    assert json.loads(plain.to_json())["cells"]["a"]["edges"] == [[0, 1, "conv_3x3"], [1, 2, "skip_connect"]]
    other = attended(plain, "se")
    assert other.digest != plain.digest
    assert json.loads(other.to_json())["cells"]["a"]["edges"][0] == [0, 1, "conv_3x3", "se"]


def test_the_attention_of_an_edge_that_is_not_there_does_not_count() -> None:
    cells = [Cell(1, [Edge(0, 1, "none", a), Edge(0, 2, "conv_3x3", "se")], (1, 2)) for a in ("none", "cbam")]
    assert canonical(cells[0]) == canonical(cells[1])
    assert Genotype("s", {"a": cells[0]}, {}).digest == Genotype("s", {"a": cells[1]}, {}).digest


# The algebra, in integers


class Ints:
    def apply(self, edge: Edge, value: Any) -> Any:
        return {"none": 0, "same": value, "double": 2 * value}[edge.op]

    def mix(self, _edge: Edge, weighted: Any) -> Any:
        return sum(weight * value for weight, value in weighted)

    def arrive(self, edge: Edge, value: Any) -> Any:
        return {"none": value, "thrice": 3 * value, "inc": value and value + 1}[edge.attention]

    def join(self, _node: int, arrivals: Any) -> Any:
        return sum(arrivals)

    def output(self, values: Any) -> Any:
        return values


def test_a_mixture_of_attentions_is_the_sum_of_each_on_the_whole_mixture_of_operations() -> None:
    full = Cell(1, [Edge(0, 1, "none|same|double", "none|thrice|inc")], (1,))
    mixed = Mixed(Ints(), rows(full, [[0.5, 0.25, 0.25]]), rows(full, [[0.5, 0.25, 0.25]]))
    arrived = 0.25 * 8 + 0.25 * 16
    assert fold(full, mixed, [8]) == [0.5 * arrived + 0.25 * 3 * arrived + 0.25 * (arrived + 1)]
    hot = Mixed(Ints(), rows(full, [[0, 0, 1]]), rows(full, [[0, 1, 0]]))
    assert fold(full, hot, [8]) == fold(Cell(1, [Edge(0, 1, "double", "thrice")], (1,)), Ints(), [8]) == [48]


def test_a_choice_without_weights_is_an_error() -> None:
    full = Cell(1, [Edge(0, 1, "same", "none|thrice")], (1,))
    with pytest.raises(ValueError, match="0->1 chooses among attentions"):
        fold(full, Mixed(Ints(), rows(full, [[1.0]])), [8])


# Networks


@functools.lru_cache
def supernet(name: str) -> Network:
    net = network(built(name).full(), affine=False)
    for seed in range(2):
        with torch.no_grad():
            net(images(seed), {n: a.detach().softmax(-1) for n, a in alphas(built(name), seed).items()})
    return net


@every_space
@settings(deadline=None, max_examples=3)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_the_supernet_at_one_hot_weights_is_the_member(name: str, data: st.DataObject, seed: int) -> None:
    space, net = built(name), supernet(name)
    genotype = data.draw(genotypes(space))
    member = network(genotype)
    member.inherit(net)
    hot, x = tensors(space.one_hot(genotype)), images(seed)
    for training in (False, True):
        with torch.no_grad():
            assert (net.train(training)(x, hot) - member.train(training)(x)).abs().max() <= 1e-10


def test_the_derived_network_has_the_attention_of_each_edge() -> None:
    genotype = built("toy").decode([1, 2, 3, 0, 1, 2, *[0] * (len(built("toy").decisions) - 6)])
    net = network(genotype)
    held = {key: [type(m) for m in e.attentions.values()] for key, e in edges_of_first_cell(net).items()}
    assert held["0_1"] != held["0_2"] != held["1_2"]
    assert (held["0_2"], held["1_2"]) == ([SqueezeExcite], [CBAM])
    assert edges_of_first_cell(net)["1_2"].attentions["cbam"].channel.reduce.out_features == 4


def edges_of_first_cell(net: Network) -> dict[str, EdgeModule]:
    return dict(net.body.cells[0].edges.items())  # type: ignore[union-attr, index]


def test_members_differ_by_their_attentions_alone() -> None:
    space = built("toy")
    answers = []
    for attention in (0, 1, 2):
        choice = [2, 2, 2, *[attention] * 3, *[0] * (len(space.decisions) - 6)]
        member = network(space.decode(choice)).eval()
        member.inherit(supernet("toy"))
        with torch.no_grad():
            answers.append(member(images(0)))
    assert all((a - b).abs().max() > 1e-6 for a, b in ((answers[0], answers[1]), (answers[1], answers[2])))


@pytest.mark.parametrize("name", ["toy", "spiking", "trellis"])
def test_the_schedule_is_the_fold(name: str) -> None:
    """Loss and every gradient, those of the attention weights too, to 1e-10."""
    fast = network(built(name).full(), affine=False).train()
    plain = copy.deepcopy(fast)
    plain.set_scheduled(False)
    y = torch.tensor([0, 1, 2])
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "amax", lambda x, dim, keepdim=False: torch.logsumexp(x, dim, keepdim))
        for net in (fast, plain):
            alpha = alphas(built(name), 3)
            loss = F.cross_entropy(net(images(4), {n: a.softmax(-1) for n, a in alpha.items()}).mean(0), y)
            wanted = {**{f"alpha {n}": a for n, a in alpha.items()}, **dict(net.named_parameters())}
            grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
            found.append((loss.detach(), dict(zip(wanted, grads, strict=True))))
    (loss, grads), (expected, reference) = found
    assert float((loss - expected).abs()) <= 1e-10
    for key, grad in grads.items():
        other = reference[key]
        assert (grad is None) == (other is None), key
        assert grad is None or float((grad - other).abs().max()) <= 1e-10, key
    chosen = [grads[f"alpha {n}"] for n in alphas(built(name), 3) if n.endswith(".attention")]
    assert chosen
    assert all(g is not None and g.isfinite().all() and g.any() for g in chosen)


@pytest.mark.parametrize("relaxation", [RelaxationConfig(partial=2), RelaxationConfig(paths=1)])
def test_other_relaxations_choose_too(relaxation: RelaxationConfig) -> None:
    space = built("spiking")
    net = network(space.full(), affine=False, relaxation=relaxation).train()
    mixing = {name: a.softmax(-1) for name, a in alphas(space, 0).items()}
    one = net(images(0), mixing)
    swapped = {n: w.roll(1, -1) if n.endswith(".attention") else w for n, w in mixing.items()}
    assert one.isfinite().all()
    assert (one - net(images(0), swapped)).abs().max() > 1e-6


def test_a_stranger_in_a_genotype_is_named() -> None:
    genotype = attended(built("toy").sample(random.Random(3)), "bam")
    with pytest.raises(SchemaError, match=r"has the attention bam, which is not among those .*: none, se, cbam"):
        network(genotype)


def test_the_same_cells_without_attention_are_the_ablation() -> None:
    genotype = built("toy").sample(random.Random(3))
    model = structure({**MODEL, "attention": "none", "attention_location": "after_every"}, ModelConfig, "model")
    names = [name for name, _ in network(resized(genotype, model)).named_parameters()]
    assert not any("attention" in name for name in names)


# Costs


@pytest.mark.parametrize("name", ["toy", "spiking", "per-cell", "darts"])
@pytest.mark.parametrize("estimator", ["parameters", "macs"])
def test_what_is_expected_at_one_hot_weights_is_the_estimate(name: str, estimator: str) -> None:
    space, cost = built(name), EstimatorPart.named(estimator).build()
    for seed in range(3):
        genotype = space.sample(random.Random(seed))
        hot = tensors(space.one_hot(genotype))
        expected = float(cost.expected(space.full(), SAMPLE, CLASSES, hot))
        assert expected == pytest.approx(cost.estimate(genotype, SAMPLE, CLASSES).value, rel=1e-12)


def test_parameters_are_those_of_the_network() -> None:
    for seed in range(4):
        genotype = built("spiking").sample(random.Random(seed))
        count = sum(p.numel() for p in network(genotype).parameters())
        assert EstimatorPart.named("parameters").build().estimate(genotype, SAMPLE, CLASSES).value == count


def test_an_expected_cost_is_differentiable_in_the_attention_weights() -> None:
    space = built("toy")
    alpha = alphas(space, 1)
    mixing = {name: a.softmax(-1) for name, a in alpha.items()}
    EstimatorPart.named("parameters").build().expected(space.full(), SAMPLE, CLASSES, mixing).backward()
    grad = alpha[attention_of("shared")].grad
    assert grad is not None
    assert (grad[:, 0] < 0).all()  # nothing is cheaper than none
