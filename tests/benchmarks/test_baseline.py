"""The baseline of the search-step benchmark is the same function as nastk's supernet, and takes the same step."""

from __future__ import annotations

import itertools
from typing import Any

import baseline
import pytest
import space
import torch
import torch.nn.functional as F
from torch import Tensor

from nastk.core.registry import registry
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.strategies.bilevel_epoch import Epoch

NETS = {"spiking": (baseline.SPIKING, "lif", 2), "relu": (baseline.DARTS, "relu", 0)}
CHANNELS, CELLS, NODES, PIXELS = 4, 3, 2, 8
RATES = {"lr": 0.025, "lr_min": 0.025, "alpha_lr": 3e-4, "warmup": 0}


@pytest.fixture(autouse=True)
def _with_the_space() -> Any:
    space.offer()
    yield
    registry().withdraw(space.DartsLike)


def run_of(net: str, operations: tuple[str, ...]) -> Run:
    """A search of nastk over these operations at tiny size."""
    _, neuron, time_steps = NETS[net]
    document = {
        "space": {"name": "darts-like", "operations": list(operations), "nodes": NODES},
        "strategy": {"name": "darts", "batch": 4, **RATES},
        "dataset": {"name": "synthetic", "size": PIXELS, "channels": 3, "classes": 10, "train_images": 60, "test_images": 10},
        "model": {
            "neuron": neuron,
            "time_steps": max(time_steps, 1),
            "channels": CHANNELS,
            "cells": CELLS,
            "attention": "none",
        },
        "proxy": {"channels": 0, "cells": 0},
        "train": {"batch": 4},
        "device": "cpu",
    }
    return Run(configure(document))


def plain(net: str, operations: tuple[str, ...]) -> baseline.Supernet:
    """The baseline of the same size, in float64."""
    return baseline.Supernet(operations, NETS[net][2], CHANNELS, CELLS, NODES).double()


def without_ties(net: str) -> tuple[str, ...]:
    """All candidates but max-pooling: where neurons are silent its windows tie, and rounding decides who gets the gradient."""
    return tuple(op for op in NETS[net][0] if op != "max_pool_3x3")


def random_alpha(operations: tuple[str, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (len(baseline.cell_edges(NODES)), len(operations))
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name in ("normal", "reduce")}


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 3, PIXELS, PIXELS, generator=generator, dtype=torch.float64)
    return x, torch.randint(10, (4,), generator=generator)


@pytest.mark.parametrize("net", NETS)
def test_loss_of_all_candidates_is_the_same(net: str) -> None:
    operations = NETS[net][0]
    ours, theirs, alpha = run_of(net, operations).context.supernet().double(), plain(net, operations), random_alpha(operations)
    theirs.alpha = {name: torch.zeros_like(a) for name, a in alpha.items()}
    baseline.copy_weights(theirs, ours.state_dict(), alpha)
    x, y = batch(0)
    mixing = {name: a.softmax(-1) for name, a in alpha.items()}
    with torch.no_grad():
        gap = F.cross_entropy(theirs(x), y) - F.cross_entropy(ours(x[None], mixing).mean(0), y)
    assert abs(float(gap)) < 1e-10


@pytest.mark.parametrize("net", NETS)
def test_every_gradient_is_the_same(net: str) -> None:
    operations = without_ties(net)
    ours, theirs, alpha = run_of(net, operations).context.supernet().double(), plain(net, operations), random_alpha(operations)
    theirs.alpha = {name: torch.zeros_like(a).requires_grad_() for name, a in alpha.items()}
    baseline.copy_weights(theirs, ours.state_dict(), alpha)
    x, y = batch(0)
    leaves = {name: a.clone().requires_grad_() for name, a in alpha.items()}
    loss = F.cross_entropy(ours(x[None], {name: a.softmax(-1) for name, a in leaves.items()}).mean(0), y)
    loss.backward()
    plain_loss = F.cross_entropy(theirs(x), y)
    plain_loss.backward()
    assert abs(float((loss - plain_loss).detach())) < 1e-10
    names, mine = baseline.names_in_nastk(theirs), dict(ours.named_parameters())
    assert set(names.values()) == set(ours.state_dict())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(parameter.grad, mine[names[name]].grad, rtol=0, atol=1e-10, msg=name)
        assert parameter.grad.abs().sum() > 0, name
    rows = baseline.rows_in_nastk(NODES)
    for name, a in theirs.alpha.items():
        torch.testing.assert_close(a.grad, leaves[name].grad[rows], rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("net", NETS)
def test_two_steps_of_the_search_are_the_same(net: str) -> None:
    """Both halves, both optimizers, clipping and momentum: the benchmark times one and the same step."""
    operations = without_ties(net)
    run = run_of(net, operations)
    epoch = Epoch(run.strategy.config, run.context, run.strategy.begin(run.context))
    epoch.supernet.double().train()
    for a in epoch.alpha.values():
        a.data = a.data.double()
    theirs = plain(net, operations)
    theirs.alpha = {name: a.detach().clone().requires_grad_() for name, a in epoch.alpha.items()}
    baseline.copy_weights(theirs, epoch.supernet.state_dict(), {n: a.detach() for n, a in epoch.alpha.items()})
    step = baseline.SearchStep(theirs)
    train, held = batch(0), batch(1)
    epoch._alpha_batches = itertools.repeat((held[0][None], held[1]))
    before = {name: a.detach().clone() for name, a in theirs.alpha.items()}
    for _ in range(2):
        _, loss = step(train, held)
        our_loss, *_ = epoch._update((train[0][None], train[1]))
        assert abs(float(loss - our_loss)) < 1e-9
    names, mine = baseline.names_in_nastk(theirs), dict(epoch.supernet.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(parameter, mine[names[name]], rtol=0, atol=1e-8, msg=name)
    rows = baseline.rows_in_nastk(NODES)
    for name, a in theirs.alpha.items():
        assert (a - before[name]).abs().max() > 1e-5
        torch.testing.assert_close(a, epoch.alpha[name][rows], rtol=0, atol=1e-8, msg=name)
