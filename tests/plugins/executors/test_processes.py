"""Trials in processes: what happens to one that is killed, hangs, or takes too much, and to its neighbours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import frozen

from nastk.core.config import ExecutorPart
from nastk.core.errors import NastkError
from nastk.core.laws.executor import Trials, honest
from nastk.core.run.executor import Executor
from nastk.core.run.trial import Proposal, Report
from nastk.core.seeds import key
from nastk.plugins.executors.inline import Inline

PROPOSALS = Trials(12, 5).proposals()


@frozen
class Fragile:
    """As ``honest``; the first tries of some trials end by SIGKILL, a file each so that the next try is another one."""

    folder: str
    deaths: int

    def __call__(self, proposal: Proposal) -> Report:
        for death in range(key(1, proposal.digest) % (self.deaths + 1)):
            try:
                os.close(os.open(f"{self.folder}/{proposal.digest}-{death}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(proposal)


def troubled(proposal: Proposal) -> Report:
    """The third trial hangs, the fourth wants 4 GiB, the fifth says something and exits."""
    if proposal.epochs == 3:
        time.sleep(600)
    if proposal.epochs == 4:
        return Report(proposal, {"bytes": len(bytearray(2**32))})
    if proposal.epochs == 5:
        print("the last words", flush=True)
        os._exit(7)
    return honest(proposal)


def unborn() -> None:
    raise ValueError("no data here")


@frozen
class NotHere:
    """Work that cannot be rebuilt on the other side."""

    def __call__(self, proposal: Proposal) -> Report:
        return honest(proposal)

    def __reduce__(self) -> tuple[object, ...]:
        return unborn, ()


def processes(**settings: object) -> Executor:
    built: Executor = ExecutorPart.named("processes", **settings).build()
    return built


def without_retries(reports: Sequence[Report]) -> list[Report]:
    return [Report(r.proposal, {k: v for k, v in r.figures.items() if k != "retried"}, r.failure) for r in reports]


def killed_at_random(count: int, deaths: int) -> tuple[list[Report], list[Report]]:
    """Reports of so many trials whose workers die up to ``deaths`` times each, and those of ``inline``."""
    trials = Trials(count, 3).proposals()
    executor = processes(workers=2, retries=deaths)
    with tempfile.TemporaryDirectory() as folder:
        found = list(executor.run(trials, Fragile(folder, deaths)))
        died = len(list(Path(folder).iterdir()))
    executor.close()
    causes = [cause for report in found for cause in report.figures.get("retried", [])]
    assert causes == ["the worker was killed by SIGKILL"] * died
    assert died >= count / 3, "this seed kills too few for a test"
    return found, list(Inline().run(trials, honest))


def test_workers_killed_at_random_cost_nothing() -> None:
    found, wanted = killed_at_random(6, 1)
    assert without_retries(found) == wanted


@pytest.mark.slow
def test_two_hundred_trials_with_workers_killed_at_random() -> None:
    found, wanted = killed_at_random(200, 2)
    assert without_retries(found) == wanted


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a memory limit needs Linux")
def test_a_trial_that_hangs_or_takes_too_much_costs_itself() -> None:
    executor = processes(workers=2, timeout=3.0, memory=1024, retries=0)
    reports = list(executor.run(PROPOSALS[:6], troubled))
    executor.close()
    assert [r.proposal for r in reports] == PROPOSALS[:6]
    for number in (0, 1, 5):
        assert reports[number] == honest(PROPOSALS[number])
    hung, greedy, gone = reports[2:5]
    assert "longer than 3 s (timeout)" in str(hung.failure)
    assert "MemoryError" in str(greedy.failure)
    assert "exited with code 7" in str(gone.failure)
    assert "the last words" in str(gone.failure), "the end of a worker's output belongs to the report"


def test_workers_that_never_get_ready_end_the_run_with_the_reason() -> None:
    executor = processes(workers=1, retries=0)
    with pytest.raises(NastkError, match=r"do not get ready(.|\n)*no data here"):
        list(executor.run(PROPOSALS[:2], NotHere()))
    executor.close()


def test_closing_early_ends_what_runs() -> None:
    executor = processes(workers=2)
    reports = executor.run([*PROPOSALS[:2], PROPOSALS[2]], troubled)
    assert next(reports) == honest(PROPOSALS[0])
    began = time.monotonic()
    reports.close()  # type: ignore[attr-defined]
    executor.close()
    assert time.monotonic() - began < 60, "the hanging trial was waited for"


DRIVER = """
import sys
from nastk.core.config import ExecutorPart
from nastk.core.laws.executor import Trials
from tests.plugins.executors.test_processes import troubled
if __name__ == "__main__":
    executor = ExecutorPart.named("processes", workers=1).build()
    running = executor.run(Trials(3, 5).proposals(), troubled)
    next(running), next(running)
    print(executor._workers[0].process.pid, flush=True)
    next(running)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_driver_leaves_no_orphan(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py")], stdout=subprocess.PIPE, text=True, env=environment)
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    os.kill(worker, 0)
    driver.kill()
    driver.wait()
    for _ in range(200):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        state = Path(f"/proc/{worker}/stat")
        if state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            break  # dead, and only waiting to be collected by whoever adopted it
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker outlived its driver")
