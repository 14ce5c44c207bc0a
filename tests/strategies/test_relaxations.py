"""Relaxations that are other algorithms: what each of them computes, and that searches with them are searches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.errors import ConfigError
from nastk.core.model.network import Network
from nastk.core.model.partial import passed_by
from nastk.core.model.relaxation import RelaxationConfig, edges_of
from nastk.core.model.schedule import Schedule, mergeable
from nastk.core.run.run import Run
from nastk.core.run.search import search
from nastk.core.types import Shape
from nastk.strategies.mixing import derive, drawn_paths, mixing_weights
from nastk.testing import build_space

SAMPLE = Shape(1, 3, 8, 8)
SETTINGS: dict[str, dict[str, Any]] = {
    "sampled": {"paths": 1},
    "two paths": {"paths": 2},
    "partial": {"partial": 2},
    "merged": {"merged": 2},
    "partial + merged": {"partial": 2, "merged": 2},
    "sampled + partial + merged": {"paths": 1, "partial": 2, "merged": 4},
}
every = pytest.mark.parametrize("settings_", SETTINGS.values(), ids=SETTINGS.keys())


def space_of(**settings: Any) -> Any:
    model = {"channels": 4, "cells": 3, "neuron": {"name": "plif", "v_th": 0.1}}
    return build_space("spiking-cells", model, nodes=3, preset="darts", **settings)


CONVOLUTIONS = (
    "none", "avg_pool_3x3", "skip_connect", "conv_3x3", "conv_5x5", "dws_conv_3x3", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
"""All but the last of the convolutions are merged: with that one the kernel would be 9 wide."""


def supernet(full: Genotype, **relaxation: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Network(full, SAMPLE, 4, affine=False, relaxation=RelaxationConfig(**relaxation)).double()


def images(seed: int, batch: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(1, batch, *SAMPLE[1:], generator=generator, dtype=torch.float64)


def weights_of(full: Genotype, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: (len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    return {name: torch.randn(shape, generator=generator).double().softmax(-1) for name, shape in shapes.items()}


def test_names() -> None:
    assert RelaxationConfig().name == "exact"
    assert RelaxationConfig(paths=1, partial=4, merged=4).name == "sampled + partial + merged"


# Merged kernels


@pytest.mark.parametrize("seed", range(3))
def test_merged_with_the_statistics_of_all_samples_is_the_exact_function(seed: int) -> None:
    full = space_of(operations=CONVOLUTIONS).full()
    exact, merged = supernet(full), supernet(full, merged=1)
    weights = weights_of(full, seed)
    one, two = (net.train()(images(seed), weights) for net in (exact, merged))
    assert float((one - two).abs().max()) < 1e-10
    states = exact.state_dict(), merged.state_dict()
    assert all(torch.allclose(v.double(), states[1][name].double(), atol=1e-12) for name, v in states[0].items())


def test_merged_looks_at_a_share_of_the_samples() -> None:
    full = space_of(operations=CONVOLUTIONS).full()
    weights, x = weights_of(full, 0), images(0)
    net, exact = supernet(full, merged=2).train(), supernet(full).train()
    for each in (net, exact):
        each(x, weights)
    for op in CONVOLUTIONS[3:]:
        share, whole = (each.body.cells[0].edges["0_2"].operation(op).recipe.norm.running_mean for each in (net, exact))  # type: ignore[union-attr]
        assert torch.equal(share, whole) == (op == "dil_conv_5x5"), "what is too wide to be merged is exact"


def test_the_gradient_of_the_weights_flows_through_the_merged_kernel() -> None:
    full = space_of(operations=CONVOLUTIONS).full()
    net, x = supernet(full, merged=1).train(), images(1)
    leaves = {n: w.requires_grad_() for n, w in weights_of(full, 1).items()}
    grads = torch.autograd.grad(net(x, leaves).square().sum(), list(leaves.values()))
    for grad, (_, cell) in zip(grads, full.cells, strict=True):
        columns = [i for i, op in enumerate(cell.edges[0].candidates) if "conv" in op]
        assert len(columns) == 5
        assert grad[:, columns].isfinite().all()
        assert grad[:, columns].any()


def test_convolutions_are_merged_where_that_is_fewer_products() -> None:
    """By the number of pixels that an output reads: next to a dilated 3x3 alone, a kernel 5 wide would read more."""

    def merged(*operations: str) -> set[str]:
        full = space_of(operations=("skip_connect", *operations)).full()
        groups = Schedule(supernet(full, merged=1).body.cells[0]).together[0]  # type: ignore[arg-type]
        return {member.op for group in mergeable([g for g in groups if not g.shared]) for member in group.members}

    assert merged(*CONVOLUTIONS[3:]) == set(CONVOLUTIONS[3:7])
    assert merged("dil_conv_3x3", "dil_conv_5x5") == set()
    assert merged("conv_3x3", "conv_5x5") == {"conv_3x3", "conv_5x5"}
    assert merged("conv_3x3", "dws_conv_3x3", "dil_conv_5x5") == {"conv_3x3", "dws_conv_3x3"}
    assert merged("conv_3x3") == set()


# Drawn paths


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(0, 10**6), st.floats(0.1, 10))
def test_drawn_paths_are_few_and_share_one(paths: int, seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    drawn = drawn_paths({"normal": alpha.softmax(-1)}, paths, temperature, torch.Generator().manual_seed(seed))["normal"]
    again = drawn_paths({"normal": alpha.softmax(-1)}, paths, temperature, torch.Generator().manual_seed(seed))["normal"]
    assert torch.equal(drawn, again)
    assert ((drawn != 0).sum(-1) <= paths).all()
    assert torch.allclose(drawn.sum(-1), torch.ones(5, dtype=torch.float64))
    (grad,) = torch.autograd.grad((drawn * torch.arange(20.0).reshape(5, 4)).sum(), alpha)
    assert grad.isfinite().all()


def test_paths_are_drawn_in_proportion_to_their_weights() -> None:
    weights = torch.tensor([[0.6, 0.3, 0.1]]).double()
    generator = torch.Generator().manual_seed(0)
    drawn = sum(drawn_paths({"a": weights}, 1, 1.0, generator)["a"] for _ in range(4000))
    assert torch.allclose(drawn / 4000, weights, atol=0.03)  # type: ignore[operator]


def test_a_drawn_path_computes_its_operations_and_no_other() -> None:
    space = space_of()
    full = space.full()
    hot = {name: torch.zeros(len(cell.edges), len(cell.edges[0].candidates)).double() for name, cell in full.cells}
    for matrix in hot.values():
        matrix[:, 4] = 1.0
    exact, drawn = supernet(full), supernet(full, paths=1)
    called: list[str] = []
    for name, module in drawn.named_modules():
        if ".ops." in f"{name}." and hasattr(module, "recipe"):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    one, two = (net.train()(images(3), hot) for net in (exact, drawn))
    assert torch.allclose(one, two, atol=1e-10)
    chosen = dict(full.cells)["normal"].edges[0].candidates[4]
    assert all(name.endswith(chosen) for name in called), "what has no weight was run"
    before = supernet(full, paths=1).state_dict()
    touched = [n for n, v in drawn.state_dict().items() if n.endswith("running_mean") and not torch.equal(v, before[n])]
    assert touched
    assert all(f".ops.{chosen}." in name for name in touched if ".ops." in name)


# Partial channels


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([2, 4]), st.booleans(), st.integers(2, 7), st.integers(0, 1000))
def test_what_passes_by_is_shuffled_and_halved_where_the_edge_halves(share: int, halving: bool, side: int, seed: int) -> None:
    channels = 8
    x = torch.randn(2, 3, channels, side, side, generator=torch.Generator().manual_seed(seed))
    small = -(-side // 2) if halving else side
    mixed = torch.full((2, 3, channels // share, small, small), 7.0)
    out = passed_by(mixed, x, Shape(2, channels, small, small), share)
    assert out.shape == (2, 3, channels, small, small)
    assert (out == 7.0).all(dim=-1).all(dim=-1).all(dim=0).all(dim=0).tolist() == [i % share == 0 for i in range(channels)]
    if not halving:
        kept = sorted(x[:, :, channels // share :].flatten().tolist())
        assert sorted(out[out != 7.0].tolist()) == kept


def test_partial_operations_are_narrow() -> None:
    full = space_of().full()
    wide, narrow = supernet(full), supernet(full, partial=4)
    for name, parameter in narrow.named_parameters():
        if ".ops.conv_3x3." in name or ".ops.dil_conv_3x3.block.1." in name:
            assert parameter.shape[0] * 4 == dict(wide.named_parameters())[name].shape[0]


def test_partial_wants_a_divisor_of_the_channels() -> None:
    with pytest.raises(ConfigError, match="3 does not divide the 4 channels"):
        supernet(space_of().full(), partial=3)


def test_edge_weights_share_one_at_every_node_and_weigh_in_the_derivation() -> None:
    space = space_of()
    full = space.full()
    targets = {name: torch.tensor([e.dst for e in cell.edges]) for name, cell in full.cells}
    alpha = {name: torch.zeros(len(cell.edges), len(cell.edges[0].candidates)) for name, cell in full.cells}
    alpha |= {edges_of(name): torch.randn(len(cell.edges)) for name, cell in full.cells}
    weights = mixing_weights(alpha, None, targets)
    for name, nodes in targets.items():
        for node in set(nodes.tolist()):
            assert float(weights[edges_of(name)][nodes == node].sum()) == pytest.approx(1)
    found = derive(space, weights, None)
    for name, cell in found.cells:
        for node in set(targets[name].tolist()):
            entering = [(float(weights[edges_of(name)][i]), e.src) for i, e in enumerate(full.cell(name).edges) if e.dst == node]
            best = {src for _, src in sorted(entering)[-2:]}
            assert {e.src for e in cell.edges if e.dst == node} == best


def test_edge_weights_scale_the_edges() -> None:
    full = space_of().full()
    weights = weights_of(full, 0)
    ones = {edges_of(name): torch.ones(len(cell.edges)).double() for name, cell in full.cells}
    net = supernet(full, partial=2).train()
    plain, weighed = copy.deepcopy(net)(images(0), weights), copy.deepcopy(net)(images(0), weights | ones)
    assert torch.equal(plain, weighed)
    halved = {name: w.clone().fill_(0.1) for name, w in ones.items()}
    halved["normal.edges"][0] = 3.0
    assert not torch.equal(plain, copy.deepcopy(net)(images(0), weights | halved))


# In training and in evaluation, under every strategy


@every
def test_a_supernet_learns_and_is_evaluated(settings_: dict[str, Any]) -> None:
    full = space_of().full()
    net = supernet(full, **settings_)
    leaves = {n: w.requires_grad_() for n, w in weights_of(full, 2).items()}
    mixing = drawn_paths(leaves, settings_["paths"], 1.0, torch.Generator().manual_seed(0)) if "paths" in settings_ else leaves
    loss = F.cross_entropy(net.train()(images(2), mixing).mean(0), torch.tensor([0, 1, 2, 3]))
    grads = torch.autograd.grad(loss, [*leaves.values(), *net.parameters()], allow_unused=True)
    assert all(g is None or bool(g.isfinite().all()) for g in grads)
    assert all(g is not None and bool(g.any()) for g in grads[: len(leaves)])
    with torch.no_grad():
        assert net.eval()(images(2), leaves).isfinite().all()


@every
@pytest.mark.parametrize("strategy", ["darts", "ma-darts"])
def test_a_search_ends_with_a_member_and_resumes(prepare: Callable[..., Run], strategy: str, settings_: dict[str, Any]) -> None:
    tables = {"model": {"attention": "cbam" if strategy == "ma-darts" else "none"}}
    run = prepare(strategy, epochs=2, warmup=0, relaxation=settings_, tables=tables)
    found = search(run.strategy, run.context, run.store)
    assert found.genotype in run.space
    half = prepare(strategy, epochs=2, warmup=0, relaxation=settings_, tables={**tables, "budget": {"steps": 1}})
    search(half.strategy, half.context, half.store)
    rest = prepare(strategy, epochs=2, warmup=0, relaxation=settings_, tables=tables, into=half.store.path)
    assert search(rest.strategy, rest.context, rest.store).genotype == found.genotype


@every
def test_a_strategy_keeps_its_laws(settings_: dict[str, Any]) -> None:
    wanted = ["seeded_repeatable", "state_survives_a_checkpoint", "given_state_is_left_alone", "recommends_members"]
    for verdict in nastk.check("strategy", "darts", only=wanted, relaxation=settings_):
        assert verdict.outcome == "holds", verdict
