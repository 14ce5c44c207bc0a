"""Trials as batch jobs, with submitit's executors that need no cluster: what comes back is JSON, and nothing is unpickled."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest

from nastk.core.config import ExecutorPart
from nastk.core.errors import ConfigError, NastkError, OutputError
from nastk.core.laws.executor import Deadly, Trials, honest, moody
from nastk.core.run.executor import Executor
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import packed
from nastk.plugins.executors.inline import Inline
from nastk.plugins.executors.job import report_in
from nastk.plugins.executors.slurm import Array

submitit = pytest.importorskip("submitit")
PROPOSALS = Trials(3, 5).proposals()


def jobs(folder: Path, cluster: str = "debug", **settings: object) -> Executor:
    built: Executor = ExecutorPart.named("slurm", cluster=cluster, folder=str(folder / "logs"), **settings).build()
    return built


def not_a_number(proposal: Proposal) -> Report:
    return Report(proposal, {"loss": float("inf"), "accuracy": 0.1 + 0.2}, "so it was" if proposal.epochs == 2 else None)


def unsayable(proposal: Proposal) -> Report:
    return Report(proposal, {"accuracy": object()})


def test_reports_are_those_of_inline(tmp_path: Path) -> None:
    for work in (honest, moody, not_a_number):
        assert list(jobs(tmp_path).run(PROPOSALS, work)) == list(Inline().run(PROPOSALS, work))


def test_what_json_cannot_say_is_a_failed_report(tmp_path: Path) -> None:
    (report,) = jobs(tmp_path).run(PROPOSALS[:1], unsayable)
    assert "TypeError" in str(report.failure)


def test_the_folder_is_the_users_alone_and_keeps_the_logs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = jobs(tmp_path).run(PROPOSALS, honest)
    next(reports)
    (folder,) = (tmp_path / "logs").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.glob("*.json"))
    reports.close()  # type: ignore[attr-defined]
    assert {path.suffix for path in folder.iterdir()} <= {".out", ".err", ".sh"}
    monkeypatch.setattr(os, "getuid", lambda: -5)
    with pytest.raises(OutputError, match="open to others"):
        list(jobs(tmp_path).run(PROPOSALS, honest))


def test_what_comes_back_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the driver unpickled a file")

    monkeypatch.setattr(submitit.core.utils, "pickle_load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    assert list(jobs(tmp_path, "local").run(PROPOSALS[:1], honest)) == [honest(PROPOSALS[0])]
    (tmp_path / "bad.json").write_bytes(pickle.dumps({"figures": {}, "failure": None}))
    assert report_in(tmp_path / "bad.json", PROPOSALS[0]) is None
    (tmp_path / "bad.json").write_text('{"figures": 3, "failure": null}')
    assert report_in(tmp_path / "bad.json", PROPOSALS[0]) is None


@pytest.mark.slow
def test_a_job_that_dies_is_tried_again_and_costs_its_trial_alone(tmp_path: Path) -> None:
    reports = list(jobs(tmp_path, "local", retries=1).run(PROPOSALS, Deadly(2, os.getpid())))
    assert [r.proposal for r in reports] == PROPOSALS
    assert [r.failure is None for r in reports] == [True, False, True]
    assert len(reports[1].figures["retried"]) == 1
    assert "ended without a report" in str(reports[1].failure)


def test_where_there_is_no_slurm_or_a_wrong_setting_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NastkError, match="no Slurm here"):
        jobs(tmp_path, "slurm")
    with pytest.raises(ConfigError, match="memory"):
        jobs(tmp_path, memory=0)
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OutputError, match="cannot be used"):
        list(jobs(tmp_path).run(PROPOSALS, honest))


SBATCH = """#!/bin/sh
cp "$1" {folder}/submitted.sh
echo "Submitted batch job 7"
"""


@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_settings_reach_sbatch_and_what_is_left_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {"sbatch": SBATCH.format(folder=tmp_path), "scancel": f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n'}
    for name, script in {**scripts, "srun": "#!/bin/sh\n", "sacct": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    settings = {"partition": "gpu", "account": "us", "minutes": 7, "cpus": 3, "gpus": 2, "memory": 2000, "parallel": 2}
    array = Array(jobs(tmp_path, "slurm", **settings), PROPOSALS, packed(honest))  # type: ignore[arg-type]
    array.submit(range(3))
    asked = {line.split()[1] for line in (tmp_path / "submitted.sh").read_text().splitlines() if line.startswith("#SBATCH")}
    wanted = {"--partition=gpu", "--account=us", "--time=7", "--cpus-per-task=3", "--gpus-per-node=2", "--array=0-2%2"}
    assert wanted | {"--mem=2000MB"} <= asked
    array.close()
    assert (tmp_path / "cancelled").read_text().split() == ["7_0", "7_1", "7_2"]
    assert not list(array.folder.glob("*.pkl"))
