"""What other programs are told of a run: every number, under one name, once more in the same place after a resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import BrokenPlugin
from nastk.core.events import Notice, Reporter, RunDone, RunStarted, StepDone
from nastk.plugins.reporters.mlflow import Mlflow, MlflowConfig
from nastk.plugins.reporters.scalars import scalars
from nastk.plugins.reporters.tensorboard import FOLDER, TensorBoard

numbers = st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=3)
trees = st.recursive(numbers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))
FIGURES = {"loss": 0.5, "accuracy": math.nan, "nos": {"total": 3, "cells": [1.0, 2.0]}, "text": "x"}
TOLD = {"train/loss": 0.5, "train/nos/total": 3.0, "train/nos/cells/0": 1.0, "train/nos/cells/1": 2.0}


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=3), trees, max_size=4))
def test_scalars_are_finite_and_their_names_are_plain(figures: dict[str, Any]) -> None:
    for path, value in scalars(figures, "train"):
        assert path.startswith("train/")
        assert math.isfinite(value)
        assert all(letter.isalnum() or letter in "_-. /" for letter in path)


def test_scalars_of_a_step() -> None:
    assert dict(scalars(FIGURES, "train")) == TOLD


def story(reporter: Reporter, directory: Path) -> None:
    reporter.hear(RunStarted(directory, {"strategy": "darts", "seed": 3}, False))
    reporter.hear(StepDone("train", 1, FIGURES))
    reporter.hear(Notice("look <here>"))
    reporter.close()
    reporter.hear(StepDone("train", 2, {"loss": 0.25}))  # the same run, gone on with
    reporter.hear(RunDone(directory, {"test": {"accuracy": 0.75}}))
    reporter.close()


def test_tensorboard_reads_what_it_was_told(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    story(TensorBoard(tmp_path), tmp_path)
    seen = accumulator.EventAccumulator(str(tmp_path / FOLDER))
    seen.Reload()
    assert {path: seen.Scalars(path)[0].value for path in seen.Tags()["scalars"]} == TOLD
    assert [(point.step, point.value) for point in seen.Scalars("train/loss")] == [(1, 0.5), (2, 0.25)]
    texts = {name: seen.Tensors(name)[0].tensor_proto.string_val[0] for name in seen.Tags()["tensors"]}
    assert b"look <here>" in texts["notices/text_summary"]
    assert b"darts" in texts["config/text_summary"]


def test_mlflow_reads_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    story(Mlflow(tmp_path, MlflowConfig(experiment="e")), tmp_path)
    story(Mlflow(tmp_path, MlflowConfig(experiment="e")), tmp_path)  # as after --resume: the same run of MLflow
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["config.strategy"] == "darts"
    assert run.data.metrics == {**TOLD, "train/loss": 0.25, "result/test/accuracy": 0.75}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 1, 2]


@pytest.mark.parametrize(("module", "make"), [
    ("tensorboard", TensorBoard), ("mlflow", lambda directory: Mlflow(directory, MlflowConfig()))
])  # fmt: skip
def test_without_the_package_it_says_what_installs_it(
    module: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(BrokenPlugin, match=rf'pip install "nastk\[{module}\]"'):
        make(tmp_path)
    assert not list(tmp_path.iterdir())
