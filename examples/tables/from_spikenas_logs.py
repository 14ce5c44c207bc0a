"""Makes the tables of ``spikenas-bench`` from the training logs of SpikeNAS-Bench.

    git clone https://github.com/tju-sun-lab/SpikeNAS-Bench
    python from_spikenas_logs.py SpikeNAS-Bench/data/CIFAR10 tables
    nastk run --set benchmark.name=spikenas-bench --set benchmark.path=tables --set 'benchmark.sha256=[]'

The authors' repository states no licence. The logs are text, one ``train_process.txt`` for each of the 15,625 members; the
arrays are those in the docstring of ``nastk.plugins.benchmarks.spikenas_bench``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZE, EPOCHS, EDGES = 5**6, 100, ("0-1", "0-2", "0-3", "1-2", "1-3", "2-3")
LOGGED = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")
"""The order of the edges in a log's firing rates."""
STEPS = 250
"""Accuracies on 25,000 images, in percent, are multiples of 1/250."""
NUMBER = r"-?\d+(?:\.\d+)?"


def parse(text: str) -> dict[str, Any]:
    """The figures of one log. Raises ``ValueError`` for a text that is none."""
    curve = [line.split(",") for line in text.splitlines() if re.match(rf"{NUMBER}(?:, {NUMBER}){{4}}$", line)]
    found = {
        "id": re.search(r"architecture id: (\d+)", text),
        "params": re.search(r"model parameters: (\d+)", text),
        "test_acc": re.search(rf"test accuracy: ({NUMBER})", text),
        "firing_rate": re.search(rf"firing rate of layers: ((?:{NUMBER}(?:, )?){{16}})", text),
        "time": re.search(rf"Elapsed time: ({NUMBER})hour({NUMBER})minute({NUMBER})second", text),
    }
    if missing := [name for name, match in found.items() if match is None]:
        raise ValueError(f"no {' and no '.join(missing)}")
    if len(curve) < EPOCHS:
        raise ValueError(f"{len(curve)} epochs, expected {EPOCHS} or more")
    hours, minutes, seconds = map(float, found["time"].groups())  # type: ignore[union-attr]  # none is missing
    return {
        "id": int(found["id"][1]),  # type: ignore[index]
        "params": int(found["params"][1]),  # type: ignore[index]
        "test_acc": float(found["test_acc"][1]),  # type: ignore[index]
        "firing_rate": [float(rate) for rate in found["firing_rate"][1].split(",")],  # type: ignore[index]
        "train_seconds": 3600 * hours + 60 * minutes + seconds,
        "epochs": len(curve),
        "val_acc": [float(line[3]) for line in curve[:EPOCHS]],
    }


def convert(logs: Sequence[str]) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """The arrays of both files from all logs, the id of a log its place."""
    rows = [parse(text) for text in logs]
    if [row["id"] for row in rows] != list(range(len(rows))):
        raise ValueError("the logs are not in the order of their ids")
    ids = np.arange(len(rows))[:, None]
    summary = {
        "ops": (ids // 5 ** np.arange(len(EDGES)) % 5).astype(np.uint8),
        "edges": np.array(EDGES),
        "firing_rate_edges": np.array(LOGGED),
        **{name: np.array([row[name] for row in rows], np.float32) for name in ("test_acc", "firing_rate", "train_seconds")},
        **{name: np.array([row[name] for row in rows], np.int64) for name in ("params", "epochs")},
    }
    counts = np.rint(STEPS * np.array([row["val_acc"] for row in rows]).T).astype(np.uint16)
    return summary, {"val_acc_d": np.diff(counts, axis=0, prepend=np.zeros_like(counts[:1]))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the logs, write the tables."""
    parser = argparse.ArgumentParser(description="The tables of spikenas-bench from the logs of SpikeNAS-Bench.")
    parser.add_argument("logs", type=Path, help="the folder data/CIFAR10, with a folder for each id")
    parser.add_argument("tables", type=Path, help="the folder to write to")
    given = parser.parse_args(arguments)
    try:
        texts = [(given.logs / str(i) / "train_process.txt").read_text(encoding="utf-8") for i in range(SIZE)]
        summary, curves = convert(texts)
    except (OSError, ValueError) as error:
        sys.exit(f"{given.logs}: {error}")
    given.tables.mkdir(parents=True, exist_ok=True)
    for name, arrays in (("cifar10_summary", summary), ("cifar10_curves_acc", curves)):
        with (given.tables / f"{name}.npz").open("wb") as stream:
            np.savez_compressed(stream, **arrays)


if __name__ == "__main__":
    main()
