"""From directories to what a report is about: runs and studies, as values. Torch-free until a study is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nastk.core.ablation.outcome import StudyResult
from nastk.core.ablation.plan import WITHOUT_EFFECT
from nastk.core.cell.graph import Cell, Genotype
from nastk.core.cell.space import Relaxable
from nastk.core.errors import OutputError
from nastk.core.report.amounts import at, number_at, table_at, text_at
from nastk.core.report.documents import TrialRow, json_of, toml_of, trials_of
from nastk.core.report.timeline import Timeline, timeline
from nastk.core.run.lock import holder
from nastk.core.run.metrics import FILE as METRICS
from nastk.core.run.metrics import read
from nastk.core.run.runfile import typed

MANIFEST, RESULT, GENOTYPE, STUDY = "manifest.toml", "result.json", "genotype.json", "study.toml"


@frozen
class RunData:
    """All that a run directory says."""

    path: Path
    state: str
    """``done``, ``running`` or ``interrupted``."""
    manifest: Mapping[str, Any] = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)
    """The content of ``result.json``; empty before the first stage."""
    genotype: Genotype | None
    timeline: Timeline = field(repr=False)
    trials: tuple[TrialRow, ...] = field(repr=False)
    lost: int
    """Trials that are damaged."""
    full: Mapping[str, Cell] = field(repr=False)
    """The full cells of the space: their edges and candidates are the rows and columns of mixing weights. Empty where the
    space has no supernet or cannot be built here."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration, as a run file has it."""
        return table_at(self.manifest, "config")

    def name(self, part: str) -> str:
        """The name of a part of the run: ``strategy``, ``space``, ``dataset`` ..."""
        return text_at(self.result, part) or text_at(self.config, part) or text_at(self.config, "model", part)

    @property
    def data(self) -> str:
        """What was searched on: the benchmark, where there is one, else the data set."""
        return self.name("benchmark") or self.name("dataset")

    @property
    def seed(self) -> int | None:
        """The run's one seed."""
        found = at(self.config, "seed")
        return found if isinstance(found, int) else None

    @property
    def accuracy(self) -> float | None:
        """On the test data, once they were opened; a share."""
        return number_at(self.result, "test", "accuracy")

    @property
    def setting(self) -> str:
        """Equal for runs that differ in their seed alone."""
        rest = {name: value for name, value in self.config.items() if name not in WITHOUT_EFFECT}
        return json.dumps([rest, at(self.result, "strategy") is None], sort_keys=True, default=str)


@frozen
class StudyData:
    """All that a study says: what it came to, and how it was set up."""

    path: Path
    manifest: Mapping[str, Any] = field(repr=False)
    """The content of ``study.toml``: command, machine, versions, code, ``study``."""
    result: StudyResult = field(repr=False)


def gather(path: Path) -> RunData | StudyData:
    """What a directory holds. Raises :class:`OutputError` where it is neither a run nor a study, or a file is damaged."""
    if (path / STUDY).is_file():
        from nastk.core.ablation.ablate import study_of

        return study_data(path, study_of(path))
    if (path / MANIFEST).is_file():
        return run_data(path)
    if not path.is_dir():
        raise OutputError(f"There is no directory {path}: name a run or a study.")
    raise OutputError(f"{path} is neither a run nor a study: it has no {MANIFEST} and no {STUDY}.")


def study_data(path: Path, result: StudyResult) -> StudyData:
    """A study whose result is known already."""
    return StudyData(path, toml_of(path / STUDY), result)


def run_data(path: Path) -> RunData:
    """What a run directory says, whole or not."""
    manifest, result = toml_of(path / MANIFEST), json_of(path / RESULT)
    state = "done" if result.get("status") == "done" else "running" if holder(path) else "interrupted"
    trials, lost = trials_of(path)
    return RunData(
        path=path,
        state=state,
        manifest=manifest,
        result=result,
        genotype=_genotype(path / GENOTYPE),
        timeline=timeline(read(path / METRICS)),
        trials=trials,
        lost=lost,
        full=_full(manifest, path),
    )


def _genotype(path: Path) -> Genotype | None:
    if not path.is_file():
        return None
    try:
        return Genotype.from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path} cannot be read: {error}.") from error


def _full(manifest: Mapping[str, Any], path: Path) -> dict[str, Cell]:
    with suppress(Exception):  # a plug-in that is not here, or fails: the weights go without the names of their candidates
        config = typed(table_at(manifest, "config"), str(path / MANIFEST))
        space = config.space.build(config.model)
        if isinstance(space, Relaxable):
            return dict(space.full().cells)
    return {}
