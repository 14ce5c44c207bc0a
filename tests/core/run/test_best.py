"""The network of the best validation accuracy is kept where VALID is held out, and can be tested in place of the last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.core.cell.graph import Genotype
from nastk.core.errors import OutputError
from nastk.core.run.epoch import Scores
from nastk.core.run.metrics import read
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory
from nastk.core.run.train_stage import BEST
from nastk.core.run.training import evaluate
from nastk.core.types import Split
from tests.faults.conftest import TINY

EPOCHS = 4


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tables(data: str) -> dict[str, Any]:
    train = {"epochs": EPOCHS, "batch": 16, "lr": 0.5, "data": data}
    return {**TINY, "strategy": "random-search", "model": {"channels": 4, "cells": 1}, "train": train}


def member() -> Genotype:
    """All edges are convolutions 3x3."""
    space = Run(configure(tables("all"))).space
    return space.decode([d.options.index("conv_3x3") if "conv_3x3" in d.options else 0 for d in space.decisions])


@pytest.fixture
def held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training whose validation accuracies are made up: the second epoch is the first of the best."""
    accuracies = iter((0.3, 0.6, 0.6, 0.4))

    def made_up(*given: Any) -> Scores:
        return evolve(evaluate(*given), accuracy=next(accuracies))

    monkeypatch.setattr("nastk.core.run.train_stage.evaluate", made_up)
    return nastk.train(member(), tables("hold-out"), out=tmp_path / "held out")


def test_it_is_the_first_of_the_highest_accuracy_on_valid(held_out: Path) -> None:
    files = sorted(path.name for path in (held_out / "checkpoints").glob(f"{BEST}-*"))
    assert files == [f"{BEST}-000002.json", f"{BEST}-000002.safetensors"]
    saved, last = (RunDirectory(held_out).load(stage) for stage in (BEST, "train"))
    assert saved is not None
    assert last is not None
    assert (saved["epoch"], saved["valid_accuracy"]) == (2, 0.6)
    assert not all(torch.equal(last["weights"][name], value) for name, value in saved["weights"].items())
    assert json.loads((held_out / "result.json").read_text())["train"]["best"] == {"epoch": 2, "valid_accuracy": 0.6}


def test_its_weights_have_the_accuracy_that_was_told(tmp_path: Path) -> None:
    directory = nastk.train(member(), tables("hold-out"), out=tmp_path / "run")
    steps = [entry["figures"] for entry in read(directory / "metrics.jsonl") if entry["event"] == "step"]
    saved = RunDirectory(directory).load(BEST)
    assert saved is not None
    run = Run(configure(tables("hold-out")))
    network = run.build(member())
    network.load_state_dict(saved["weights"])
    scores = evaluate(network, network, run.task, run.task.data.unaugmented(Split.VALID))
    assert scores.accuracy == saved["valid_accuracy"] == max(figures["valid_accuracy"] for figures in steps)
    assert scores.loss == steps[saved["epoch"] - 1]["valid_loss"]


def test_the_last_checkpoints_stay_beside_it(held_out: Path) -> None:
    kept = [step for step, _ in RunDirectory(held_out).kept("train")]
    assert kept == [EPOCHS, EPOCHS - 1]


def test_the_best_is_tested_where_it_is_asked_for(held_out: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(held_out), "--best", "--quiet"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["test"]["epoch"] == found["train"]["best"]["epoch"] == 2
    assert nastk.evaluate(held_out) == found, "the test data are opened once"


def test_without_it_the_last_epoch_is_tested_and_the_best_is_not_there(tmp_path: Path) -> None:
    directory = nastk.train(member(), tables("all"), out=tmp_path / "all")
    assert not list((directory / "checkpoints").glob(f"{BEST}-*")), "training accuracy is no reason to choose"
    with pytest.raises(OutputError, match=re.escape('train.data = "hold-out"')):
        nastk.evaluate(directory, best=True)
    result = nastk.evaluate(directory)
    assert (result["test"]["epoch"], result["train"]["best"]) == (EPOCHS, None)
