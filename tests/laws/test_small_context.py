"""The small context notes what is asked of it, and is otherwise what a run lends; tensors have the sides asked for."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.config import StrategyPart
from nastk.core.errors import ConfigError
from nastk.core.events import Notice, Progress
from nastk.core.laws.law import LawBroken
from nastk.core.laws.watch import elsewhere
from nastk.core.run.trial import Proposal
from nastk.core.types import Split
from nastk.testing import sequences, small_context

torch.set_num_threads(1)


def test_it_lends_what_a_run_lends() -> None:
    context = small_context("ma-darts", seed=7)
    assert context.space.size == 4**3
    assert context.config.model.attention.values[0].name == "cbam", "the defaults of the strategy hold"
    assert (context.seed, context.step, context.config.budget.steps) == (7, 0, 3)
    assert context.task.data.size(Split.WEIGHTS) == context.task.data.size(Split.ALPHA) == 32
    assert context.strategy.steps == 8
    assert small_context(space={"name": "toy", "operations": ["conv_3x3"]}).space.size == 1
    assert small_context(model={"channels": 4}, budget={"evaluations": 2}).config.budget.evaluations == 2


@pytest.mark.parametrize("batch", [2, 32, 33, 50])
def test_there_are_images_for_one_batch_of_each_half(batch: int) -> None:
    context = small_context(StrategyPart.named("darts", batch=batch))
    assert context.task.data.steps(batch, Split.WEIGHTS) >= 1
    assert context.task.data.steps(batch, Split.ALPHA) >= 1
    own = small_context("darts", dataset={"name": "synthetic", "size": 8, "train_images": 160})
    assert own.task.data.size(Split.WEIGHTS, Split.ALPHA, Split.VALID) == 160


def test_it_notes_trials_splits_and_events() -> None:
    context = small_context()
    proposals = [Proposal(context.space.sample(random.Random(i)), 1) for i in (0, 1, 0)]
    reports = context.evaluate(proposals)
    assert context.watch.trials == proposals[:2]
    assert [report.figures["seconds"] for report in reports] == [1.0] * 3
    assert context.watch.splits == [Split.WEIGHTS, Split.ALPHA, Split.VALID] * 2
    assert context.watch.events == [Progress("search", 0.5), Progress("search", 1.0)]
    next(context.batches(Split.ALPHA, 4, "a look"))
    context.emit(Notice("hello"))
    assert context.watch.splits[-1] is Split.ALPHA
    assert context.watch.events[-1] == Notice("hello")


def test_trials_fail_where_they_are_told_to() -> None:
    context = small_context()
    context.failing = True
    (report,) = context.evaluate([Proposal(context.space.sample(random.Random(0)), 1)])
    assert report.accuracy == -1.0
    assert "fails" in str(report.failure)


def test_the_test_data_are_sealed() -> None:
    context = small_context()
    with pytest.raises(LawBroken, match="asked for the test data"):
        context.config.dataset.build().test()
    assert context.watch.tests == 1
    opened = small_context(sealed=False)
    assert len(opened.config.dataset.build().test().y) == 16
    assert opened.watch.tests == 1


def test_it_refuses_as_a_run_does() -> None:
    with pytest.raises(ConfigError, match="unknown setting"):
        small_context({"name": "darts", "epocs": 3})
    with pytest.raises(ConfigError, match="cannot search model"):
        small_context("darts", model={"time_steps": {"choices": [1, 2]}})


def test_elsewhere_moves_every_global_generator_and_puts_it_back() -> None:
    def drawn() -> list[float]:
        return [torch.rand(()).item(), random.random(), float(np.random.rand())]

    with elsewhere(1):
        first, start = drawn(), torch.initial_seed()
        with elsewhere(2):
            inner = drawn()
            assert torch.initial_seed() != start
        following = drawn()
    with elsewhere(1):
        assert drawn() + drawn() == first + following
    assert all(a != b for a, b in zip(first, inner, strict=True))


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_sequences_have_the_sides_asked_for(data: st.DataObject) -> None:
    x_TBCHW: Any = data.draw(sequences(T=range(2, 5), B=3, C=range(1, 3), H=4, W=range(4, 9, 2)))
    T, B, C, H, W = x_TBCHW.shape
    assert T in (2, 3, 4)
    assert (B, H) == (3, 4)
    assert C in (1, 2)
    assert W in (4, 6, 8)
    assert x_TBCHW.dtype is torch.float32
    assert bool(x_TBCHW.isfinite().all())
