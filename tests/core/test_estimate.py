"""Estimates: counts are exact, budgets cap them, nothing is written, the test data stay closed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.cli.estimating import duration
from nastk.core.run import few
from nastk.core.run.estimate import Estimate, estimate, main, measure
from nastk.core.run.rehearsal import Rehearsal, searched
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory

torch.set_num_threads(1)
SMALL = (
    "dataset.name=synthetic", "dataset.size=8", "dataset.train_images=640", "space=toy", "device=cpu",
    "model.channels=2", "model.cells=2", "proxy.channels=0", "proxy.cells=0", "train.epochs=3", "train.batch=16",
)  # fmt: skip
BILEVEL = (*SMALL, "strategy.epochs=6", "strategy.warmup=2", "strategy.batch=8")
RANDOM = (*SMALL, "strategy=random-search", "strategy.trials=7", "strategy.epochs=5", "strategy.batch=2")


# The rehearsed search


def rehearsed(*sets: str) -> Any:
    return searched(Rehearsal(configure(sets=sets)))


def test_steps_of_a_gradient_search_are_tried_at_its_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    from nastk.strategies.bilevel import Bilevel

    tried: list[tuple[int, int]] = []
    step = Bilevel.step

    def noted(strategy: Any, context: Any, state: Any) -> Any:
        tried.append((context.step, state.epoch))
        return step(strategy, context, state)

    monkeypatch.setattr(Bilevel, "step", noted)
    monkeypatch.setattr(few, "ENOUGH", 0.0)
    found = rehearsed(*BILEVEL)
    assert set(tried) == {(0, 0), (2, 2), (5, 5)}
    assert (found.steps, found.evaluations) == (6, 0)
    assert found.genotype is not None
    assert found.seconds > 0


def test_trials_are_counted_as_the_search_asks_for_them_and_three_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from nastk.core.run.trial import TrainedTrials

    run: list[int] = []
    call = TrainedTrials.__call__
    monkeypatch.setattr(TrainedTrials, "__call__", lambda self, proposal: (run.append(proposal.epochs), call(self, proposal))[1])
    monkeypatch.setattr(few, "ENOUGH", 0.0)
    found = rehearsed(*RANDOM)
    assert (found.steps, found.evaluations) == (4, 7)
    assert run == [1, 1, 1]


def test_a_trial_costs_its_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up trials of 3 seconds an epoch and 2 beside them."""
    from nastk.core.run import rehearsal
    from nastk.core.run.trial import Report, TrainedTrials

    def trial(self: Any, proposal: Any) -> Report:
        self.task.data.clock.skip(2 + 3 * proposal.epochs)
        self.task.data.seconds = 3.0
        return Report(proposal, {"accuracy": 0.5})

    monkeypatch.setattr(TrainedTrials, "__call__", trial)
    assert rehearsed(*RANDOM).seconds == pytest.approx(7 * (2 + 3 * 5), abs=1)
    assert rehearsal.MEMBERS < 7


@pytest.mark.parametrize(
    ("sets", "budget", "expected"),
    [
        (RANDOM, "budget.evaluations=5", (3, 5)),
        (RANDOM, "budget.steps=2", (2, 4)),
        (RANDOM, "budget.minutes=0.000001", (1, 2)),
        (RANDOM, "budget.device_hours=0.0000000001", (1, 1)),
        (BILEVEL, "budget.steps=4", (4, 0)),
        (BILEVEL, "budget.minutes=0.000001", (1, 0)),
    ],
)
def test_budgets_cap_the_estimate(
    sets: tuple[str, ...], budget: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few, "ENOUGH", 0.0)
    found = rehearsed(*sets, budget)
    assert (found.steps, found.evaluations) == expected


def test_the_counts_are_those_of_the_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "ENOUGH", 0.0)
    sets = [*RANDOM, "strategy.trials=3", "strategy.epochs=1", "train.epochs=1", "budget.evaluations=3"]
    found = measure(configure(sets=sets), time.time())
    nastk.search(out=tmp_path / "run", set=sets)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    steps = {stage.stage: stage.steps for stage in found.stages}
    assert steps == {"start": 1, "search": result["search"]["steps"], "train": 1, "test": 1}
    assert found.evaluations == 3
    assert found.network_parameters is not None
    assert 0 < found.network_parameters[0] <= found.network_parameters[1]


def test_a_gradient_search_has_a_supernet_and_a_sampling_one_has_none() -> None:
    session = Rehearsal(configure(sets=BILEVEL))
    assert session.supernet_parameters() == sum(p.numel() for p in session.context.supernet().parameters())
    assert Rehearsal(configure(sets=RANDOM)).supernet_parameters() is None


def test_a_table_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few.FewBatches, "__init__", lambda *_: pytest.fail("no data are read"))
    found = measure(configure(sets=["benchmark=nats-bench", "strategy.trials=5"]), time.time())
    assert [stage.stage for stage in found.stages] == ["start", "search"]
    assert (found.stages[1].steps, found.evaluations) == (5, 5)
    assert found.network_parameters is found.supernet_parameters is None
    assert "look-ups" in found.notes[-1]


# The process of its own


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Estimate, Path]:
    """An estimate made in an empty folder, and the folder."""
    folder = tmp_path_factory.mktemp("estimate")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return estimate(set=[*BILEVEL, "recompute=true", "dataset.train_images=160"]), folder


def test_nothing_is_written(whole: tuple[Estimate, Path]) -> None:
    assert not list(whole[1].iterdir())


def test_a_rehearsal_in_the_directory_of_a_run_leaves_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another run has kept within its epoch is nothing to go on with."""
    RunDirectory(tmp_path).save("within-train", 1, {"step": 0, "tree": {"batches": 3}})
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    session = Rehearsal(configure(sets=BILEVEL))
    session.stop._signalled = True  # everything would be kept now
    within = session.within("train")
    assert within.kept(0) is None
    within.offer(0, dict)
    within.done()
    assert sorted(tmp_path.rglob("*")) == before


def test_its_figures_are_whole(whole: tuple[Estimate, Path]) -> None:
    found = whole[0]
    assert found.minutes == sum(stage.minutes for stage in found.stages)
    assert all(stage.minutes > 0 for stage in found.stages)
    assert found.memory_mib is None or 50 < found.memory_mib < 2000
    assert json.loads(json.dumps(found.document()))["minutes"] == found.minutes


def test_a_refusal_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The process of its own, in this one."""

    def process(*_: Any, input: str, **__: Any) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(input))
        main()
        return SimpleNamespace(returncode=0, stdout=capsys.readouterr().out, stderr="")

    monkeypatch.setattr(subprocess, "run", process)
    with pytest.raises(nastk.NastkError, match="A batch of 500 is larger than"):
        estimate(set=[*BILEVEL, "strategy.batch=500"])


@pytest.mark.parametrize(("code", "words"), [(-9, "want of memory"), (1, "ended with code 1: the last line")])
def test_a_process_that_dies_is_one_sentence(code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = SimpleNamespace(returncode=code, stdout="", stderr="a line\nthe last line\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: gone)
    with pytest.raises(nastk.NastkError, match=words):
        estimate(set=BILEVEL)


def test_the_test_data_stay_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    from nastk.plugins.datasets.synthetic import Synthetic

    monkeypatch.setattr(Synthetic, "test", lambda _: pytest.fail("the test data were opened"))
    monkeypatch.setattr(few, "ENOUGH", 0.0)
    measure(configure(sets=[*BILEVEL, "strategy.epochs=2"]), time.time())


def test_dry_run_shows_a_table_or_json(whole: tuple[Estimate, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(nastk, "estimate", lambda **flags: (given.append(flags), whole[0])[1])
    shown = CliRunner().invoke(app, ["run", "--dry-run", "--space", "toy", "--set", "seed=3"])
    assert shown.exit_code == 0
    assert all(word in shown.output for word in ("search", "6 steps", "whole run", "peak memory", "supernet"))
    assert given == [{"config": None, "space": "toy", "set": ["seed=3"]}]
    printed = CliRunner().invoke(app, ["run", "--dry-run", "--quiet"])
    assert json.loads(printed.output) == json.loads(json.dumps(whole[0].document()))
    refused = CliRunner().invoke(app, ["run", "--dry-run", "--resume", "nowhere"])
    assert refused.exit_code == 2


@pytest.mark.parametrize(("minutes", "text"), [(0.1, "6 s"), (2.5, "2.5 min"), (99.0, "99 min"), (600.0, "10 h")])
def test_times_in_a_unit_that_fits(minutes: float, text: str) -> None:
    assert duration(minutes) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy", [["strategy.epochs=4"], ["strategy=random-search", "strategy.trials=4"]], ids=["ma-darts", "random-search"]
)
def test_time_and_memory_are_within_a_third_of_a_real_run(strategy: list[str], tmp_path: Path) -> None:
    """Needs a machine that does nothing else."""
    sets = ["dataset=digits", "train.epochs=4", *strategy]
    found = estimate(set=sets)
    program = (
        "import sys, json, resource, nastk; r = nastk.run(out=sys.argv[1], set=sys.argv[2:]);"
        "seconds = r['search']['seconds'] + r['train']['seconds'];"
        "print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "run", *sets], capture_output=True, text=True, check=True)
    seconds, mib = json.loads(done.stdout)
    guessed = 60 * sum(stage.minutes for stage in found.stages if stage.stage in ("search", "train"))
    assert guessed == pytest.approx(seconds, rel=0.3)
    assert found.memory_mib == pytest.approx(mib, rel=0.3)
