"""Strategies by seeds, played in a table and in memory, spread over processes; equal results whatever their number."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache

import torch
from attrs import evolve, frozen

from nastk.core.bench.regret import Objective, Trajectory, trajectory, value_of
from nastk.core.config import unstructure
from nastk.core.errors import NastkError
from nastk.core.run.runfile import typed
from nastk.core.run.strategy import SearchContext
from nastk.core.run.tabular import TabularRun

Progress = Callable[[int, int], None]
"""Told how many seeds are done, and of how many."""
LONGEST_TASK = 10
"""Seeds that a process plays before it says so: enough to hide what handing them over costs, few enough for a live display."""
TASKS_A_WORKER = 8
HOUR = 3600.0


@frozen
class _Task:
    """Some seeds of one strategy."""

    run: int
    seeds: tuple[int, ...]


def play(run: TabularRun, seed: int, objective: Objective = "test") -> Trajectory:
    """One search of a prepared run under a seed of its own: no directory, no events, nothing kept but its trials."""
    config = evolve(run.config, seed=seed)
    strategy = run.strategy
    context = SearchContext(run.space, run.context.evaluation, config, config.executor.build(), unheard)
    planned, trials = strategy.steps, context.trials
    state = strategy.begin(context)
    while context.step < planned and not trials.over and not strategy.finished(state):
        state = strategy.step(context, state)
        context.step += 1
    hours = config.budget.device_hours
    return trajectory(seed, trials.values(), value_of(run.benchmark, objective), None if hours is None else hours * HOUR)


def tournament(
    runs: Sequence[TabularRun], seeds: int, objective: Objective, workers: int, progress: Progress
) -> list[list[Trajectory]]:
    """The seeds 0 to ``seeds - 1`` of every prepared run, in order.

    With several workers each is a process that starts anew and prepares the run from its configuration alone, so a
    plug-in has to be installed there. A trajectory depends on configuration and seed alone. Raises :class:`NastkError`
    when a worker ends before its time.
    """
    total = seeds * len(runs)
    size = max(1, min(LONGEST_TASK, total // (workers * TASKS_A_WORKER)))
    parts = [tuple(range(first, min(first + size, seeds))) for first in range(0, seeds, size)]
    # Round about, so that the pace so far says something about the rest.
    tasks = [_Task(i, part) for part in parts for i in range(len(runs))]
    found: list[dict[int, Trajectory]] = [{} for _ in runs]
    done = 0
    progress(done, total)
    played = _in_workers(runs, tasks, objective, min(workers, len(tasks))) if workers > 1 else _here(runs, tasks, objective)
    for task, ended in played:
        found[task.run] |= {one.seed: one for one in ended}
        done += len(ended)
        progress(done, total)
    return [[of_run[seed] for seed in range(seeds)] for of_run in found]


Played = Iterator[tuple[_Task, list[Trajectory]]]


def _here(runs: Sequence[TabularRun], tasks: Sequence[_Task], objective: Objective) -> Played:
    for task in tasks:
        yield task, _play(runs[task.run], task.seeds, objective)


def _in_workers(runs: Sequence[TabularRun], tasks: Sequence[_Task], objective: Objective, workers: int) -> Played:
    """Each task as it is done, in any order."""
    documents = [json.dumps(unstructure(run.config)) for run in runs]
    spawn = multiprocessing.get_context("spawn")  # a fork of a process that has imported torch may hang
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin) as pool:
        try:
            waiting: dict[Future[list[Trajectory]], _Task] = {
                pool.submit(_played, documents[task.run], task.seeds, objective): task for task in tasks
            }
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool as error:
            raise NastkError(
                "A worker process ended before its time: out of memory, or a script that calls nastk.bench outside of "
                '`if __name__ == "__main__":`. With one worker everything runs in this process.'
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """In a worker: Ctrl-C reaches every process of a terminal, and the first one alone says what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _played(document: str, seeds: Sequence[int], objective: Objective) -> list[Trajectory]:
    """In a worker: the seeds of a configuration. What is raised has to travel, so it is a plain :class:`NastkError`."""
    try:
        run = _prepared(document)
    except NastkError as error:  # the first process could prepare it
        raise NastkError(f"{error} Worker processes know installed plug-ins only: install it, or use one worker.") from None
    return _play(run, seeds, objective)


@lru_cache(maxsize=16)
def _prepared(document: str) -> TabularRun:
    return TabularRun(typed(json.loads(document), "the benchmark that started this worker"))


def _play(run: TabularRun, seeds: Sequence[int], objective: Objective) -> list[Trajectory]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # processes share the cores, and the rounding of a sum must not depend on their number
    try:
        return [play(run, seed, objective) for seed in seeds]
    finally:
        torch.set_num_threads(threads)


def unheard(*said: object) -> None:
    """For who has nobody to tell."""
    del said
