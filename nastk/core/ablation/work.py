"""One job of a study: its run begun or gone on with, in a directory of its own, here or in a process for it alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection, wait
from pathlib import Path

from attrs import evolve, frozen

from nastk.core.ablation.metrics import figures
from nastk.core.ablation.plan import Job
from nastk.core.cell.graph import Genotype
from nastk.core.cell.resize import resized, settings_of
from nastk.core.config import unstructure
from nastk.core.errors import Interrupted, NastkError, Paused, Terminated
from nastk.core.run.lock import holder
from nastk.core.run.manifest import config_of
from nastk.core.run.run import load_genotype, prepare, run, stored_genotype
from nastk.core.run.runfile import typed
from nastk.core.run.session import GENOTYPE, RESULT
from nastk.core.run.store import RunDirectory
from nastk.core.settings import RunConfig

MANIFEST = "manifest.toml"
REPORTERS = ("jsonl",)
STOPS = (Interrupted, Terminated, Paused)
"""Ends of a process, not of a run: it is gone on with."""
PATIENCE = 20.0
"""Seconds for another process, of a study that was killed, to let go of a run."""


@frozen
class Work:
    """A job that can travel: plain data, no code."""

    key: str
    kind: str
    config: str
    found_by: str
    as_long_as: str

    @classmethod
    def of(cls, job: Job) -> Work:
        """The work of a job."""
        return cls(job.key, job.kind, json.dumps(unstructure(job.config)), job.found_by, job.as_long_as)


def finished(folder: Path, job: Job) -> dict[str, float] | None:
    """The numbers of a job that is done; ``None`` for one that is not. Raises :class:`OutputError` for a damaged one."""
    if not (folder / job.key / RESULT).is_file():
        return None
    result = RunDirectory(folder / job.key).read_json(RESULT)
    if job.kind == "search":
        return {} if result["status"] != "started" else None
    return figures(result) if result["status"] == "done" else None


def perform(folder: Path, work: Work) -> None:
    """Begin a job, or go on with it, to its end. Raises :class:`NastkError` as a run does."""
    path = folder / work.key
    begun = (path / MANIFEST).is_file()
    _wait_for(path)
    if begun and work.kind == "run":
        run(resume=path)
        return
    config = typed(json.loads(work.config), str(path)) if not begun else config_of(RunDirectory.open(path))
    if work.as_long_as and not begun:
        seconds = RunDirectory(folder / work.as_long_as).read_json(RESULT)["search"]["seconds"]
        config = evolve(config, budget=evolve(config.budget, minutes=max(seconds, 1.0) / 60))
    if work.kind == "run":
        run(config, out=path)
    elif work.kind == "search":
        _search(config, path, begun)
    else:
        _retrain(config, load_genotype(folder / work.found_by / GENOTYPE), path, begun)


def _search(config: RunConfig, path: Path, begun: bool) -> None:
    session = prepare(config)
    store = RunDirectory(path) if begun else RunDirectory.create(path)
    with session.writing(store, REPORTERS, resumed=begun):
        if (path / GENOTYPE).is_file():  # killed while it was being stored
            session.take(stored_genotype(store, session))
        else:
            session.search()


def _retrain(config: RunConfig, genotype: Genotype, path: Path, begun: bool) -> None:
    session = prepare(config if begun else _of_found(config, genotype))
    sized = resized(genotype, session.config.model)
    session.space.encode(sized)
    store = RunDirectory(path) if begun else RunDirectory.create(path)
    with session.writing(store, REPORTERS, resumed=begun):
        if session.result["genotype"] is None:
            session.take(sized)
        session.finish(sized)


def _of_found(config: RunConfig, genotype: Genotype) -> RunConfig:
    """The settings of a retraining: what the search decided is fixed, and nothing is trained at proxy size."""
    document = unstructure(config)
    decided = settings_of(genotype)["model"]
    for name, value in document["model"].items():
        if isinstance(value, dict) and "choices" in value:
            document["model"][name] = decided[name]
    document["proxy"] = {**document["proxy"], "cells": 0}
    return typed(document, "the genotype that was found")


def _wait_for(path: Path) -> None:
    """Wait for a worker of a killed study that has not noticed yet."""
    deadline = time.monotonic() + PATIENCE
    while (path / MANIFEST).is_file() and holder(path) and time.monotonic() < deadline:
        time.sleep(0.1)


def reason(error: Exception) -> str:
    """Why a run failed, for the table."""
    return str(error) if isinstance(error, NastkError) else f"{type(error).__name__}: {error}"


def serve(pipe: Connection, folder: str, work: Work, threads: int, log: str) -> None:
    """In a process of its own: perform a job, and send an empty text, or the reason of its failure."""
    _follow_the_driver()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    import torch

    torch.set_num_threads(threads)
    try:
        perform(Path(folder), work)
    except STOPS:
        sys.exit(signal.SIGTERM)
    except Exception as error:  # a run must not end the study; the reason is kept
        traceback.print_exc()
        pipe.send(reason(error))
        return
    pipe.send("")


def _follow_the_driver() -> None:
    """End with the driver, even when it is killed: the study is gone on with by another one."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
