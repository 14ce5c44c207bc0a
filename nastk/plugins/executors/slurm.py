"""Trials as jobs of a Slurm cluster, through submitit; what comes back is JSON, and nothing else is read."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt

from nastk.core import mark
from nastk.core.errors import NastkError, OutputError
from nastk.core.extras import needed
from nastk.core.run.executor import Executor, Work
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import packed
from nastk.plugins.executors.job import report_in, run_job
from nastk.plugins.executors.worker import TAIL, with_causes

MIB_A_GB = 1024
"""As Slurm counts: its GB are GiB."""
LOOKS = (0.2, 10.0)
"""Seconds between two looks at the jobs: the first, and the longest; each is half as long again as the one before."""
PATIENCE = 10.0
"""Seconds that a report may take to be seen here after its job has ended: network disks lag behind."""


@frozen(kw_only=True)
class SlurmConfig:
    """Settings of ``slurm``."""

    cluster: Literal["slurm", "local", "debug"] = field(
        default="slurm", metadata={"help": "jobs of Slurm, processes of this machine, or this process, to try things out"}
    )
    partition: str = field(default="", metadata={"help": "partition; empty: the cluster's default"})
    account: str = field(default="", metadata={"help": "account that is charged; empty: the user's default"})
    minutes: int = field(default=60, validator=ge(1), metadata={"help": "time limit of a trial"})
    cpus: int = field(default=1, validator=ge(1), metadata={"help": "CPUs of a trial; also its threads"})
    gpus: int = field(default=0, validator=ge(0), metadata={"help": "GPUs of a trial"})
    memory: int = field(default=4096, validator=gt(0), metadata={"help": "MiB of a trial"})
    parallel: int = field(default=256, validator=ge(1), metadata={"help": "jobs of one array that run at a time"})
    retries: int = field(default=2, validator=ge(0), metadata={"help": "further tries of a trial whose job gave no report"})
    folder: str = field(default="slurm-logs", metadata={"help": "where each array gets a folder of its own for its logs"})


@mark.executor("slurm", config=SlurmConfig)
class Slurm(Executor):
    """Trials as jobs of a Slurm array; a job that ends without a report costs its trial alone, and is tried again.

    Each job builds data and space anew from the run's configuration, so trials should take minutes at least. Reports are
    those of ``inline``, as JSON keeps them; a trial that was tried again has the causes in its figure ``retried``. A search
    that has no more budget cancels the jobs that are left.

    Raises :class:`BrokenPlugin` without submitit, :class:`NastkError` where there is no Slurm or it refuses the jobs, and
    :class:`OutputError` for a folder that cannot be made, or that others may write to.
    """

    def __init__(self, config: SlurmConfig) -> None:
        self.config = config
        self.isolated = config.cluster != "debug"
        self.submitit = needed("submitit", "slurm", "The executor 'slurm'")
        if config.cluster == "slurm" and self.submitit.SlurmExecutor.affinity() < 0:
            raise NastkError("There is no Slurm here (srun is not found): run where it is, or try executor.cluster = 'local'.")

    def run(self, trials: Sequence[Proposal], work: Work) -> Iterator[Report]:
        if not trials:
            return
        array = Array(self, trials, packed(work))
        try:
            array.submit(range(len(trials)))
            for number in range(len(trials)):
                yield array.report(number)
        finally:
            array.close()

    def submitter(self, folder: Path) -> Any:
        """submitit's executor with these settings."""
        config = self.config
        found = self.submitit.AutoExecutor(folder=folder, cluster=config.cluster)
        extra = {"slurm_partition": config.partition, "slurm_account": config.account}
        found.update_parameters(
            name="nastk",
            timeout_min=config.minutes,
            cpus_per_task=config.cpus,
            gpus_per_node=config.gpus,
            mem_gb=config.memory / MIB_A_GB,
            slurm_array_parallelism=config.parallel,
            **{name: value for name, value in extra.items() if value},
        )
        return found


class Array:
    """The jobs of one call, in a folder that nobody else may enter."""

    def __init__(self, executor: Slurm, trials: Sequence[Proposal], work: bytes) -> None:
        self.executor, self.trials, self.work = executor, trials, work
        self.folder = private_folder(Path(executor.config.folder))
        self.submitter = executor.submitter(self.folder)
        self.jobs: dict[int, Any] = {}
        self.causes: list[list[str]] = [[] for _ in trials]
        self.waiting = set(range(len(trials)))
        self.done: dict[int, Report] = {}
        self.ended: dict[str, float] = {}
        """When a job was first seen to have ended without a report being there."""

    def submit(self, numbers: Sequence[int]) -> None:
        """One array of jobs for these trials."""
        threads = self.executor.config.cpus
        arguments = [(self.work, self.trials[n].genotype.to_json(), self.trials[n].epochs, threads) for n in numbers]
        places = [str(self._place(n)) for n in numbers]
        try:
            jobs = self.submitter.map_array(run_job, *map(list, zip(*arguments, strict=True)), places)
        except Exception as error:  # sbatch says why in the last line
            reason = str(error).strip().splitlines()[-1:]
            raise NastkError(f"Slurm refuses the jobs ({type(error).__name__}): {' '.join(reason)}") from error
        self.jobs |= dict(zip(numbers, jobs, strict=True))

    def report(self, number: int) -> Report:
        """Wait for a trial; meanwhile those whose job ended without a report are tried again."""
        pause = LOOKS[0]
        while True:
            self._look()
            if number in self.done:
                return with_causes(self.done.pop(number), self.causes[number])
            time.sleep(pause)
            pause = min(1.5 * pause, LOOKS[1])

    def _look(self) -> None:
        """Take the reports that are there, and find out which jobs will give none."""
        again = []
        for number in sorted(self.waiting):
            job, place = self.jobs[number], self._place(number)
            ended = job.done()
            if place.exists():
                report = report_in(place, self.trials[number])
            elif not ended or time.monotonic() - self.ended.setdefault(job.job_id, time.monotonic()) < PATIENCE:
                continue
            else:
                report = None
            if report is None and len(self.causes[number]) < self.executor.config.retries:
                self.causes[number].append(self._cause(job))
                again.append(number)
                continue
            self.done[number] = report or Report(self.trials[number], failure=f"{self._cause(job)}{tail(job)}")
            self.waiting.remove(number)
        if again:
            self.submit(again)

    def close(self) -> None:
        """Cancel what is left, and remove all but the logs."""
        for number in self.waiting:
            with suppress(Exception):  # a job that has ended meanwhile, or was never begun
                self.jobs[number].cancel(check=False)
        for path in (*self.folder.glob("*.pkl"), *self.folder.glob("*.json")):
            path.unlink(missing_ok=True)

    def _place(self, number: int) -> Path:
        """Where the report of a trial's present try is written."""
        return self.folder / f"trial-{number}-{len(self.causes[number])}.json"

    @staticmethod
    def _cause(job: Any) -> str:
        return f"the job {job.job_id} ended without a report ({job.state})"


def tail(job: Any) -> str:
    """The end of what a job wrote to standard error."""
    try:
        text = Path(job.paths.stderr).read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
    except OSError:
        return ""
    return f"\n{text}" if text else ""


def private_folder(parent: Path) -> Path:
    """A new folder below ``parent`` that only the user may enter. Raises :class:`OutputError` where that cannot be."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="array-", dir=parent.resolve()))
        found = folder.stat()
    except OSError as error:
        raise OutputError(f"The folder {parent} (from executor.folder) cannot be used: {error.strerror or error}.") from error
    private = stat.S_IMODE(found.st_mode) == stat.S_IRWXU and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
    if not private:
        raise OutputError(f"{folder} is open to others (its disk keeps no modes): name another place in executor.folder.")
    return folder
