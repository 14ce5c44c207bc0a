"""Searches and trainings that diverge: named with place and step, tried again at a lower rate, resumed to the bit."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings
from torch import nn

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.errors import Diverged
from nastk.core.model.network import Network
from nastk.core.model.neuron import ThresholdNeuron
from nastk.core.run.metrics import read
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext
from nastk.core.run.training import Trainer
from nastk.strategies.bilevel_epoch import Epoch
from tests.faults.conftest import STRATEGIES, TINY, Killed, end, moments, same, settings, whole

TRAIN: dict[str, Any] = TINY["train"]
HUGE, FACTOR = 2.0**60, 2.0**-63
"""A learning rate that no training survives, and what makes 1/8 of it without any rounding."""
STEPS = 10
"""Of an epoch of training."""
Plant = Callable[[Network], None]
Plants = Callable[[str, Plant], None]


def notices(directory: Path) -> list[str]:
    return [entry["text"] for entry in read(directory / "metrics.jsonl") if entry["event"] == "notice"]


def spoiling(module: str, clock: str, at: int) -> Plant:
    """The output of a module becomes NaN in its pass number ``at`` (from 0), as the norm ``clock`` counts them."""

    def plant(network: Network) -> None:
        counting = network.get_submodule(clock)

        def spoil(_module: nn.Module, _args: Any, output: Any) -> Any:
            late = network.training and int(counting.num_batches_tracked) == at  # type: ignore[arg-type]
            return output * math.nan if late else None

        network.get_submodule(module).register_forward_hook(spoil)

    return plant


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Plants:
    """``planted("train", plant)``: changes every network of that stage as soon as it is built."""

    def change(stage: str, plant: Plant) -> None:
        owner, name = (Run, "build") if stage == "train" else (SearchContext, "supernet")
        make = getattr(owner, name)

        def made(*args: Any, **options: Any) -> Network:
            network: Network = make(*args, **options)
            plant(network)
            return network

        monkeypatch.setattr(owner, name, made)

    return change


def convolutions(tables: dict[str, Any]) -> Genotype:
    """The member whose edges are all convolutions 3x3."""
    space = Run(configure(tables)).space
    return space.decode([d.options.index("conv_3x3") if "conv_3x3" in d.options else 0 for d in space.decisions])


@pytest.mark.parametrize("minutes", [1e-9, 5.0], ids=["kept every batch", "kept every epoch"])
def test_the_place_of_a_nan_in_training(tmp_path: Path, planted: Plants, minutes: float) -> None:
    """Cell, edge, operation and step; the last good checkpoint is whole."""
    tables = settings("darts", minutes, model={"channels": 2, "cells": 3})
    edge = "body.cells.2.edges.1_2.ops.conv_3x3.block"
    planted("train", spoiling(f"{edge}.0", f"{edge}.1", STEPS + 2))
    with pytest.raises(Diverged) as caught:
        nastk.train(convolutions(tables), tables, out=tmp_path / "run")
    text = str(caught.value)
    assert re.match(r"The gradient became nan in train, epoch 2, step 3: lower the learning rate\. ", text), text
    assert "The first activation that is not finite is in cell 2 (reduction), edge 1->2, conv_3x3." in text
    assert text.endswith("The last good checkpoint is kept.")
    assert caught.value.exit_code == 2
    saved = RunDirectory(tmp_path / "run").load("train")
    assert saved is not None
    assert saved["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in saved["weights"].values())


def test_the_place_of_a_nan_in_a_search(tmp_path: Path, planted: Plants) -> None:
    """An operation of the supernet, which the schedule of its training does not call by itself."""

    def plant(supernet: Network) -> None:
        clock = supernet.get_submodule("body.cells.0.norms.2")
        kernel = supernet.get_parameter("body.cells.0.edges.1_2.ops.conv_3x3.block.0.weight")

        def grow(*_: Any) -> None:
            if supernet.training and int(clock.num_batches_tracked) == 3:  # type: ignore[arg-type]
                kernel.data.fill_(3e38)

        supernet.get_submodule("body.cells.0.norms.2").register_forward_hook(grow)

    planted("search", plant)
    with pytest.raises(Diverged) as caught:
        nastk.run(settings("darts", 5.0), out=tmp_path / "run")
    where = "in search, epoch 1, step 4"
    assert re.match(rf"The (loss|gradient) became (nan|inf) {where}: lower the learning rate\. ", str(caught.value))
    assert "is in cell 0 (reduction), edge 1->2, conv_3x3. The last good" in str(caught.value)


def test_an_exploding_gradient_is_named_with_its_part(tmp_path: Path) -> None:
    with pytest.raises(Diverged) as caught:
        nastk.run(settings("darts", 5.0, train={**TRAIN, "lr": 1e3}, divergence={"explosion": 1e3}), out=tmp_path / "run")
    text = str(caught.value)
    assert re.match(r"The gradient exploded in train, epoch \d, step \d+, to a norm of .*explosion = 1000", text)
    assert re.search(r"The largest gradient is that of (the encoder|cell 0 \(reduction\)), \d+ % of the norm", text)


def test_a_huge_rate_is_named_by_what_it_does(tmp_path: Path) -> None:
    """The backward pass alone: no loss and no activation has become infinite yet."""
    with pytest.raises(Diverged, match=r"became nan .* the first gradient that is not is that of cell 0 \(reduction\), "):
        nastk.run(settings("darts", 5.0, train={**TRAIN, "lr": HUGE}), out=tmp_path / "run")


def test_a_dead_network_is_told_once_a_stage(tmp_path: Path) -> None:
    neuron = {"name": "plif", "v_th": 1e4}
    nastk.run(settings("darts", 5.0, model={"channels": 2, "cells": 1, "neuron": neuron}), out=tmp_path / "run")
    told = [text for text in notices(tmp_path / "run") if "never fired" in text]
    assert [text.partition(". ")[0] for text in told] == [
        "Neurons that never fired in search, epoch 1: the whole network",
        "Neurons that never fired in train, epoch 1: the whole network",
    ]
    assert all("model.neuron.v_th" in text for text in told)


def test_a_dead_cell_is_told_by_its_number(tmp_path: Path, planted: Plants) -> None:
    def plant(network: Network) -> None:
        for module in network.get_submodule("body.cells.1").modules():
            if isinstance(module, ThresholdNeuron):
                module.firing = evolve(module.firing, v_th=1e4)

    planted("train", plant)
    nastk.run(settings("darts", 5.0, model={"channels": 2, "cells": 2}), out=tmp_path / "run")
    (told,) = [text for text in notices(tmp_path / "run") if "never fired" in text]
    assert told.startswith("Neurons that never fired in train, epoch 1: cell 1 (reduction). ")


@pytest.mark.parametrize("strategy", ["darts", pytest.param("random-sampling-with-weight-sharing", marks=pytest.mark.slow)])
def test_a_search_tried_again_is_the_search_at_the_lower_rate(tmp_path: Path, strategy: str) -> None:
    """It diverges in its first epoch, so all of it is done at 1/8: equal to the bit to the search that began there."""
    with pytest.MonkeyPatch.context() as patch:
        rates = {"lr": HUGE, "lr_min": HUGE} | ({"alpha_lr": 0.3} if strategy == "darts" else {})
        patch.setitem(STRATEGIES, strategy, STRATEGIES[strategy] | rates)
        tries = {"retries": 1, "factor": FACTOR}
        result = nastk.run(settings(strategy, 5.0, divergence=tries), out=tmp_path / "again")
        lower = {name: rate * FACTOR for name, rate in rates.items()}
        patch.setitem(STRATEGIES, strategy, STRATEGIES[strategy] | lower)
        nastk.run(settings(strategy, 5.0, divergence=tries), out=tmp_path / "lower")
    (retry,) = result["search"]["retries"]
    assert (retry["after"], retry["rate"]) == (0, FACTOR)
    assert "in search, epoch 1, step" in retry["reason"]
    assert any("(retry 1 of 1)" in text for text in notices(tmp_path / "again"))
    again, other = end(tmp_path / "again"), end(tmp_path / "lower")
    again["result"]["search"].pop("retries"), other["result"]["search"].pop("retries")
    again["search"].pop("retries"), other["search"].pop("retries")
    same(again, other)
    assert nastk.verify(tmp_path / "again", 2).holds


def test_a_training_tried_again_is_the_training_at_the_lower_rate(tmp_path: Path) -> None:
    tables = settings("darts", 5.0, train={**TRAIN, "lr": HUGE}, divergence={"retries": 1, "factor": FACTOR})
    wanted = convolutions(tables)
    nastk.train(wanted, tables, out=tmp_path / "again")
    nastk.train(wanted, settings("darts", 5.0, train={**TRAIN, "lr": HUGE * FACTOR}), out=tmp_path / "lower")
    again, other = (RunDirectory(tmp_path / name).load("train") for name in ("again", "lower"))
    assert again is not None
    assert other is not None
    assert [retry["after"] for retry in again["retries"]] == [0]
    learned = ("epoch", "weights", "optimizer")
    same({name: other[name] for name in learned}, {name: again[name] for name in learned})
    assert nastk.verify(tmp_path / "again", 2).holds


def test_when_no_try_helps_the_run_ends_as_it_does_without(tmp_path: Path) -> None:
    """And a resumed one does not begin to count anew."""
    tables = settings("darts", 5.0, train={**TRAIN, "lr": HUGE}, divergence={"retries": 2, "factor": 0.9})
    with pytest.raises(Diverged, match=r"2 tries at lower rates did not help\. The last good") as caught:
        nastk.run(tables, out=tmp_path / "run")
    with pytest.raises(Diverged) as again:
        nastk.run(resume=tmp_path / "run")
    assert str(again.value) == str(caught.value)
    saved = RunDirectory(tmp_path / "run").load("train")
    assert saved is not None
    assert [retry["rate"] for retry in saved["retries"]] == pytest.approx([0.9, 0.81])


LATE = settings(
    "darts",
    train={"epochs": 3, "batch": 16, "drop_path": 0.2, "data": "hold-out"},
    divergence={"retries": 2, "factor": 0.5},
)
"""Its search and its training diverge late, where the rate is above a limit."""


@contextmanager
def late() -> Iterator[None]:
    """Losses become NaN in the second epoch of the search and of the training, unless the rate is low enough."""
    train, search = Trainer._update, Epoch._update

    def trained(self: Trainer, batch: Any) -> Any:
        clock = int(self.network.encoder.stem[1].num_batches_tracked)  # type: ignore[arg-type]
        loss, *others = train(self, batch)
        bad = clock == 8 + 3 and self.optimizer.param_groups[0]["lr"] > 0.03
        return (loss * math.nan if bad else loss, *others)

    def searched(self: Epoch, batch: Any) -> Any:
        loss, *others = search(self, batch)
        bad = self.number == 1 and self.drawn >= 4 and self.lr > 0.03
        return (loss * math.nan if bad else loss, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_update", trained)
        patch.setattr(Epoch, "_update", searched)
        yield


@pytest.fixture(scope="module")
def retried(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """How such a run ends that nobody interrupts, however often it is kept, and how many moments it has."""
    folder = tmp_path_factory.mktemp("retried")
    torch.set_num_threads(1)
    for name, minutes in (("rarely", 5.0), ("often", 1e-9)):
        directory = folder / name
        with late(), moments(None) as counted:
            result = nastk.run({**LATE, "checkpoint_minutes": minutes}, out=directory)
        whole(directory)
    same(end(folder / "rarely"), end(folder / "often"))
    assert [retry["after"] for retry in result["search"]["retries"]] == [1]
    assert [(retry["after"], retry["rate"]) for retry in result["train"]["retries"]] == [(1, 0.5), (1, 0.25)]
    assert [e["figures"].get("rate") for e in read(directory / "metrics.jsonl") if e["event"] == "step"][-3:] == [
        None,
        0.25,
        0.25,
    ]
    with late():
        assert nastk.verify(directory, 1).holds
    return end(directory), counted.count


def survives(retried: tuple[dict[str, Any], int], kills: list[int], minutes: float) -> None:
    with tempfile.TemporaryDirectory() as folder, late():
        directory = Path(folder) / "run"
        source: dict[str, Any] = {"config": {**LATE, "checkpoint_minutes": minutes}, "out": directory}
        for at in [*kills, None]:
            with moments(at):
                try:
                    nastk.run(**source)
                except Killed:
                    source = {"resume": directory} if (directory / "manifest.toml").is_file() else source
                    continue
            break
        whole(directory)
        same(retried[0], end(directory))


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_killed_and_resumed_it_is_tried_again_alike(retried: tuple[dict[str, Any], int], share: float) -> None:
    survives(retried, [int(share * retried[1])], 1e-9)


@pytest.mark.slow
@given(strategies.data())
@hypothesis_settings(deadline=None, max_examples=40)
def test_killed_anywhere_it_is_tried_again_alike(retried: tuple[dict[str, Any], int], data: strategies.DataObject) -> None:
    kills = data.draw(strategies.lists(strategies.integers(1, retried[1]), min_size=1, max_size=3))
    survives(retried, kills, data.draw(strategies.sampled_from([1e-9, 0.001, 5.0])))
