"""SIGTERM and slices of time: the batch is finished, all is kept, the process says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import nastk
from nastk.core.errors import Paused, Terminated
from tests.faults.conftest import Uninterrupted, end, moments, same, settings, whole

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@posix
@pytest.mark.parametrize("share", [0.1, 0.75])
def test_terminated_and_resumed(uninterrupted: Uninterrupted, tmp_path: Path, share: float) -> None:
    """Asked to end in the search, at its end, in the training; checkpoints would otherwise be five minutes apart."""
    before = signal.getsignal(signal.SIGTERM)
    with moments(max(1, int(share * uninterrupted.rare)), terminate), pytest.raises(Terminated) as caught:
        nastk.run(settings(uninterrupted.strategy, 5.0), out=tmp_path / "run")
    assert caught.value.exit_code == 143
    assert "nastk run --resume" in str(caught.value)
    assert signal.getsignal(signal.SIGTERM) is before
    nastk.run(resume=tmp_path / "run")
    whole(tmp_path / "run")
    same(uninterrupted.end, end(tmp_path / "run"))


@posix
@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(1, 20))
def test_terminated_at_every_kind_of_moment(uninterrupted: Uninterrupted, tmp_path: Path, tenth: int) -> None:
    with moments(max(1, tenth * uninterrupted.moments // 20), terminate):
        try:
            nastk.run(settings(uninterrupted.strategy), out=tmp_path / "run")
        except Terminated:
            nastk.run(resume=tmp_path / "run")
    whole(tmp_path / "run")
    same(uninterrupted.end, end(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_in_slices_is_the_run(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """A slice that is over after one batch: each process gets one further, and the end is the same but for the setting."""
    source: dict[str, Any] = {"config": settings(uninterrupted.strategy, 5.0, slice_minutes=0.004), "out": tmp_path / "run"}
    slices = 0
    while True:
        slices += 1
        assert slices < 200, "a slice got no further"
        try:
            nastk.run(**source)
            break
        except Paused:
            source = {"resume": tmp_path / "run"}
    assert slices > 1
    assert Paused.exit_code == 75
    whole(tmp_path / "run")
    same(uninterrupted.end, end(tmp_path / "run"))


@posix
def test_a_real_process_exits_with_143(tmp_path: Path) -> None:
    document = settings("darts", 5.0)
    document["strategy"]["epochs"] = 500
    (tmp_path / "run.toml").write_text(tomli_w.dumps(document))
    command = [sys.executable, "-m", "nastk", "run", "run.toml", "--out", "run", "-q"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    for _ in range(1200):
        if (tmp_path / "run" / "checkpoints").is_dir():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143, told
    assert told.startswith("nastk: Terminated; every finished step is kept. Go on with: nastk run --resume run")
    (found,) = nastk.runs(tmp_path)
    assert (found.state, found.stage) == ("interrupted", "search")
