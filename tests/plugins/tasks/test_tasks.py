"""``classification`` and ``tet``: their formulas written out another way, SpikingJelly's, and whole runs."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nastk
from nastk.core.config import DatasetPart, TaskPart
from nastk.core.data.splits import TrainingData
from nastk.core.data.task import Task
from nastk.core.errors import ConfigError
from nastk.core.settings import SplitConfig

torch.set_num_threads(1)
DATA = TrainingData(
    DatasetPart.named("synthetic", train_images=40, test_images=10, size=8).build(), SplitConfig(), 0, torch.device("cpu")
)


def task(name: str, **config: Any) -> Task:
    built: Task = TaskPart.named(name, **config).build(DATA)
    return built


def batch(T: int, B: int, K: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(T, B, K, generator=generator, dtype=torch.float64)
    return logits, torch.randint(K, (B,), generator=generator)


batches = st.builds(batch, st.integers(1, 5), st.integers(1, 6), st.integers(2, 7), st.integers(0, 10**6))
shares = st.sampled_from([0.0, 0.1, 1.0]) | st.floats(0, 1)


def cross_entropy(logits: list[float], label: int, smoothing: float) -> float:
    """Of one sample, in plain numbers: the label has 1 - smoothing and a K-th of it, every other class a K-th of it."""
    top = max(logits)
    total = top + math.log(sum(math.exp(z - top) for z in logits))
    wanted = [smoothing / len(logits) + (1 - smoothing) * (k == label) for k in range(len(logits))]
    return sum(share * (total - z) for share, z in zip(wanted, logits, strict=True))


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@settings(deadline=None, max_examples=30)
@given(batches, shares)
def test_classification_is_the_cross_entropy_of_the_mean_over_time(pair: tuple[Tensor, Tensor], smoothing: float) -> None:
    logits, y = pair
    rows = logits.mean(0).tolist()
    wanted = mean([cross_entropy(row, label, smoothing) for row, label in zip(rows, y.tolist(), strict=True)])
    assert float(task("classification").loss(logits, y, smoothing)) == pytest.approx(wanted, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches, shares, shares, st.floats(-2, 2))
def test_tet_is_its_formula(pair: tuple[Tensor, Tensor], smoothing: float, lamb: float, phi: float) -> None:
    logits, y = pair
    steps = [
        mean([cross_entropy(row, label, smoothing) for row, label in zip(rows, y.tolist(), strict=True)])
        for rows in logits.tolist()
    ]
    penalty = mean([(z - phi) ** 2 for z in logits.flatten().tolist()])
    wanted = (1 - lamb) * mean(steps) + lamb * penalty
    assert float(task("tet", lamb=lamb, phi=phi).loss(logits, y, smoothing)) == pytest.approx(wanted, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.builds(batch, st.just(1), st.integers(1, 6), st.integers(2, 7), st.integers(0, 10**6)), shares)
def test_at_one_time_step_they_agree(pair: tuple[Tensor, Tensor], smoothing: float) -> None:
    one, two = (task(name).loss(*pair, smoothing) for name in ("tet", "classification"))
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(batches)
def test_tet_asks_more_than_classification(pair: tuple[Tensor, Tensor]) -> None:
    """Jensen: cross-entropy is convex, so the mean of the steps' losses is no less than the loss of their mean."""
    assert float(task("tet").loss(*pair)) >= float(task("classification").loss(*pair)) - 1e-12


@settings(deadline=None, max_examples=20)
@given(batches)
def test_the_mean_over_time_decides(pair: tuple[Tensor, Tensor]) -> None:
    logits, y = pair
    sums = logits.sum(0).tolist()
    right = sum(row[label] == max(row) for row, label in zip(sums, y.tolist(), strict=True))
    for name in ("classification", "tet"):
        assert int(task(name).correct(logits, y)) == right
        assert task(name).outputs == DATA.classes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("T", "B", "K"), [(1, 4, 10), (4, 3, 5), (8, 1, 2)])
def test_spikingjelly(T: int, B: int, K: int) -> None:
    """Its helper is ``lamb = 0``: equal values and gradients."""
    theirs = pytest.importorskip("spikingjelly.activation_based.functional.loss", exc_type=ImportError)
    logits, y = batch(T, B, K, seed=T)
    logits.requires_grad_()
    ours = task("tet").loss(logits, y)
    wanted = theirs.temporal_efficient_training_cross_entropy(logits, y)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)
    one, two = (torch.autograd.grad(loss, logits)[0] for loss in (ours, wanted))
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lamb", [0.0, 0.001, 0.3])
def test_spikingjelly_with_the_penalty(lamb: float) -> None:
    """The loss module of its examples has the penalty too."""
    theirs = pytest.importorskip("spikingjelly.activation_based.examples.memopt.loss", exc_type=ImportError)
    logits, y = batch(4, 3, 5, seed=1)
    wanted = theirs.TETLoss(mean=0.7, tet_lambda=lamb)(logits, y)
    torch.testing.assert_close(task("tet", lamb=lamb, phi=0.7).loss(logits, y), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", [{"lamb": -0.1}, {"lamb": 1.5}, {"phi": "one"}, {"lambda": 0.1}])
def test_settings_are_checked(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        task("tet", **setting)


SMALL: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 40},
    "model": {"channels": 2, "cells": 2, "time_steps": 2, "neuron": {"name": "plif", "v_th": 0.1}},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"epochs": 2, "batch": 16},
    "device": "cpu",
}


def losses(directory: Path, stage: str) -> list[float]:
    from nastk.core.run.metrics import read

    lines = read(directory / "metrics.jsonl")
    return [line["figures"]["loss"] for line in lines if line["event"] == "step" and line["stage"] == stage]


@pytest.mark.parametrize("search", [{"name": "ma-darts", "epochs": 1, "warmup": 0}, {"name": "random-search", "trials": 1}])
def test_a_run_with_tet(search: dict[str, Any], tmp_path: Path) -> None:
    """It finishes, keeps its task, and the task is what search, training and test are about."""
    result = nastk.run(SMALL, strategy=search, task="tet", set=["task.lamb=0.25"], out=tmp_path / "run")
    assert result["status"] == "done"
    assert 0 <= result["test"]["accuracy"] <= 1
    kept = tomllib.loads((tmp_path / "run" / "manifest.toml").read_text())["config"]["task"]
    assert kept == {"name": "tet", "lamb": 0.25, "phi": 1.0}


def test_the_task_is_what_is_trained(tmp_path: Path) -> None:
    """Same genotype, seed and data: the losses are the task's."""
    genotype = nastk.search(SMALL, strategy={"name": "ma-darts", "epochs": 1, "warmup": 0}, out=tmp_path / "search")
    found = {}
    for name, chosen in (("mean", "classification"), ("tet", "tet"), ("held", {"name": "tet", "lamb": 1.0, "phi": 5.0})):
        nastk.train(genotype, SMALL, task=chosen, out=tmp_path / name)
        found[name] = losses(tmp_path / name, "train")
    assert found["mean"][0] != found["tet"][0]
    assert found["held"][0] > 5 > found["tet"][0]  # logits near zero, held at five
