"""A run whose networks several processes train together, each on its share of every batch: ``torchrun ... -m nastk run``.

All ranks go through the same run. What could part them is agreed upon: the time, and whether to stop. Rank 0 has the run
directory and the reporters; the others keep their own view of it in a temporary folder, and are silent.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from nastk.core.errors import ConfigError
from nastk.core.model.cellnet import CellModule
from nastk.core.model.distributed import averaged, with_shared_norms
from nastk.core.ranks import launched, ranks, taking_part
from nastk.core.run.store import RunDirectory
from nastk.core.settings import RunConfig

P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N", bound=nn.Module)

SOURCE = "torchrun, several processes"
_folders: list[Path] = []


@contextmanager
def group() -> Iterator[None]:
    """Take part in the group that the environment tells of; nothing where there is none, or one is joined already."""
    place = launched()
    if place.size == 1 or ranks().size > 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(place.local % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", rank=place.rank, world_size=place.size)
    try:
        with taking_part(place):
            yield
    finally:
        for folder in _folders:
            shutil.rmtree(folder, ignore_errors=True)
        _folders.clear()
        dist.destroy_process_group()


def shared(stage: Callable[P, R]) -> Callable[P, R]:
    """A function that runs in the group of the environment."""

    @functools.wraps(stage)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with group():
            return stage(*args, **kwargs)

    return call


def check_shared(config: RunConfig) -> None:
    """Refuse what several processes cannot do together. Raises :class:`ConfigError`."""
    if ranks().size == 1:
        return
    faults = []
    if config.executor.name != "inline":
        faults.append(
            f"executor: {config.executor.name!r} runs trials elsewhere, and here every process trains its share: inline"
        )
    if config.benchmark is not None:
        faults.append("benchmark: a table trains nothing: start one process")
    if config.capture:
        faults.append("capture: a step that waits for other processes is not recorded: leave it out")
    if ":" in config.device:
        faults.append(f"device: {config.device!r} is one for all: say cuda, and each process takes its own")
    if faults:
        raise ConfigError(faults, SOURCE)


def joined(network: N) -> N:
    """The network, made to learn on shares what it would learn on whole batches; as it is where there is one process.

    Raises :class:`ConfigError` for what has statistics of its own: other batch norms, merged kernels.
    """
    if ranks().size > 1:
        if any(isinstance(module, CellModule) and module.relaxation.merged for module in network.modules()):
            fault = "strategy.relaxation.merged: its kernels take their statistics from one process: start one"
            raise ConfigError([fault], SOURCE)
        with_shared_norms(network)
        for parameter in network.parameters():
            averaged(parameter)
    return network


def first(value: float) -> float:
    """Rank 0's number, for all: a time that was measured, before anything is decided by it."""
    if ranks().size == 1:
        return value
    told = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(told, 0)
    return float(told)


def anyone(asked: bool) -> bool:
    """Whether some rank was asked to."""
    if ranks().size == 1:
        return asked
    count = torch.tensor(int(asked))
    dist.all_reduce(count)
    return bool(count)


def own_directory(path: Path) -> RunDirectory:
    """The directory of a run that exists; for the others than rank 0 a copy of it, made before rank 0 goes on."""
    store = RunDirectory.open(path)
    if ranks().size == 1:
        return store
    if ranks().rank:
        store = RunDirectory(own_folder() / "run")
        shutil.copytree(path, store.path)
    dist.barrier()
    return store


def own_folder() -> Path:
    """A temporary folder that goes when the group ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"nastk-rank-{ranks().rank}-"))
    _folders.append(folder)
    return folder
