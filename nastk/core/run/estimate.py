"""What a run will take, before it starts: time, memory, parameters, trials. Measured, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import asdict, frozen

from nastk.core.config import unstructure
from nastk.core.errors import NastkError
from nastk.core.run.rehearsal import Rehearsal, searched
from nastk.core.run.run import prepare
from nastk.core.run.runfile import Source, configure, typed
from nastk.core.settings import RunConfig

MIB = 2**20


@frozen
class StageEstimate:
    """One stage of a run: ``steps`` of ``unit``, and the minutes of all of them together."""

    stage: str
    steps: int
    unit: str
    minutes: float


@frozen
class Estimate:
    """What a run will take."""

    stages: tuple[StageEstimate, ...]
    """``start`` (imports, data), ``search``, ``train`` and ``test``; a run on a table has the first two alone."""
    evaluations: int
    """Trials that the search will ask for."""
    supernet_parameters: int | None
    """Learned numbers of the supernet at proxy size; ``None`` for a strategy without one."""
    network_parameters: tuple[int, int] | None
    """Fewest and most learned numbers of the final networks that were tried; ``None`` on a table."""
    memory_mib: float | None
    """Peak of the memory that torch has on the device, or of the process where the device is the CPU; ``None`` where the
    system does not say."""
    device: str
    precision: str
    notes: tuple[str, ...]
    """Sentences about what the figures mean."""

    @property
    def minutes(self) -> float:
        """Of the whole run."""
        return sum(stage.minutes for stage in self.stages)

    def document(self) -> dict[str, Any]:
        """Plain data, ``minutes`` included."""
        return {"minutes": self.minutes, **asdict(self)}


def estimate(config: Source = None, *, set: Sequence[str] = (), **settings: Any) -> Estimate:
    """What :func:`nastk.run` would take with these settings; arguments as there.

    The session is built as for a run; then the strategy's own steps and the trainer's are timed on few batches of real
    size. Nothing is written and the test data stay closed. It is done in a fresh process, so the peak is that of the run
    and of nothing else; plug-ins have to be installed. Raises :class:`NastkError` where a run would refuse.
    """
    document = {
        "config": unstructure(configure(config, set, **settings)),
        "threads": torch.get_num_threads(),
        "began": time.time(),
    }
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=False)
    answer = done.stdout.splitlines()[-1:] if done.returncode == 0 else []
    if not answer:
        raise NastkError(_died(done.returncode, done.stderr))
    found = json.loads(answer[0])
    if "refused" in found:
        raise NastkError(found["refused"])
    found.pop("minutes")
    stages = tuple(StageEstimate(**stage) for stage in found.pop("stages"))
    sizes = found.pop("network_parameters")
    return Estimate(**found | {"stages": stages, "network_parameters": sizes and tuple(sizes), "notes": tuple(found["notes"])})


def measure(config: RunConfig, began: float) -> Estimate:
    """:func:`estimate` in this process, whose memory then counts from its start; ``began`` is when that was (``time.time``)."""
    session = Rehearsal(config) if config.benchmark is None else prepare(config)
    stages = [StageEstimate("start", 1, "session", (time.time() - began) / 60)]
    found = searched(session)
    stages.append(StageEstimate("search", found.steps, "steps", found.seconds / 60))
    notes, sizes, supernet = list(session.notices), [], None
    if isinstance(session, Rehearsal):
        supernet = session.supernet_parameters()
        times = []
        for network in session.networks(found.genotype):
            sizes.append(sum(p.numel() for name, p in network.named_parameters() if ".auxiliary." not in name))
            times.append(session.training(network))
        notes.append(
            f"Training depends on what is found: {min(times) / 60:.2g} to {max(times) / 60:.2g} minutes "
            "for the networks that were tried."
        )
        stages.append(StageEstimate("train", config.train.epochs, "epochs", statistics.mean(times) / 60))
        stages.append(StageEstimate("test", 1, "pass", session.testing(network) / 60))
        notes.append("The test data stay closed: their number is taken to be that of the validation part.")
        if config.executor.name != "inline":
            notes.append(f"Trials are timed one after another; the executor {config.executor.name!r} may run them side by side.")
    else:
        notes.append("Trials and the test are look-ups: seconds.")
    return Estimate(
        stages=tuple(stages),
        evaluations=found.evaluations,
        supernet_parameters=supernet,
        network_parameters=(min(sizes), max(sizes)) if sizes else None,
        memory_mib=peak(session.device),
        device=str(session.device),
        precision=session.config.precision,
        notes=tuple(notes),
    )


def peak(device: torch.device) -> float | None:
    """The most memory so far in MiB: of torch on a CUDA device, else the resident size of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / MIB
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would give the peak of the process that started this one, where that is larger
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def _died(code: int, output: str) -> str:
    last = output.strip().splitlines()[-1:] or [""]
    if code in (-9, 137):
        return "The estimate was killed, as the run would be, most likely for want of memory: use a smaller batch."
    return f"The estimate ended with code {code}: {last[0]}"


def main() -> None:
    """Read a configuration from standard input, write the estimate as one line of JSON."""
    document = json.load(sys.stdin)
    torch.set_num_threads(document["threads"])
    with contextlib.redirect_stdout(sys.stderr):  # a plug-in may print
        try:
            found = measure(typed(document["config"], "the run's settings"), document["began"]).document()
        except NastkError as error:
            found = {"refused": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
