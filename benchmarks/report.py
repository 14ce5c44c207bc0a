"""What a benchmark leaves: a table on the screen and a JSON file with all that is needed to judge it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import HERE, Effort, Row
from table import COLUMNS, FORMAT, RESULTS, cells

PACKAGES = ("nastk", "torch", "torchvision", "numpy", "pillow", "spikingjelly", "snntorch", "norse", "nni")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(doc or "").strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--warmups", type=int, default=2, help="rounds before them (default 2)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file (default benchmarks/results)")
    return parser


def effort_of(options: argparse.Namespace, times: int = 1) -> Effort:
    """The effort that the options ask for."""
    return Effort(options.rounds, options.warmups, times)


def publish(
    name: str, title: str, rows: Sequence[Row], options: argparse.Namespace, notes: Sequence[str] = (), **more: Any
) -> None:
    """Print the table and write ``NAME.json``; ``more`` joins the header (versions of another environment)."""
    document = {
        "format": FORMAT,
        "name": name,
        "title": title,
        "header": {**header(effort_of(options)), **more},
        "notes": list(notes),
        "rows": [row.document() for row in rows],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    show([document])


def header(effort: Effort) -> dict[str, Any]:
    """Where, when, with what and how it was measured."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
        "command": " ".join(["python", *_shown(sys.argv)]),
        "n": effort.rounds,
        "warmups": effort.warmups,
        "date": date.today().isoformat(),
        "commit": commit(),
    }


def _shown(argv: Sequence[str]) -> list[str]:
    """The command line without the place of the checkout, and without where the JSON went."""
    words = [f"benchmarks/{Path(argv[0]).name}", *argv[1:]]
    return words[: words.index("--out")] + words[words.index("--out") + 2 :] if "--out" in words else words


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The installed ones among these packages."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is checked out; ``+`` where the tree differs from it, ``unknown`` outside a repository."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", str(HERE.parent / "nastk"), str(HERE), f":!{RESULTS}")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


def _git(*words: str) -> str:
    command = ["git", "-C", str(HERE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def show(documents: Sequence[dict[str, Any]]) -> None:
    """Print one table of several results."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="CPU and wall: seconds a step, medians; memory: peak over the size after the imports")
    for column in ("case", *COLUMNS):
        table.add_column(column, justify="left" if column in ("case", "side", "remark") else "right")
    for document in documents:
        before = None
        for row in document["rows"]:
            table.add_row(row["case"] if row["case"] != before else "", *cells(row))
            before = row["case"]
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for document in documents:
        for note in document["notes"]:
            console.print(f"{document['name']}: {note}", highlight=False, markup=False)
