"""Everything a data-centre GPU is asked in its first minutes: ``python benchmarks/gpu/run.py [--toy --device cpu]``.

Each section runs in a process of its own with a budget of seconds; one that runs out, fails or crashes the device is recorded
with its reason and the rows it had, and the others go on. Under eight minutes in all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(path for path in sys.path if Path(path or ".").resolve() != HERE)]

import report  # noqa: E402  the scripts are found by their folder
import table  # noqa: E402
from gpu import augmentation, ceilings, idle, mixing, neuron, retrain, search  # noqa: E402
from gpu.bars import BARS  # noqa: E402
from gpu.section import Row, Section, Setup, reason  # noqa: E402

PACKAGES = ("nastk", "torch", "triton", "spikingjelly", "numpy")
TOY = HERE.parent / ".short" / "gpu.json"
TOY_BUDGET = 120.0
EPOCHS, IMAGES = 50, 25_000


@dataclass(frozen=True)
class Planned:
    """A section, and the seconds it has at full size; ``toy``: whether it runs at toy size, too."""

    name: str
    section: Section
    budget: float
    toy: bool = True


SECTIONS = (
    Planned("ceilings", ceilings.measure, 30),
    Planned("neuron", neuron.measure, 70),
    Planned("mixing", mixing.measure, 25),
    Planned("search 64 float32", partial(search.measure, batch=64, precision="float32"), 60),
    Planned("search 64 bfloat16", partial(search.measure, batch=64, precision="bfloat16"), 50, toy=False),
    Planned("search 256 float32", partial(search.measure, batch=256, precision="float32"), 60, toy=False),
    Planned("search 256 bfloat16", partial(search.measure, batch=256, precision="bfloat16"), 50, toy=False),
    Planned("retrain", retrain.measure, 60),
    Planned("idle", idle.measure, 40),
    Planned("augmentation", augmentation.measure, 15),
)


def main() -> int:
    """Measure, print, write; 2 where there is no such device."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="where to measure (default cuda)")
    parser.add_argument("--toy", action="store_true", help="tiny sizes: tries the script, measures nothing")
    parser.add_argument("--only", nargs="+", choices=[p.name for p in SECTIONS], help="of the sections (default all)")
    parser.add_argument("--out", type=Path, help="JSON file (default benchmarks/results/gpu.json; with --toy .short/gpu.json)")
    options = parser.parse_args()
    setup = Setup(options.device, options.toy)
    if not setup.cuda and not setup.toy:
        parser.error(f"full sizes are for a GPU, got --device {options.device}: add --toy")
    about, fault = in_child(setup, described, 60.0)
    if fault:
        print(f"The device {options.device} cannot be used: {fault}.", file=sys.stderr)
        return 2
    rows: list[Row] = []
    sections = []
    for planned in SECTIONS:
        if (options.only and planned.name not in options.only) or (setup.toy and not planned.toy):
            continue
        start = time.perf_counter()
        found, fault = in_child(setup, planned.section, setup.pick(planned.budget, TOY_BUDGET))
        spent = time.perf_counter() - start
        rows += found
        sections.append({"name": planned.name, "seconds": round(spent, 1), "budget": planned.budget, "reason": fault})
        print(f"{planned.name}: {len(found)} rows, {spent:.0f} s{f', {fault}' if fault else ''}", flush=True)
    rows += concluded(rows)
    document = {
        "format": table.GPU_FORMAT,
        "header": {**about[0], **header(), "toy": setup.toy},
        "sections": sections,
        "rows": [judged(row, setup) for row in rows],
    }
    out = options.out or (TOY if setup.toy else table.RESULTS / "gpu.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    show(document)
    return 0


def in_child(setup: Setup, section: Callable[[Setup], Iterator[Any]], budget: float) -> tuple[list[Any], str]:
    """What a section gave within its seconds, and why it gave no more (or nothing).

    A fork: all is imported once, and no section touches the device before. Raises nothing.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_give, args=(section, setup, there), daemon=True)
    process.start()
    there.close()
    end, found = time.monotonic() + budget, []
    try:
        while here.poll(max(0.0, end - time.monotonic())):
            item = here.recv()
            if isinstance(item, str):
                return found, item
            found.append(item)
        return found, f"ran out of its {budget:g} s"
    except EOFError:
        process.join(5)
        return found, "" if process.exitcode == 0 else f"ended with code {process.exitcode}"
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def _give(section: Callable[[Setup], Iterator[Any]], setup: Setup, wire: Any) -> None:
    import torch

    from nastk.core.native import SWITCH

    torch.manual_seed(0)
    if setup.cuda:
        os.environ.setdefault(SWITCH, "triton")
    else:
        torch.set_num_threads(1)
    try:
        for item in section(setup):
            wire.send(item)
    except Exception as error:
        wire.send(reason(error))


def described(setup: Setup) -> Iterator[dict[str, Any]]:
    """The device in words; raises where it is not there."""
    import torch

    if not setup.cuda:
        torch.empty(1, device=setup.device)
        yield {"device": report.cpu_model(), "driver": "none", "cuda": "none", "memory_gb": None}
        return
    properties = torch.cuda.get_device_properties(setup.device)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    yield {
        "device": properties.name,
        "driver": driver,
        "cuda": torch.version.cuda,
        "memory_gb": round(properties.total_memory / 2**30, 1),
    }


def header() -> dict[str, Any]:
    """When, with what and how it was measured."""
    return {
        "python": platform.python_version(),
        "versions": report.versions(PACKAGES),
        "command": " ".join(["python", "benchmarks/gpu/run.py", *_without_out(sys.argv[1:])]),
        "date": date.today().isoformat(),
        "commit": report.commit(),
    }


def _without_out(words: list[str]) -> list[str]:
    at = words.index("--out") if "--out" in words else len(words)
    return words[:at] + words[at + 2 :]


def concluded(rows: list[Row]) -> list[Row]:
    """What follows from rows of several sections: G7, G10, G11."""
    steps = [r for r in rows if r.case.startswith("search step, batch ") and r.side.startswith("nastk") and r.value]
    steps = [r for r in steps if r.unit == "ms"]
    if not steps:
        return [Row(bar, "search", "nastk", remark="no search step was measured") for bar in ("G7", "G10", "G11")]
    largest = max(_batch(r) for r in steps)
    best = min((r for r in steps if _batch(r) == largest), key=lambda r: r.value or 0.0)
    assert best.value is not None
    found = []
    per_second = 1e3 * largest / best.value
    found.append(Row("G7", best.case, best.side, per_second, "images/s", per_second))
    prepared = [r for r in rows if r.case.startswith("augmentation") and r.value]
    same = next((r for r in prepared if f"batch {largest}," in r.case), prepared[-1] if prepared else None)
    if same is None or same.value is None:
        return [*found, *(Row(bar, best.case, best.side, remark="no augmentation was measured") for bar in ("G10", "G11"))]
    share = 2 * same.value / best.value
    found.append(Row("G10", f"two batches of {same.case}", best.side, 2 * same.value, "ms", share))
    minutes = EPOCHS * IMAGES / largest * (best.value + 2 * same.value) / 6e4
    remark = "extrapolated: step and augmentation, without evaluation"
    found.append(Row("G11", best.case, best.side, minutes, "minutes", minutes, remark=remark))
    return found


def _batch(row: Row) -> int:
    return int(row.case.split("batch ")[1].split(",")[0])


def judged(row: Row, setup: Setup) -> dict[str, Any]:
    """The row with its bar in words, and whether it passes; at toy size nothing is judged."""
    bar = BARS.get(row.bar)
    passed = None if bar is None or row.ratio is None or setup.toy else bar.passed(row.ratio)
    return {**row.document(), "limit": "" if bar is None else bar.words, "passed": passed}


def show(document: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{document['header']['device']}{', toy size: no measurement' if document['header']['toy'] else ''}")
    for column in table.GPU_COLUMNS:
        shown.add_column(column, justify="right" if column in ("figure", "ratio", "MB") else "left")
    for row in document["rows"]:
        shown.add_row(*table.gpu_cells(row))
    Console(width=None if sys.stdout.isatty() else 170).print(shown)


if __name__ == "__main__":
    sys.exit(main())
