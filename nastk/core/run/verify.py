"""Whether a run can be repeated here: steps are executed again from a checkpoint, and the bits compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from nastk.core.run.compare import difference
from nastk.core.run.manifest import config_of, manifest
from nastk.core.run.retry import Retries
from nastk.core.run.run import Run, prepare, stored_genotype
from nastk.core.run.search import STAGE, search
from nastk.core.run.session import GENOTYPE, Session
from nastk.core.run.store import RunDirectory
from nastk.core.run.training import Trainer, TrainState
from nastk.core.run.trial import Report
from nastk.core.run.trial_log import TrialLog

CLOCKS = ("seconds",)
"""What a clock wrote, and no repetition gives again."""
SURROUNDINGS = ("machine", "versions", "code")
"""The parts of a manifest that say where and with what a run was made."""


@frozen
class StageVerdict:
    """What became of a stage that was executed again from its step ``first`` to its step ``last``."""

    stage: str
    first: int
    last: int
    difference: str
    """Where the states differ, ``.weights.stem.0``; empty when all bits are equal."""


@frozen
class Verification:
    """The stages that could be repeated, and what is not here as it was when the run was made."""

    stages: tuple[StageVerdict, ...]
    surroundings: Mapping[str, tuple[Any, Any]]
    """Entry of the manifest -> (then, now), where they differ."""

    @property
    def holds(self) -> bool:
        """Whether something was repeated, and all of it is equal to the bit."""
        return bool(self.stages) and not any(stage.difference for stage in self.stages)


def verify(directory: str | Path, steps: int = 1) -> Verification:
    """Execute the last steps of search and training again and compare; the run is only read.

    Goes back to the last checkpoint that lies at least ``steps`` steps before the end of a stage, or to the one that
    lies farthest back, and to the very start where the stage is not longer than that. Trials are run again.
    Raises :class:`NastkError` for a directory that is no run, or one that cannot run here.
    """
    store = RunDirectory.open(Path(directory))
    prepared = prepare(evolve(config_of(store), reporters=()))
    now, then = manifest(prepared.config, prepared.device), store.read_toml("manifest.toml")
    differing = dict(_differing({n: then.get(n, {}) for n in SURROUNDINGS}, {n: now[n] for n in SURROUNDINGS}))
    try:
        stages = [_search(store, prepared, steps)]
        if isinstance(prepared, Run) and (store.path / GENOTYPE).is_file():
            stages.append(_train(store, prepared, steps))
    finally:
        prepared.context.close()
    return Verification(tuple(stage for stage in stages if stage is not None), differing)


def _differing(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted(then.keys() | now.keys()):
        one, two = then.get(name), now.get(name)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            yield from _differing(one, two, f"{path}{name}.")
        elif one != two:
            yield f"{path}{name}", (one, two)


def _start(kept: list[tuple[int, Any]], steps: int) -> tuple[int, Any]:
    """The checkpoint to go on from, or (0, None): the start."""
    last = kept[0][0]
    if last <= steps:
        return 0, None
    return next((found for found in kept[1:] if last - found[0] >= steps), kept[-1] if len(kept) > 1 else (0, None))


def _search(store: RunDirectory, prepared: Session, steps: int) -> StageVerdict | None:
    kept = list(store.kept(STAGE))
    if not kept:
        return None
    last, wanted = kept[0]
    first, start = _start(kept, steps)
    context = prepared.context
    log = TrialLog(store.path)
    reports = [report for report in log.read() if report is not None]
    log.close()
    context.config = evolve(context.config, budget=evolve(context.config.budget, steps=last, minutes=None))
    with tempfile.TemporaryDirectory(prefix="nastk-verify-") as folder:
        again = RunDirectory(Path(folder))
        if start is not None:
            again.save(STAGE, first, start)
            copy = TrialLog(again.path)
            for number, report in enumerate(reports[: start["trials"]], start=1):
                copy.keep(number, report)
            copy.close()
        search(prepared.strategy, context, again, every=0)
        found = again.load(STAGE)
    where = difference(_timeless(wanted["state"]), _timeless(found["state"]), ".state") if found else ".state"
    told = [_told(report) for report in reports[: wanted["trials"]]]
    where = where or difference(told, [_told(report) for report in context.trials.values()], ".trials")
    return StageVerdict(STAGE, first, last, where)


def _train(store: RunDirectory, prepared: Run, steps: int) -> StageVerdict | None:
    kept = list(store.kept(Trainer.stage))
    if not kept:
        return None
    last, wanted = kept[0]
    first, start = _start(kept, steps)
    network = prepared.build(stored_genotype(store, prepared))
    trainer = Trainer(network, prepared.task, prepared.config.train, prepared.config.seed, lambda _: None, prepared.splits)
    state = trainer.begin()
    if start is not None:
        trainer.load(TrainState(first, start["weights"], start["optimizer"]))
    rates = Retries(prepared.config.divergence, wanted.get("retries"))  # those tries alone that went well are made again
    for epoch in range(first, last):
        state = trainer.epoch(epoch, rates.rate(epoch))
    found = {"weights": state.weights, "optimizer": state.optimizer}
    return StageVerdict(Trainer.stage, first, last, difference({name: wanted[name] for name in found}, found))


def _told(report: Report) -> dict[str, Any]:
    figures = {name: value for name, value in report.figures.items() if name not in CLOCKS}
    return {"digest": report.proposal.digest, "figures": figures, "failure": report.failure}


def _timeless(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _timeless(value) for name, value in state.items() if name not in CLOCKS}
    return state
