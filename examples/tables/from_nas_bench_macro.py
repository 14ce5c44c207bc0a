"""Makes the table of ``nas-bench-macro`` from the official file of NAS-Bench-Macro.

    python from_nas_bench_macro.py nas-bench-macro_cifar10.json macro.npz
    nastk run --set benchmark.name=nas-bench-macro --set benchmark.path=macro.npz --set benchmark.sha256=

The file is at https://github.com/xiusu/NAS-Bench-Macro (Apache licence 2.0). Members with fewer trainings than others are an
error: the table has one column for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np


def convert(document: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays, rows in the order of the architectures' digits."""
    architectures = ["".join(digits) for digits in product("012", repeat=8)]
    rows = [document[architecture] for architecture in architectures]
    return {
        "arch": np.array([[int(digit) for digit in architecture] for architecture in architectures], np.uint8),
        "test_acc": np.array([row["test_acc"] for row in rows], np.float32),
        "params": np.array([row["params"] for row in rows], np.int64),
        "flops": np.array([row["flops"] for row in rows], np.int64),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the file, write the table."""
    parser = argparse.ArgumentParser(description="The table of nas-bench-macro from nas-bench-macro_cifar10.json.")
    parser.add_argument("source", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("table", type=Path, help="the .npz file to write")
    given = parser.parse_args(arguments)
    arrays = convert(json.loads(given.source.read_text(encoding="utf-8")))
    with given.table.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


if __name__ == "__main__":
    main()
