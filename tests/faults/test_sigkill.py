"""SIGKILL at random times, from outside, with nothing of the test inside the process that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Uninterrupted, end, same, settings, whole

DRIVER = """
import json, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import nastk
from nastk.core.run import run  # imported once: a child that is forked begins at once

document, directory, kills, seed = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)


def child():
    pid = os.fork()
    if pid:
        return pid
    try:
        there = os.path.isfile(f"{directory}/manifest.toml")
        nastk.run(**({"resume": directory} if there else {"config": document, "out": directory}))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


killed = 0
longest = 3.0
while True:
    pid = child()
    if killed < kills:
        time.sleep(rng.uniform(0, longest / kills * 2))
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        killed += 1
    elif os.WEXITSTATUS(status):
        sys.exit("a resume failed")
    else:
        break
print(killed)
"""


def killed(uninterrupted: Uninterrupted, directory: Path, kills: int, seed: int) -> int:
    """Kill the run up to so many times, let it end, and compare; says how often it was killed."""
    document = json.dumps(settings(uninterrupted.strategy, 0.0005))
    command = [sys.executable, "-c", DRIVER, document, str(directory), str(kills), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    whole(directory)
    same(uninterrupted.end, end(directory))
    return int(told.stdout)


posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@posix
@pytest.mark.slow
def test_killed_a_few_times(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    assert killed(uninterrupted, tmp_path / "run", 4, 0) >= 1


@posix
@pytest.mark.slow
def test_killed_forty_times(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """Several runs, each killed a few times, until there were forty kills."""
    total = 0
    for seed in range(200):
        total += killed(uninterrupted, tmp_path / f"{seed}", 4, seed)
        if total >= 40:
            break
    assert total >= 40
