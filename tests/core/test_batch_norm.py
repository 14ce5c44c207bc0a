"""Batch norms of spiking networks: their formulas by plain loops, and supernets that are their members."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.config import AttentionPart, NeuronPart
from nastk.core.errors import ConfigError, ShapeError
from nastk.core.model.batch_norm import batch_norm
from nastk.core.model.distributed import with_shared_norms
from nastk.core.model.network import Network
from nastk.core.model.operation import Site
from nastk.core.seeds import seeded
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
KINDS = ("bn", "tdbn", "tebn", "bntt")
NEW = KINDS[1:]
CLOSE = 1e-10


def currents(seed: int, T: int, B: int, C: int) -> Tensor:
    """``(T, B, C, 3, 2)``, another mean and spread at each step."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, C, 3, 2, generator=generator, dtype=torch.float64)
    by_step = torch.rand(2, T, 1, 1, 1, 1, generator=generator, dtype=torch.float64)
    return (1 + by_step[0]) * x + 5 * by_step[1]


def normalised(x: Tensor, over: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    mean = x.mean(over, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(over, keepdim=True) + eps).sqrt()


def wanted(kind: str, x_TBCHW: Tensor, v_th: float, p_T: Tensor) -> Tensor:
    """The formulas, on five axes."""
    if kind == "bntt":
        return torch.stack([normalised(x_BCHW, (0, 2, 3)) for x_BCHW in x_TBCHW])
    y = normalised(x_TBCHW, (0, 1, 3, 4))
    return {"bn": y, "tdbn": v_th * y, "tebn": p_T[:, None, None, None, None] * y}[kind]


shapes = st.tuples(st.integers(1, 4), st.integers(2, 4), st.integers(1, 3))


@given(st.integers(0, 10**6), shapes, st.sampled_from(KINDS), st.booleans(), st.sampled_from([0.25, 1.0]))
@settings(deadline=None, max_examples=60)
def test_each_is_its_formula(seed: int, shape: tuple[int, int, int], kind: str, affine: bool, v_th: float) -> None:
    T, _, C = shape
    x = currents(seed, *shape)
    norm = batch_norm(kind, C, T, affine, v_th).double()
    p_T = torch.ones(T, dtype=torch.float64)
    if kind == "tebn" and affine:
        p_T = torch.rand(T, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        norm.p.data.copy_(p_T)
    y = norm(x.flatten(0, 1))
    torch.testing.assert_close(y.unflatten(0, shape[:2]), wanted(kind, x, v_th, p_T), rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_uses_what_training_saw(kind: str) -> None:
    """Of one batch, weighed whole: the same answer but for the variance's correction."""
    norm = batch_norm(kind, 2, 3, True, 0.5).double()
    norm.momentum = None
    x = currents(0, 3, 40, 2).flatten(0, 1)
    torch.testing.assert_close(norm(x), norm.eval()(x), rtol=5e-3, atol=5e-3)
    torch.testing.assert_close(norm(x[::40]), norm(x)[::40], rtol=1e-12, atol=1e-12)  # a sample does not see its batch


@pytest.mark.parametrize("kind", KINDS)
def test_all_numbers_learn(kind: str) -> None:
    norm = batch_norm(kind, 2, 3, True, 0.5).double()
    (norm(currents(1, 3, 4, 2).flatten(0, 1)) ** 3).sum().backward()
    for name, parameter in norm.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name
    assert not list(batch_norm(kind, 2, 3, False, 0.5).parameters())


def test_bntt_knows_its_steps_apart() -> None:
    """Steps of other means are all centred; one norm for all would leave them apart."""
    x = currents(2, 3, 50, 2)
    apart, together = (batch_norm(kind, 2, 3, False, 1.0).double()(x.flatten(0, 1)) for kind in ("bntt", "bn"))
    assert apart.unflatten(0, (3, 50)).mean((1, 3, 4)).abs().max() < 1e-9
    assert together.unflatten(0, (3, 50)).mean((1, 3, 4)).abs().max() > 0.1


def test_faults_are_named() -> None:
    for kind in ("tebn", "bntt"):
        with pytest.raises(ShapeError, match="T = 3 time steps met 4 pictures"):
            batch_norm(kind, 2, 3, True, None)(torch.zeros(4, 2, 3, 3))
    with pytest.raises(ConfigError, match=r"model\.batch_norm: tdbn needs a neuron with a threshold"):
        Site(Shape(2, 2, 4, 4), 1, True, NeuronPart.named("relu"), AttentionPart.named("none"), "tdbn").make_norm()


# In networks

SAMPLE = Shape(1, 3, 8, 8)
MODEL: dict[str, Any] = {"channels": 2, "cells": 3, "time_steps": 3, "neuron": {"name": "plif", "v_th": 0.1}}


def images(seed: int) -> Tensor:
    return 3 * torch.randn(1, 3, *SAMPLE[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(genotype: Any, **options: Any) -> Network:
    with seeded(5, "network"):
        return Network(genotype, SAMPLE, 4, **options).double()


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("space", ["spiking-cells", "darts-cells", "nas-bench-201", "macro", "spikenas", "toy"])
def test_every_norm_of_a_network_is_the_one_asked_for(kind: str, space: str) -> None:
    cells = 8 if space == "macro" else 3
    genotype = build_space(space, {**MODEL, "cells": cells, "batch_norm": kind}).sample(random.Random(0))
    with torch.device("meta"):
        net = Network(genotype, Shape(1, 3, 32, 32), 4)
    plain = [name for name, module in net.named_modules() if type(module) is nn.BatchNorm2d]
    assert not plain
    assert genotype.part("batch_norm") == kind


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("spec", [{"name": "spiking-cells", "nodes": 2}, {"name": "toy"}], ids=lambda s: s["name"])
def test_the_supernet_at_one_hot_weights_is_the_member(kind: str, spec: dict[str, Any]) -> None:
    space: Any = build_space(**spec, model={**MODEL, "batch_norm": kind})
    net = built(space.full(), affine=False)
    uniform = {n: torch.full((len(c.edges), len(c.edges[0].candidates)), 0.3, dtype=torch.float64) for n, c in space.full().cells}
    with torch.no_grad():
        for seed in range(3):
            net(images(seed), uniform)
        for i in range(3):
            genotype = space.sample(random.Random(i))
            member = built(genotype, affine=True)
            member.inherit(net)
            hot = {name: torch.as_tensor(w, dtype=torch.float64) for name, w in space.one_hot(genotype).items()}
            for training in (False, True):
                one, two = net.train(training)(images(9), hot), member.train(training)(images(9))
                assert (one - two).abs().max() <= CLOSE


@pytest.mark.parametrize("kind", NEW)
def test_the_schedule_is_the_fold(kind: str) -> None:
    """Law 9: the schedule runs the operations of such norms as they are, and is exact."""
    space: Any = build_space("spiking-cells", {**MODEL, "batch_norm": kind}, nodes=2)
    fast = built(space.full(), affine=False)
    plain = copy.deepcopy(fast)
    plain.set_scheduled(False)
    found = []
    for net in (fast, plain):
        shapes = {n: (len(c.edges), len(c.edges[0].candidates)) for n, c in space.full().cells}
        generator = torch.Generator().manual_seed(1)
        alpha = {n: torch.randn(s, generator=generator).double().requires_grad_() for n, s in shapes.items()}
        loss = net(images(1), {n: a.softmax(-1) for n, a in alpha.items()}).mean(0).square().sum()
        grads = torch.autograd.grad(loss, [*alpha.values(), *net.parameters()], allow_unused=True)
        found.append([loss.detach(), *(g for g in grads if g is not None), *(b.double() for b in net.buffers())])
    assert len(found[0]) == len(found[1])
    for one, two in zip(*found, strict=True):
        assert float((one - two).abs().max()) <= CLOSE


@pytest.mark.parametrize("kind", NEW)
def test_several_processes_refuse_them(kind: str) -> None:
    """Their statistics would be those of one process."""
    with pytest.raises(ConfigError, match="takes its statistics from one process"):
        with_shared_norms(nn.Sequential(batch_norm(kind, 2, 3, True, 0.5)))
