"""One HTML file of runs and studies, as one function. Torch-free until a file is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nastk.core.ablation.outcome import StudyResult
from nastk.core.errors import NastkError
from nastk.core.report.gather import RunData, StudyData, gather, study_data
from nastk.core.report.page import page

NAME = "report.html"
SUFFIXES = (".html", ".htm")
Paths = str | Path | Sequence[str | Path]


def report(paths: Paths, out: str | Path | None = None) -> Path:
    """Write one self-contained HTML file about runs and studies; returns its path.

    ``paths`` is a run directory, a study's, or several of both. ``out`` is a file that ends in ``.html``; one that is there is
    replaced. Default: ``report.html`` in the directory, or in the current one where there are several. The runs are only read;
    a run that goes on is shown as far as it is. Raises :class:`NastkError` for all that a user can mend.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise NastkError("A report is about one run or study, or several: name their directories.")
    found = list(dict.fromkeys(Path(path) for path in given))
    target = Path(out) if out is not None else (found[0] if len(found) == 1 else Path()) / NAME
    if target.suffix.lower() not in SUFFIXES:
        raise NastkError(f"The report is an HTML file: give --out a name that ends in .html, not {target}.")
    gathered = [gather(path) for path in found]
    runs = [one for one in gathered if isinstance(one, RunData)]
    studies = [one for one in gathered if isinstance(one, StudyData)]
    text = page(runs, studies)
    from nastk.core.run.store import RunDirectory

    return RunDirectory(target.parent).write(target.name, text)


def study_page(found: StudyResult, directory: Path) -> str:
    """The report of a study that is known already, as HTML. Raises as :func:`report`."""
    return page([], [study_data(directory, found)])
