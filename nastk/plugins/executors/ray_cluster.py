"""Trials on the nodes of a Ray cluster, in actors that each keep their data and space from trial to trial."""

from __future__ import annotations

import math
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from nastk.core import mark
from nastk.core.errors import NastkError
from nastk.core.extras import needed
from nastk.core.run.executor import Executor, Work
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import packed, unpacked
from nastk.plugins.executors.worker import with_causes

MIB = 2**20
REACH = 10.0
"""Seconds in which a cluster has to answer."""
PATIENCE = 5.0
"""Seconds between two looks at how many actors the cluster has room for."""


@frozen(kw_only=True)
class RayConfig:
    """Settings of ``ray``."""

    address: str = field(
        default="", metadata={"help": "of the cluster; empty: that of RAY_ADDRESS, and without it one is started on this machine"}
    )
    workers: int = field(default=0, validator=ge(0), metadata={"help": "trials side by side; 0: as many as there is room for"})
    cpus: float = field(default=1.0, validator=gt(0), metadata={"help": "CPUs of a trial; also its threads"})
    gpus: float = field(default=0.0, validator=ge(0), metadata={"help": "GPUs of a trial, or a share of one"})
    memory: int = field(default=0, validator=ge(0), metadata={"help": "MiB that Ray reserves for a trial on its node; 0: none"})
    timeout: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"help": "seconds after which a trial is ended and has failed"}
    )
    retries: int = field(default=2, validator=ge(0), metadata={"help": "further tries of a trial whose node or worker died"})


class TrialActor:
    """What runs on the cluster: the work, rebuilt once, and then one trial after the other."""

    def __init__(self, work: bytes, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.work = unpacked(work)

    def ready(self) -> None:
        """Answers once the work is rebuilt."""

    def report(self, proposal: Proposal) -> Report:
        """The report of a trial; a failed one when the work raises."""
        try:
            return self.work(proposal)
        except Exception as error:  # a candidate must not end the worker; the reason is kept in its report
            return Report(proposal, failure=f"{type(error).__name__}: {error}")


class Slot:
    """The driver's end of an actor: the answer that it owes, and for which trial (``None``: that it is ready)."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.owed: Any = actor.ready.remote()
        self.ready = False
        self.trial: int | None = None
        self.began = 0.0

    def give(self, number: int, proposal: Proposal) -> None:
        """Start a trial."""
        self.trial, self.began, self.owed = number, time.monotonic(), self.actor.report.remote(proposal)


@mark.executor(
    "ray",
    config=RayConfig,
    paper="Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018",
)
class RayCluster(Executor):
    """Trials on the nodes of a Ray cluster; one whose node or worker dies is tried again.

    Work travels once to each actor, which builds data and space anew and then takes one trial after the other; nastk and
    the plug-ins of the run have to be installed on every node. Reports are those of ``inline``; a trial that was tried
    again has the causes in its figure ``retried``. Nodes that join later are used. :meth:`close` ends the actors, and Ray
    only where it was started here.

    Raises :class:`BrokenPlugin` without Ray, and :class:`NastkError` when the cluster cannot be reached, has no room for a
    single trial, or its actors do not get ready.
    """

    isolated = True

    def __init__(self, config: RayConfig) -> None:
        self.config = config
        self.ray = needed("ray", "ray", "The executor 'ray'")
        self._started = False
        self._work = b""
        self._shared: Any = None
        self._slots: list[Slot] = []
        self._unready = 0
        self._looked, self._room = -math.inf, 0

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        if not trials:
            return
        self._connect()
        pickled = packed(work)
        if pickled != self._work:
            self._drop_all()
            self._work, self._shared = pickled, self.ray.put(pickled)
        running = Running(trials)
        try:
            for number in range(len(trials)):
                while number not in running.done:
                    self._start(running)
                    self._listen(running)
                yield with_causes(running.done.pop(number), running.causes[number])
        finally:
            for slot in [s for s in self._slots if s.trial is not None]:
                self._drop(slot)

    def close(self) -> None:
        if self.ray.is_initialized():
            self._drop_all()
            if self._started:
                self.ray.shutdown()
        self._started, self._work, self._shared, self._slots = False, b"", None, []

    def _connect(self) -> None:
        """Join the cluster of this process if there is one, else the one that is named, else start one."""
        if self.ray.is_initialized():
            return
        address = self.config.address or os.environ.get("RAY_ADDRESS") or "local"
        own = {"include_dashboard": False} if address == "local" else {}
        try:
            _reach(address)
            self.ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except Exception as error:  # Ray raises whatever its transport does, OSError among it
            reason = str(error).strip().partition("\n")[0]
            raise NastkError(
                f"The Ray cluster {address!r} cannot be reached ({type(error).__name__}: {reason}): start it with `ray start "
                "--head`, set RAY_ADDRESS or executor.address, or leave both empty to start one on this machine."
            ) from error
        self._started = True
        self._work = b""

    def _wanted(self) -> int:
        """How many actors there may be: what was asked for, or what the cluster has room for now."""
        if self.config.workers:
            return self.config.workers
        if time.monotonic() - self._looked >= PATIENCE:
            self._looked, self._room = time.monotonic(), self._room_now()
        return self._room

    def _room_now(self) -> int:
        config = self.config
        need = {"CPU": config.cpus, "GPU": config.gpus, "memory": config.memory * MIB}
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        room = sum(
            math.floor(min(node.get(name, 0.0) / amount for name, amount in need.items() if amount) + 1e-9) for node in nodes
        )
        if not room and not self._room:
            asked = ", ".join(f"{amount:g} {name}" for name, amount in need.items() if amount)
            raise NastkError(
                f"No node of the Ray cluster has room for a trial ({asked}): ask for less in [executor], add nodes, or say "
                "executor.workers where nodes come on demand."
            )
        return room or 1  # nodes that died may come back

    def _start(self, running: Running) -> None:
        """Give every idle actor a trial, and make actors that are missing."""
        busy = sum(slot.trial is not None for slot in self._slots)
        while len(self._slots) < min(self._wanted(), busy + len(running.waiting)):
            self._slots.append(Slot(self._actor()))
        for slot in self._slots:
            if running.waiting and slot.ready and slot.trial is None:
                number = running.waiting.popleft()
                slot.give(number, running.trials[number])

    def _actor(self) -> Any:
        config = self.config
        options = {"num_cpus": config.cpus, "num_gpus": config.gpus, "max_restarts": 0, "max_task_retries": 0}
        if config.memory:
            options["memory"] = config.memory * MIB
        return self.ray.remote(**options)(TrialActor).remote(self._shared, max(1, int(config.cpus)))

    def _listen(self, running: Running) -> None:
        """Wait for the next answer of an actor, its end, or the end of a trial's time."""
        limit, now = self.config.timeout, time.monotonic()
        left = [slot.began + limit - now for slot in self._slots if slot.trial is not None] if limit is not None else []
        owing = {slot.owed: slot for slot in self._slots if slot.trial is not None or not slot.ready}
        heard, _ = self.ray.wait(list(owing), num_returns=1, timeout=max(0.0, min([PATIENCE, *left])))
        for answer in heard:
            self._heard(owing[answer], running)
        for slot in list(self._slots):
            if limit is not None and slot.trial is not None and time.monotonic() - slot.began >= limit:
                failure = f"it took longer than {limit:g} s (timeout)"
                running.done[slot.trial] = Report(running.trials[slot.trial], failure=failure)
                self._drop(slot)

    def _heard(self, slot: Slot, running: Running) -> None:
        number = slot.trial
        try:
            found = self.ray.get(slot.owed)
        except Exception as error:  # of Ray, or of the actor's constructor; a trial's own came back in its report
            self._died(slot, cause_of(error), running)
            return
        if number is None:
            slot.ready, self._unready = True, 0
        else:
            running.done[number], slot.trial = found, None

    def _died(self, slot: Slot, cause: str, running: Running) -> None:
        number = slot.trial
        if number is None:
            self._unready += 1
            if self._unready > self.config.retries:
                raise NastkError(f"Workers of the executor 'ray' do not get ready: {cause}")
        else:
            running.died(number, cause, self.config.retries)
        self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self.ray.kill(slot.actor, no_restart=True)

    def _drop_all(self) -> None:
        for slot in list(self._slots):
            self._drop(slot)


def _reach(address: str) -> None:
    """Raise :class:`OSError` when nobody listens at ``host:port``: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdigit():
        socket.create_connection((host, int(port)), REACH).close()


class Running:
    """The trials of one call: which wait, why some had to be tried again, and which are done."""

    def __init__(self, trials: Sequence[Proposal]) -> None:
        self.trials = trials
        self.waiting = deque(range(len(trials)))
        self.causes: list[list[str]] = [[] for _ in trials]
        self.done: dict[int, Report] = {}

    def died(self, number: int, cause: str, retries: int) -> None:
        """Try a trial again, or let it have failed."""
        if len(self.causes[number]) < retries:
            self.causes[number].append(cause)
            self.waiting.appendleft(number)
        else:
            self.done[number] = Report(self.trials[number], failure=cause)


def cause_of(error: Exception) -> str:
    """Why an actor is no more, in a line: what Ray says of it, without its guesses and the numbers of the actor."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "died" in line or "dead" in line or "killed" in line] or lines[-1:]
    return f"{type(error).__name__}: {' '.join(told).partition(' Some common causes')[0]}"
