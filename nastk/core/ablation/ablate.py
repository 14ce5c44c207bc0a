"""A study from its file to its tables: begun, gone on with, grown, and read again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nastk.core.ablation.figures import draw_metric
from nastk.core.ablation.ledger import Ledger, read_entries
from nastk.core.ablation.outcome import StudyResult, outcome
from nastk.core.ablation.plan import Plan, planned
from nastk.core.ablation.runner import Progress, carry_out, unheard
from nastk.core.ablation.study import Source, read_study
from nastk.core.ablation.tables import comma_separated, latex, markdown
from nastk.core.bench.statistics import stats
from nastk.core.errors import Interrupted, NastkError, OutputError, Paused, Terminated
from nastk.core.report.report import study_page
from nastk.core.run.lock import locked
from nastk.core.run.manifest import manifest
from nastk.core.run.store import RunDirectory

FILE = "study.toml"
SCHEMA = 1


def ablate(
    study: Source | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    retry_failed: bool = False,
    workers: int = 1,
    progress: Progress = unheard,
) -> StudyResult:
    """Run every cell of a study under every seed, compare them, and write tables and pictures.

    ``study`` is a TOML file or plain data; ``out`` a new or empty directory (default: a fresh one below ``studies/``).
    ``resume`` goes on with one: alone with its own study, or with a ``study`` that has other cells, seeds or metrics; a
    run that is done is not repeated, whichever study asked for it. One that has failed is gone on with, from its last
    checkpoint, where ``retry_failed`` asks for it. ``workers`` are processes; 1 is this one. ``progress`` is told how far it
    is. Raises :class:`NastkError` for all that a user can mend; a run that fails does not end the study.
    """
    if workers < 1:
        raise NastkError(f"--workers must be 1 or more, got {workers}.")
    if resume is not None and out is not None:
        raise NastkError("A resumed study stays in its directory: give --resume without --out.")
    if retry_failed and resume is None:
        raise NastkError("A new study has no failed runs: give --retry-failed with --resume DIR.")
    stats()  # said before hours of work, not after
    plan = _plan(study, resume)
    session = _prepared(plan)
    store = RunDirectory(Path(resume)) if resume is not None else _new(out, plan)
    with locked(store.path), Ledger(store.path) as ledger:
        store.sweep()
        written = {name: entry for name, entry in manifest(session.config, session.device).items() if name != "config"}
        store.write_toml(FILE, {**written, "schema": SCHEMA, "study": plan.study.document})
        try:
            carry_out(plan, store.path, ledger, workers, progress, retry_failed)
        except (Interrupted, Terminated, Paused, KeyboardInterrupt) as error:
            kind = type(error) if isinstance(error, NastkError) else Interrupted
            raise kind(f"The study stopped; what is done is kept. Go on with: nastk ablate --resume {store.path}") from None
        found = outcome(plan, ledger.entries(), store.path)
        write_outcome(found, store)
    return found


def study_of(directory: str | Path) -> StudyResult:
    """What a study has come to so far; nothing is run or written. Raises :class:`OutputError` where there is none."""
    return outcome(_plan(None, directory), read_entries(Path(directory)), Path(directory))


def write_outcome(found: StudyResult, store: RunDirectory) -> None:
    """Write ``table.md``, ``table.tex``, ``table.csv``, ``study.json``, ``report.html``, and a picture of each metric as PNG and
    SVG.
    """
    store.write("table.md", markdown(found, f"Study {store.path.resolve().name}"))
    store.write("table.tex", latex(found))
    store.write("table.csv", comma_separated(found))
    store.write("study.json", json.dumps(found.document(), indent=1) + "\n")
    for metric in found.metrics:
        store.write(f"figure-{metric.metric.stem}.png", draw_metric(metric, "png"))
        store.write(f"figure-{metric.metric.stem}.svg", draw_metric(metric, "svg"))
    store.write("report.html", study_page(found, store.path))


@frozen
class StudyEstimate:
    """What a study will take."""

    cells: tuple[tuple[str, str], ...]
    """Label and role of each."""
    seeds: tuple[int, ...]
    jobs: int
    """Runs, and the searches that several share."""
    minutes: float
    """With so many workers, each as fast as one alone."""
    workers: int

    def document(self) -> dict[str, Any]:
        """As plain data for JSON."""
        cells = [{"label": label, "role": role} for label, role in self.cells]
        return {"cells": cells, "seeds": list(self.seeds), "jobs": self.jobs, "minutes": self.minutes, "workers": self.workers}


def estimate_study(study: Source | None = None, *, resume: str | Path | None = None, workers: int = 1) -> StudyEstimate:
    """The cells of a study, and what it will take: a run of the baseline is estimated (:func:`nastk.estimate`), and all
    cells are taken to cost as much. Nothing is written. Raises :class:`NastkError` as :func:`ablate` does.
    """
    from nastk.core.run.estimate import estimate

    plan = _plan(study, resume)
    found = estimate(plan.baseline.search or plan.baseline.config)
    minutes: Mapping[str, float] = {stage.stage: stage.minutes for stage in found.stages}
    start = minutes.get("start", 0.0)
    final = minutes.get("train", 0.0) + minutes.get("test", 0.0)
    again = 0.0 if workers == 1 else start  # this process starts once
    cost = {
        "run": again + minutes.get("search", 0.0) + final,
        "search": again + minutes.get("search", 0.0),
        "retrain": again + final,
    }
    whole = start - again + sum(cost[job.kind] for job in plan.jobs) / min(workers, len(plan.jobs))
    cells = tuple((cell.label, str(cell.role)) for cell in plan.cells)
    return StudyEstimate(cells, plan.study.seeds, len(plan.jobs), whole, workers)


def _plan(study: Source | None, resume: str | Path | None) -> Plan:
    if study is not None:
        if resume is not None:
            _existing(Path(resume))
        return planned(read_study(study))
    if resume is None:
        raise NastkError("Name a study file, or an existing study with --resume.")
    store = _existing(Path(resume))
    document = store.read_toml(FILE)
    if document.get("schema") != SCHEMA:
        raise OutputError(f"{store.path / FILE} has schema {document.get('schema')!r}, this nastk reads {SCHEMA}.")
    return planned(read_study(document["study"]))


def _existing(path: Path) -> RunDirectory:
    if not (path / FILE).is_file():
        raise OutputError(f"{path} is no study: it has no {FILE}.")
    return RunDirectory(path)


def _prepared(plan: Plan) -> Any:
    """The baseline's session: what is wrong with data, device or sizes is said before anything is run."""
    from nastk.core.run.run import prepare

    return prepare(plan.baseline.search or plan.baseline.config)


def _new(out: str | Path | None, plan: Plan) -> RunDirectory:
    if out is not None:
        return RunDirectory.create(Path(out))
    name = Path(plan.study.source).stem if plan.study.source.endswith(".toml") else "study"
    taken = (Path("studies") / (name + (f"-{n}" if n else "")) for n in itertools.count())
    return RunDirectory.create(next(path for path in taken if not path.exists()))
