"""The bilevel rule: what alpha learns from, when, and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nastk.core.cell.cells import LAYERS
from nastk.core.errors import ConfigError, DataError
from nastk.core.events import Notice
from nastk.core.run.run import Run
from nastk.core.run.search import check_fit, search
from nastk.core.types import Split
from nastk.plugins.estimators.costs import Macs
from nastk.strategies.bilevel_config import BilevelState
from nastk.strategies.mixing import derive, mixing_weights, skip_share, skips
from nastk.strategies.unrolled import unrolled_gradient

Prepare = Callable[..., Run]

WHOLE = {"dataset": {"train_images": 80}, "split": {"weights": 0.4, "alpha": 0.4}}
"""Splits of 32 samples: with a batch of 32, an epoch is one step and sees each split whole."""


def whole(run: Run, split: Split) -> tuple[Tensor, Tensor]:
    """All samples of a split."""
    batches = list(run.task.data.unaugmented(split))
    return torch.cat([x for x, _ in batches], dim=1), torch.cat([y for _, y in batches])


def softmaxed(alpha: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mixing weights, written out."""
    return {name: a.exp() / a.exp().sum(-1, keepdim=True) for name, a in alpha.items()}


def states(run: Run, steps: int) -> list[BilevelState]:
    """The states before and after each of some steps."""
    found = [run.strategy.begin(run.context)]
    for step in range(steps):
        run.context.step = step
        found.append(run.strategy.step(run.context, found[-1]))
    return found


@pytest.mark.parametrize("order", [1, 2])
def test_alpha_moves_only_after_the_warm_up(prepare: Prepare, order: int) -> None:
    run = prepare("darts", warmup=2, epochs=4, batch=32, order=order)
    zero, one, two, three = (s.alpha["shared"] for s in states(run, 3))
    assert torch.equal(zero, one)
    assert torch.equal(one, two)
    assert (two != three).all()


def test_begin_is_nearly_uniform_and_seeded(prepare: Prepare) -> None:
    alphas = [states(prepare("darts", seed=seed), 0)[0].alpha["shared"] for seed in (0, 0, 1)]
    assert torch.equal(alphas[0], alphas[1])
    assert not torch.equal(alphas[0], alphas[2])
    assert 0 < alphas[0].abs().max() < 0.01


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_first_order_gradient_is_that_of_the_held_out_loss(prepare: Prepare, decay: float) -> None:
    """Adam's first moment after one step is ``(1 - beta1) (gradient + decay alpha)``; the gradient is computed here anew."""
    run = prepare("darts", tables=WHOLE, warmup=0, epochs=2, batch=32, alpha_decay=decay, alpha_beta1=0.25, alpha_lr=0.02)
    before, after = states(run, 1)
    before.alpha["shared"] += torch.linspace(-1, 1, 12).view(3, 4)  # away from uniform, so that decay weighs
    after = run.strategy.step(run.context, before)

    supernet = run.context.supernet()
    supernet.load_state_dict(before.weights)
    alpha = before.alpha["shared"].clone().requires_grad_()
    x, y = whole(run, Split.ALPHA)
    assert len(y) == 32
    loss = torch.nn.functional.cross_entropy(supernet(x, softmaxed({"shared": alpha})).mean(0), y)
    (grad,) = torch.autograd.grad(loss, [alpha])
    wanted = 0.75 * (grad + decay * alpha.detach())
    torch.testing.assert_close(after.alpha_optimizer["shared"]["exp_avg"], wanted, rtol=1e-3, atol=1e-6)
    step = 0.02 * torch.sign(wanted)  # the first step of Adam
    clear = wanted.abs() > 1e-4
    torch.testing.assert_close((before.alpha["shared"] - after.alpha["shared"])[clear], step[clear], rtol=1e-2, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_step_uses_the_other_split_the_new_alpha_and_decay(prepare: Prepare, decay: float) -> None:
    """One SGD step: ``w - lr (clipped gradient + decay w)``."""
    run = prepare("darts", tables=WHOLE, warmup=0, epochs=2, batch=32, lr=0.05, weight_decay=decay, clip=0.01, alpha_lr=0.5)
    before, after = states(run, 1)
    supernet = run.context.supernet()
    supernet.load_state_dict(before.weights)
    x, y = whole(run, Split.WEIGHTS)
    loss = torch.nn.functional.cross_entropy(supernet(x, softmaxed(after.alpha)).mean(0), y)
    names, parameters = zip(*supernet.named_parameters(), strict=True)
    grads = torch.autograd.grad(loss, parameters)
    norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
    assert norm > 0.01, "the clip must matter"
    for name, p, g in zip(names, parameters, grads, strict=True):
        wanted = p.detach() - 0.05 * (g * 0.01 / norm + decay * p.detach())
        torch.testing.assert_close(after.weights[name], wanted, rtol=1e-3, atol=1e-6)


def test_both_optimizers_go_on_from_epoch_to_epoch(prepare: Prepare) -> None:
    """One step an epoch: Adam counts on, and SGD's step is along a velocity that remembers the one before."""
    run = prepare("darts", tables=WHOLE, warmup=0, epochs=3, batch=32, lr=0.2, lr_min=0.2, weight_decay=0.0, momentum=0.8)
    _, one, two, three = states(run, 3)
    assert [float(s.alpha_optimizer["shared"]["step"]) for s in (one, two, three)] == [1, 2, 3]
    moments = [s.alpha_optimizer["shared"]["exp_avg"] for s in (one, two)]
    supernet = run.context.supernet()
    supernet.load_state_dict(one.weights)
    alpha = one.alpha["shared"].clone().requires_grad_()
    x, y = whole(run, Split.ALPHA)
    (grad,) = torch.autograd.grad(run.task.loss(supernet(x, softmaxed({"shared": alpha})), y), [alpha])
    wanted = 0.5 * moments[0] + 0.5 * (grad + 1e-3 * alpha.detach())
    torch.testing.assert_close(moments[1], wanted, rtol=1e-3, atol=1e-6)
    x, y = whole(run, Split.WEIGHTS)
    names, parameters = zip(*supernet.named_parameters(), strict=True)
    grads = torch.autograd.grad(run.task.loss(supernet(x, softmaxed(two.alpha)), y), parameters)
    for name, p, g in zip(names, parameters, grads, strict=True):
        velocity = 0.8 * one.optimizer[name]["momentum_buffer"] + g
        torch.testing.assert_close(two.weights[name], p.detach() - 0.2 * velocity, rtol=1e-3, atol=1e-6)


def test_second_order_uses_the_momentum_and_learning_rate_of_the_weights(prepare: Prepare) -> None:
    """The gradient of the second step, when SGD has a velocity, computed anew from the state before."""
    plain_adam = {"alpha_decay": 0.0, "alpha_beta1": 0.0}
    run = prepare("darts", tables=WHOLE, warmup=1, epochs=4, batch=32, order=2, lr=0.3, lr_min=0.1, **plain_adam)
    _, before, after = states(run, 2)
    supernet = run.context.supernet()
    supernet.load_state_dict(before.weights)
    alpha = before.alpha["shared"].clone().requires_grad_()
    named = dict(supernet.named_parameters())
    train, held = whole(run, Split.WEIGHTS), whole(run, Split.ALPHA)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return run.task.loss(supernet(batch[0], softmaxed({"shared": alpha})), batch[1])

    velocities = [0.9 * before.optimizer[name]["momentum_buffer"] for name in named]
    rate = 0.1 + 0.2 * (1 + math.cos(math.pi / 4)) / 2
    (wanted,) = unrolled_gradient(lambda: loss(train), lambda: loss(held), list(named.values()), [alpha], rate, velocities, 3e-4)
    found = after.alpha_optimizer["shared"]["exp_avg"]
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=float(wanted.abs().max()) * 1e-2)
    (plain,) = torch.autograd.grad(loss(held), [alpha])
    assert (plain - wanted).norm() > 0.1 * wanted.norm(), "the second order must matter here"


def test_cap_that_no_member_meets_is_refused(prepare: Prepare) -> None:
    tables = {"space": {"name": "spiking-cells", "nodes": 2, "operations": ["none", "skip_connect"]}}
    with pytest.raises(ConfigError, match="max_skips"):
        prepare("darts", tables=tables, guard={"max_skips": 1})
    assert prepare("darts", tables=tables).space.size > 0


def test_search_stops_when_skips_take_over(prepare: Prepare) -> None:
    """Any skip is too many here, and with nothing but skips and pooling there soon is one."""
    tables = {"space": {"operations": ["skip_connect", "avg_pool_3x3"]}}
    run = prepare("darts", seed=1, tables=tables, warmup=1, epochs=6, batch=32, guard={"stop_skips": 0})
    heard: list[Any] = []
    run.context.emit = heard.append
    found = search(run.strategy, run.context, run.store)
    assert skips(found.genotype) > 0
    assert 2 <= found.steps < 6, "not in the warm-up, and before the planned end"
    notices = [event.text for event in heard if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "skip" in notices[0]
    free = prepare("darts", seed=1, tables=tables, warmup=1, epochs=6, batch=32)
    assert search(free.strategy, free.context, free.store).steps == 6


def test_figures_of_a_step(prepare: Prepare) -> None:
    """What a reader of the metrics relies on; the last step says what discretisation costs."""
    run = prepare("darts", warmup=0, epochs=2, batch=32, tables={"model": {"neuron": "plif", "time_steps": 2}})
    first, last = (run.strategy.figures(s) for s in states(run, 2)[1:])
    assert 0 <= last["accuracy"] <= 1
    assert 0 <= last["valid_accuracy"] <= 1
    assert 0 <= last["entropy"] <= 1
    assert last["nos"]["train"]["total"] > 0
    assert sum(last["nos"]["validation"]["cells"]) <= last["nos"]["validation"]["total"]
    assert "discretisation_gap" not in first
    assert abs(last["discretisation_gap"]) <= 1
    table = torch.tensor(last["weights"]["shared"])
    torch.testing.assert_close(table.sum(-1), torch.ones(3), rtol=0, atol=1e-4)
    assert last["genotype"] == derive(run.space, {"shared": table}, None).digest
    assert last["skip_share"] == skip_share(derive(run.space, {"shared": table}, None))


def test_cost_penalty_drives_expected_macs_down(prepare: Prepare) -> None:
    settings_ = {"warmup": 0, "epochs": 3, "batch": 16, "alpha_lr": 0.2}
    found = {}
    for weight in (0.0, 30.0):
        run = prepare("darts", penalty="macs", penalty_weight=weight, **settings_)
        weights_ = mixing_weights(states(run, 3)[-1].alpha, None)
        found[weight] = float(Macs().expected(run.space.full(), run.task.data.shape, run.task.outputs, weights_))
    assert found[30.0] < 0.7 * found[0.0]


def test_cost_penalty_is_relative_to_the_uniform_supernet(prepare: Prepare) -> None:
    """Weight times (cost over cost at uniform): at uniform alpha, a loss higher by just the weight."""
    run = prepare("darts", tables=WHOLE, warmup=0, epochs=1, batch=32, penalty="macs", penalty_weight=2.0, alpha_beta1=0.0)
    plain = prepare("darts", tables=WHOLE, warmup=0, epochs=1, batch=32, alpha_beta1=0.0)
    grads = [states(r, 1)[-1].alpha_optimizer["shared"]["exp_avg"] for r in (run, plain)]
    alpha = states(run, 0)[0].alpha["shared"].requires_grad_()
    uniform = {"shared": torch.full((3, 4), 0.25)}
    cost = Macs().expected(run.space.full(), run.task.data.shape, run.task.outputs, softmaxed({"shared": alpha}))
    unit = Macs().expected(run.space.full(), run.task.data.shape, run.task.outputs, uniform)
    (wanted,) = torch.autograd.grad(2.0 * cost / unit, [alpha])
    torch.testing.assert_close(grads[0] - grads[1], wanted.float(), rtol=1e-3, atol=1e-6)


def test_spike_penalty_drives_spikes_down(prepare: Prepare) -> None:
    """Where each operation's current alone is normalised: a node's own norm would undo what alpha can do about firing."""
    space = {"name": "spiking-cells", "nodes": 2, "norm": "operation"}
    tables = {"space": space, "model": {"neuron": "plif", "time_steps": 2, "channels": 4}}
    settings_ = {"warmup": 0, "epochs": 5, "batch": 16, "alpha_lr": 0.2, "lr": 0.001, "nos_target": 100.0}
    spikes, none = {}, {}
    for weight in (0.0, 50.0):
        last = states(prepare("darts", tables=tables, nos_weight=weight, **settings_), 5)[-1]
        spikes[weight] = last.figures["nos"]["validation"]["total"]
        none[weight] = float(mixing_weights(last.alpha, None)["reduce"][:, 0].mean())
    assert spikes[50.0] < 0.97 * spikes[0.0]
    assert none[50.0] > 2 * none[0.0]


def test_open_parts_are_for_strategies_that_sample(prepare: Prepare) -> None:
    tables = {"model": {"neuron": {"choices": ["plif", "lif"]}, "time_steps": 2}}
    with pytest.raises(ConfigError, match=r"cannot search model.neuron.*random-search") as caught:
        prepare("darts", tables=tables)
    assert "\n" not in str(caught.value)
    run = prepare("random-search", tables=tables, trials=2, epochs=1)
    found = search(run.strategy, run.context, run.store)
    assert found.genotype in run.space
    assert found.genotype.part("neuron") in ("plif", "lif")


def test_a_space_that_is_not_relaxable_is_refused(prepare: Prepare) -> None:
    run = prepare("darts")

    class Plain:
        """No space with a supernet."""

    run.context.space = Plain()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"'darts' needs a Relaxable space.*spiking-cells"):
        check_fit(run.strategy, run.context)


def test_a_batch_larger_than_a_split_is_refused_at_once(prepare: Prepare) -> None:
    with pytest.raises(DataError, match="batch of 65 is larger than the 64 samples of weights"):
        prepare("darts", batch=65)


@pytest.mark.parametrize("strategy", ["darts", "ma-darts"])
def test_layer_level_is_searched_end_to_end(prepare: Prepare, strategy: str) -> None:
    tables = {
        "space": {"name": "spiking-cells", "nodes": 2, "layer_level": "searched"},
        "model": {"neuron": "plif", "time_steps": 1, "cells": 3},
    }
    run = prepare(strategy, tables=tables, warmup=1, epochs=2, batch=32, alpha_lr=0.3)
    begin, _, last = states(run, 2)
    assert begin.alpha[LAYERS].shape == (2, 4, 2)
    assert not torch.equal(begin.alpha[LAYERS], last.alpha[LAYERS])
    (genotype,) = run.strategy.recommend(run.context, last)
    assert genotype in run.space
    path = str(genotype.part(LAYERS))
    assert len(path) == 3
    assert path[0] == "0"
    assert path.isdigit()
    assert "discretisation_gap" in last.figures


def test_a_cost_of_a_searched_path_is_refused(prepare: Prepare) -> None:
    tables = {"space": {"name": "spiking-cells", "nodes": 2, "layer_level": "searched"}, "model": {"cells": 3}}
    with pytest.raises(ConfigError, match=r"strategy\.penalty"):
        prepare("darts", tables=tables, penalty="macs")
