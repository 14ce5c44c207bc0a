"""The runs below a folder: their state, how far they are, what they found; and two of them beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nastk.core.errors import NastkError, OutputError
from nastk.core.run.lock import holder
from nastk.core.run.metrics import FILE, read
from nastk.core.run.session import RESULT
from nastk.core.run.store import RunDirectory

SHOWN = ("strategy", "space", "dataset", "benchmark", "seed")


@frozen
class RunSummary:
    """A run at a glance."""

    path: Path
    state: str
    """``done``, ``running``, ``interrupted``, or ``damaged``."""
    about: Mapping[str, Any] = field(factory=dict)
    """Names: strategy, space, dataset or benchmark, seed."""
    stage: str = ""
    """What was begun last: ``search``, ``train`` ..."""
    done: int = 0
    total: int = 0
    """Units of that stage: how many are done, of how many."""
    started: str = ""
    holder: str = ""
    """Who is writing, where it is running."""
    fault: str = ""
    """What is wrong with a damaged one."""
    result: Mapping[str, Any] = field(factory=dict, repr=False)
    """The content of ``result.json``."""

    @property
    def accuracy(self) -> float | None:
        """On the test data, once they were opened."""
        test = self.result.get("test")
        return None if test is None else float(test["accuracy"])


def summary(path: Path) -> RunSummary:
    """What can be said of one run directory; a damaged one is said to be so. Raises :class:`OutputError` for no run."""
    store = RunDirectory.open(path)
    owner = holder(path)
    try:
        started = str(store.read_toml("manifest.toml")["started"])
        result = store.read_json(RESULT) if (path / RESULT).is_file() else {}
        stage, done, total = _progress(path)
    except NastkError as error:
        return RunSummary(path, "damaged", fault=str(error))
    state = "done" if result.get("status") == "done" else "running" if owner else "interrupted"
    about = {name: result[name] for name in SHOWN if result.get(name) is not None}
    return RunSummary(path, state, about, stage, done, total, started, owner, "", result)


def runs(folder: str | Path = "runs") -> list[RunSummary]:
    """Every run in a folder and in its folders, by path. Raises :class:`OutputError` when there is no such folder."""
    root = Path(folder)
    if not root.is_dir():
        raise OutputError(f"There is no folder {root}: name the one that holds your runs.")
    return [summary(path.parent) for path in sorted(root.rglob("manifest.toml"))]


def compare_runs(first: str | Path, second: str | Path) -> dict[str, tuple[Any, Any]]:
    """Where two runs differ: entry of manifest or result, by dotted path -> (first, second). Raises :class:`OutputError`."""
    one, two = (_flat(_documents(RunDirectory.open(Path(path)))) for path in (first, second))
    return {name: (one.get(name), two.get(name)) for name in one | two if one.get(name) != two.get(name)}


def _documents(store: RunDirectory) -> dict[str, Any]:
    manifest = store.read_toml("manifest.toml")
    result = store.read_json(RESULT) if (store.path / RESULT).is_file() else {}
    return {**{name: manifest.get(name, {}) for name in ("config", "versions", "machine", "code")}, "result": result}


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {path: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{path}.{name}" if path else str(name))
    return found


def _progress(path: Path) -> tuple[str, int, int]:
    stage, done, total = "", 0, 0
    for entry in read(path / FILE):
        if entry["event"] == "stage_started":
            stage, done, total = entry["stage"], entry["done"], entry["total"]
        elif entry["event"] == "step" and entry["stage"] == stage:
            done = entry["step"]
        elif entry["event"] == "stage_done":
            done = total
    return stage, done, total
