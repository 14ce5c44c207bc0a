"""Expected synaptic operations in alpha's loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nastk.core.errors import ConfigError
from nastk.core.model.counting import SpikeCounter
from nastk.core.types import Split
from nastk.plugins.estimators.costs import Macs
from nastk.strategies.bilevel_config import BilevelConfig
from nastk.strategies.penalty import Penalty

SPIKING = {"model": {"neuron": {"name": "plif", "v_th": 0.1}, "time_steps": 2}}


def test_it_is_the_firing_rate_times_the_expected_macs(prepare: Any) -> None:
    run = prepare("darts", tables=SPIKING)
    supernet = run.context.supernet()
    alpha = {"shared": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()}
    batch = next(run.task.data.batches(16, 0, "test", splits=[Split.ALPHA]))

    def learned(weight: float) -> Any:
        return Penalty(BilevelConfig(sops_weight=weight), run.context, supernet)({"shared": alpha["shared"].softmax(-1)}, batch)

    plain, paid = learned(0.0), learned(2.0)
    mixing = {"shared": alpha["shared"].softmax(-1)}
    with SpikeCounter(supernet) as counter:
        supernet(batch[0], mixing)
        counter.saw(len(batch[1]))
    question = run.space.full(), run.task.data.shape, run.task.outputs
    share = Macs().expected(*question, mixing) / Macs().expected(*question, {"shared": torch.full((3, 4), 0.25)})
    assert 0 < counter.firing_rate() < 1
    torch.testing.assert_close(paid.total - plain.total, 2 * counter.rate() * share, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(paid.task, plain.total)
    (grad,) = torch.autograd.grad(paid.total - plain.total, [alpha["shared"]])
    assert bool(grad.abs().sum() > 0)


def test_it_drives_the_cost_down(prepare: Any) -> None:
    """With a heavy weight alpha leaves the convolutions."""
    costs = {}
    for weight in (0.0, 100.0):
        run = prepare("darts", tables=SPIKING, warmup=0, epochs=3, batch=16, alpha_lr=0.2, lr=0.001, sops_weight=weight)
        state = run.strategy.begin(run.context)
        for _ in range(3):
            state = run.strategy.step(run.context, state)
            run.context.step += 1
        mixing = {"shared": state.alpha["shared"].softmax(-1)}
        costs[weight] = float(Macs().expected(run.space.full(), run.task.data.shape, run.task.outputs, mixing))
    assert costs[100.0] < 0.8 * costs[0.0]


def test_a_network_that_does_not_spike_has_none(prepare: Any) -> None:
    run = prepare("darts")
    with pytest.raises(ConfigError, match=r"strategy\.sops_weight: the network has no spiking neurons"):
        Penalty(BilevelConfig(sops_weight=1.0), run.context, run.context.supernet())
