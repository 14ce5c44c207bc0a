"""Trials on a Ray cluster of two nodes on this machine: one of them is killed in the middle."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from nastk.core.config import ExecutorPart
from nastk.core.errors import NastkError
from nastk.core.laws.executor import Deadly, Trials, honest, moody
from nastk.core.run.executor import Executor
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.inline import Inline

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
PROPOSALS = Trials(6, 5).proposals()
QUICK = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@frozen
class Stuck:
    """As ``honest``; on the second node the first trial that comes says so in a file and never ends. The others wait for it."""

    folder: str

    def __call__(self, proposal: Proposal) -> Report:
        stuck = Path(self.folder) / "stuck"
        with suppress(FileExistsError):
            if ray.get_runtime_context().get_node_id() == second():
                os.close(os.open(stuck, os.O_CREAT | os.O_EXCL))
                time.sleep(600)
        while not stuck.exists():
            time.sleep(0.05)
        return honest(proposal)


@frozen
class Signed:
    """As ``honest``, with the process that did it, and how many threads it had."""

    def __call__(self, proposal: Proposal) -> Report:
        import torch

        return Report(proposal, {"process": os.getpid(), "threads": torch.get_num_threads()})


def second() -> str:
    """The node that was added last, while it lives."""
    return next((node["NodeID"] for node in ray.nodes() if node["Resources"].get("second")), "")


def sleepy(proposal: Proposal) -> Report:
    if proposal.epochs == 2:
        time.sleep(600)
    return honest(proposal)


def on_ray(**settings: object) -> Executor:
    built: Executor = ExecutorPart.named("ray", **settings).build()
    return built


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": QUICK})
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_node_that_is_killed_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1, resources={"second": 1})
    cluster.wait_for_nodes()

    def kill() -> None:
        while not (tmp_path / "stuck").exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    executor = on_ray(address=cluster.address)
    reports = list(executor.run(PROPOSALS, Stuck(str(tmp_path))))
    killer.join(timeout=10)
    executor.close()
    assert not ray.is_initialized(), "the executor has joined the cluster, and leaves it"
    again = [report for report in reports if "retried" in report.figures]
    assert [len(report.figures["retried"]) for report in again] == [1], "one trial was on that node"
    assert "node" in again[0].figures["retried"][0]
    plain = [Report(r.proposal, {k: v for k, v in r.figures.items() if k != "retried"}, r.failure) for r in reports]
    assert plain == list(Inline().run(PROPOSALS, honest))


def test_what_happens_to_a_trial_costs_itself(cluster: Any) -> None:
    executor = on_ray(address=cluster.address, retries=1, timeout=20.0, workers=1)
    trials = PROPOSALS[:4]
    failed = list(executor.run(trials, moody))
    assert [r.failure for r in failed] == [None, "MemoryError: no room for this candidate", None, "Awkward: this and that"]
    dead = list(executor.run(trials, Deadly(3, os.getpid())))
    assert [r.proposal for r in dead] == trials
    assert [r.failure is None for r in dead] == [True, True, False, True]
    assert "died" in str(dead[2].failure)
    assert len(dead[2].figures["retried"]) == 1
    executor.close()
    limited = on_ray(address=cluster.address, timeout=1.0)
    late = list(limited.run(trials, sleepy))
    limited.close()
    assert [r.failure for r in late] == [None, "it took longer than 1 s (timeout)", None, None]


def test_a_worker_is_kept_and_only_what_was_started_is_shut_down(cluster: Any) -> None:
    ray.init(address=cluster.address)
    executor = on_ray(cpus=1.0)
    found = [*executor.run(PROPOSALS[:2], Signed()), *executor.run(PROPOSALS[2:4], Signed())]
    assert len({r.figures["process"] for r in found}) == 1, "one worker for all, with its data"
    assert all(r.figures["threads"] == 1 and r.figures["process"] != os.getpid() for r in found)
    executor.close()
    assert ray.is_initialized(), "it was there before"
    with pytest.raises(NastkError, match="No node of the Ray cluster has room"):
        list(on_ray(gpus=1.0).run(PROPOSALS[:1], honest))
    ray.shutdown()


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(NastkError, match="cannot be reached"):
        list(on_ray(address="127.0.0.1:1").run(PROPOSALS[:1], honest))
