"""Writes the tables of ``docs/performance.md`` from the files in ``results``: ``python benchmarks/table.py``.

A table stands between ``<!-- results NAME -->`` and ``<!-- end -->``, NAME being that of ``results/NAME.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FORMAT = "nastk-benchmark-1"
GPU_FORMAT = "nastk-gpu-1"
PAGE = HERE.parent / "docs" / "performance.md"
COLUMNS = ("side", "threads", "CPU", "ratio", "wall", "ratio", "MB", "ratio", "remark")
GPU_COLUMNS = ("bar", "case", "side", "figure", "ratio", "MB", "limit", "passed", "remark")
PLACE = re.compile(r"(<!-- results ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results(RESULTS)), encoding="utf-8")


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result of a folder by name; files of another format are left out."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    known = {name: document for name, document in found.items() if document.get("format") in (FORMAT, GPU_FORMAT)}
    return {name: document for name, document in known.items() if not document["header"].get("toy")}


def filled(page: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with every table as the results have it."""
    return PLACE.sub(lambda place: place[1] + _block(found.get(place[2])) + place[3], page)


def _block(document: Mapping[str, Any] | None) -> str:
    if document is None:
        return "Not measured yet.\n"
    if document["format"] == GPU_FORMAT:
        return _gpu_block(document)
    lines = []
    for case in dict.fromkeys(row["case"] for row in document["rows"]):
        lines += [f"{case}:", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [_line(cells(row)) for row in document["rows"] if row["case"] == case]
        lines.append("")
    lines += [line for note in document["notes"] for line in (f"{note}", "")]
    return "\n".join([*lines, _provenance(document["header"])]) + "\n"


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row's texts, in the order of ``COLUMNS``; a figure that cannot be believed is not shown."""
    believed = row["valid"]

    def number(name: str, digits: str) -> str:
        return format(row[name], digits) if believed and row[name] is not None else "-"

    def ratio(name: str) -> str:
        if row["reference"] and believed:
            return "1"
        return f"{row[name]:.2f}x" if believed and row[name] is not None else "-"

    figures = [number("cpu", ".3g"), ratio("cpu_ratio"), number("wall", ".3g"), ratio("wall_ratio")]
    return [row["side"], str(row["threads"]), *figures, number("peak_mb", ".0f"), ratio("memory_ratio"), row["reason"]]


def _gpu_block(document: Mapping[str, Any]) -> str:
    lines = [_line(GPU_COLUMNS), _line(["---"] * len(GPU_COLUMNS)), *(_line(gpu_cells(row)) for row in document["rows"]), ""]
    lines += [line for s in document["sections"] if s["reason"] for line in (f"Section {s['name']}: {s['reason']}.", "")]
    header = document["header"]
    where = f"{header['device']} with {header['memory_gb']} GB, driver {header['driver']}, CUDA {header['cuda']}"
    return "\n".join([*lines, f"{header['date']}, commit {header['commit']}, {where}, {_software(header)}."]) + "\n"


def _software(header: Mapping[str, Any]) -> str:
    return f"Python {header['python']}, {_packages(header['versions'])}: `{header['command']}`"


def gpu_cells(row: Mapping[str, Any]) -> list[str]:
    """A row's texts, in the order of ``GPU_COLUMNS``."""
    figure = "-" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3g}"
    peak = "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
    passed = {True: "yes", False: "no", None: ""}[row["passed"]]
    return [row["bar"], row["case"], row["side"], figure, ratio, peak, row["limit"], passed, row["remark"]]


def _line(words: Any) -> str:
    return "| " + " | ".join(str(word).replace("|", "\\|") for word in words) + " |"


def _provenance(header: Mapping[str, Any]) -> str:
    packages = _packages(header["versions"])
    for name, versions in header.get("environments", {}).items():
        packages += f" (in the environment of {name}: {_packages(versions)})"
    return (
        f"{header['date']}, commit {header['commit']}, {header['cpu']} with {header['cores']} cores, {header['system']}, "
        f"Python {header['python']}, {packages}; {header['n']} rounds after {header['warmups']} warm-ups: `{header['command']}`."
    )


def _packages(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    main()
