"""Stages: an interrupted run goes on as if nothing had been, and the test data are opened once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.errors import Diverged, Interrupted, OutputError
from nastk.core.events import StepDone
from nastk.core.run import session
from nastk.core.run.metrics import read
from nastk.core.run.run import Run
from nastk.core.run.store import RunDirectory
from nastk.core.run.training import Trainer


@pytest.mark.parametrize(("stage", "step"), [("search", 1), ("search", 2), ("train", 1), ("train", 2)])
def test_interrupted_and_resumed_is_the_uninterrupted_run(
    tiny: Any, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, step: int
) -> None:
    out = tmp_path / "a run"
    emit = Run.emit

    def interrupted(self: Run, event: object) -> None:
        emit(self, event)  # type: ignore[arg-type]
        if isinstance(event, StepDone) and (event.stage, event.step) == (stage, step):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "emit", interrupted)
        with pytest.raises(Interrupted) as caught:
            tiny.run(out)
    assert f"nastk run --resume '{out}'" in str(caught.value)
    assert caught.value.exit_code == 130
    result = nastk.run(resume=out)
    assert result["status"] == "done"
    assert tuple(result) == tiny.keys
    assert tiny.same_end(finished, out)
    steps = [(e["stage"], e["step"]) for e in read(out / "metrics.jsonl") if e["event"] == "step"]
    assert steps == [("search", 1), ("search", 2), ("train", 1), ("train", 2)]


@pytest.mark.parametrize("moment", ["before the cells are drawn", "before the result is written"])
def test_killed_while_the_genotype_is_stored(
    tiny: Any, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The run goes on from the stored genotype, and the result is whole."""
    out = tmp_path / "run"
    keep = Run._keep

    def killed(self: Run, status: str, **figures: Any) -> None:
        if "genotype" in figures:
            raise KeyboardInterrupt
        keep(self, status, **figures)

    def killed_at_once(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before the cells are drawn":
            patch.setattr(session, "draw_result", killed_at_once)
        else:
            patch.setattr(Run, "_keep", killed)
        with pytest.raises(Interrupted):
            tiny.run(out)
    assert (out / "genotype.json").is_file()
    nastk.run(resume=out)
    assert tiny.same_end(finished, out)
    assert (out / "cell_shared.png").is_file()


def test_a_resumed_run_takes_no_other_settings(finished: Path) -> None:
    with pytest.raises(nastk.NastkError, match="--resume alone"):
        nastk.run(resume=finished, seed=3)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the test data are opened."""
    from nastk.plugins.datasets.synthetic import Synthetic

    calls: list[int] = []
    original = Synthetic.test

    def counted(self: Synthetic) -> Any:
        calls.append(1)
        return original(self)

    monkeypatch.setattr(Synthetic, "test", counted)
    return calls


def test_test_data_are_opened_once(tiny: Any, tmp_path: Path, opened: list[int]) -> None:
    first = tiny.run(tmp_path / "run")
    assert len(opened) == 1
    for again in (nastk.evaluate(tmp_path / "run"), nastk.run(resume=tmp_path / "run"), nastk.evaluate(tmp_path / "run")):
        assert again == first
    assert len(opened) == 1
    notices = [e["text"] for e in read(tmp_path / "run" / "metrics.jsonl") if e["event"] == "notice"]
    assert any("opened before" in text for text in notices)


def test_stages_one_by_one(tiny: Any, finished: Path, tmp_path: Path, opened: list[int]) -> None:
    """Search, train and evaluate as three commands: the same network as one run, and a complete result."""
    genotype = nastk.search(out=tmp_path / "a", set=tiny.sets, **tiny.flags)
    partial = json.loads((tmp_path / "a" / "result.json").read_text())
    assert partial["status"] == "searched"
    assert tuple(partial) == (*tiny.keys, "sha256")
    assert partial["test"] is None
    where = nastk.train(tmp_path / "a" / "genotype.json", out=tmp_path / "b", set=tiny.sets, dataset="synthetic", device="cpu")
    assert where == tmp_path / "b"
    assert json.loads((tmp_path / "b" / "result.json").read_text())["status"] == "trained"
    assert not opened, "only evaluate opens the test data"
    result = nastk.evaluate(tmp_path / "b")
    assert len(opened) == 1
    assert tuple(result) == tiny.keys
    assert result["search"] is result["strategy"] is None, "this directory has seen no search"
    assert all(result[key] is not None for key in tiny.keys if key not in ("search", "strategy", "benchmark"))
    assert Genotype.from_json((tmp_path / "b" / "genotype.json").read_text()) == genotype
    one, two = tiny.weights(finished), tiny.weights(tmp_path / "b")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_evaluate_wants_a_finished_training(tiny: Any, tmp_path: Path) -> None:
    nastk.search(out=tmp_path / "a", set=tiny.sets, **tiny.flags)
    with pytest.raises(OutputError, match="no finished training"):
        nastk.evaluate(tmp_path / "a")


def test_divergence_names_its_step_and_keeps_the_last_good_checkpoint(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = Trainer.epoch

    def poisoned(self: Trainer, number: int, rate: float) -> Any:
        if number == 1:
            with torch.no_grad():
                self.network.body.classifier.weight.fill_(float("nan"))  # type: ignore[union-attr, operator]
        return epoch(self, number, rate)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", poisoned)
        with pytest.raises(Diverged, match=r"nan in train, epoch 2, step 1: lower the learning rate"):
            tiny.run(tmp_path / "run")
    saved = RunDirectory(tmp_path / "run").load("train")
    assert saved is not None
    assert saved["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in saved["weights"].values())
    assert nastk.run(resume=tmp_path / "run")["status"] == "done"
