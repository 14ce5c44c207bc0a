"""Makes the table of ``nats-bench`` from the official archive of NATS-Bench (topology).

    pip install nats_bench
    python from_nats_bench.py NATS-tss-v1_0-3ffb9-simple nats.npz --datasets cifar10 cifar100 ImageNet16-120
    nastk run --set benchmark.name=nats-bench --set benchmark.path=nats.npz --set benchmark.dataset=ImageNet16-120

THE ARCHIVE IS A FILE OF PICKLES: reading it runs whatever code is in it, with your rights. Run this on an archive that you
trust, where that can do no harm. nastk itself never unpickles a table; what this program writes are plain arrays.

The arrays are those in the docstring of ``nastk.plugins.benchmarks.nats_bench``. Seconds are as in the API's
``simulate_train_eval``: the whole training and one validation. On CIFAR-10 validation is of the networks that were trained on
half of the training images (``cifar10-valid``), the test of those that were trained on all of them (``cifar10``).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OP_NAMES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
DATA = {"cifar10": (3, 32, 32, 10), "cifar100": (3, 32, 32, 100), "ImageNet16-120": (3, 16, 16, 120)}
"""Channels, height, width and classes."""
SEARCHED = {"cifar10": "cifar10-valid"}
"""The API's name for the networks with a validation accuracy, where it is another."""


def convert(api: Any, datasets: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of these data sets, from an API as ``nats_bench.create`` gives it: rows in the order of its index."""
    architectures = [api.arch(index) for index in range(len(api))]
    arrays = {"ops": np.array([codes(text) for text in architectures], np.int8), "op_names": np.array(OP_NAMES)}
    for dataset in datasets:
        rows = [row(api, index, dataset) for index in range(len(api))]
        width = max(len(found["val12_runs"]) for found in rows)
        for found in rows:  # a member that was trained less often than others
            found["val12_runs"] = np.pad(found["val12_runs"], (0, width - len(found["val12_runs"])), constant_values=np.nan)
        arrays |= {f"{dataset}_{name}": np.array([found[name] for found in rows], np.float32) for name in rows[0]}
        arrays[f"{dataset}_data"] = np.array(DATA[dataset])
    return arrays


def row(api: Any, index: int, dataset: str) -> dict[str, Any]:
    """The figures of one member."""
    name = SEARCHED.get(dataset, dataset)
    short = api.get_more_info(index, name, hp="12", is_random=False)
    long = api.get_more_info(index, name, hp="200", is_random=False)
    final = long if name == dataset else api.get_more_info(index, dataset, hp="200", is_random=False)
    seeds = api.query_meta_info_by_index(index, hp="12").get_dataset_seeds(name)
    return {
        "val_lowfid": short["valid-accuracy"],
        "test200_mean": final["test-accuracy"],
        "seconds12": short["train-all-time"] + short["valid-per-time"],
        "val12_runs": [api.get_more_info(index, name, hp="12", is_random=seed)["valid-accuracy"] for seed in seeds],
        "val200": long["valid-accuracy"],
        "seconds200": long["train-all-time"] + long["valid-per-time"],
    }


def codes(architecture: str) -> list[int]:
    """The operation codes of an architecture string, in its order."""
    return [OP_NAMES.index(name) for name in re.findall(r"\|?(\w+)~\d\|", architecture)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the archive, write the table."""
    parser = argparse.ArgumentParser(description="The table of nats-bench from the official archive, which is unpickled.")
    parser.add_argument("archive", type=Path, help="a folder NATS-tss-*-simple, or a file NATS-tss-*.pickle.pbz2")
    parser.add_argument("table", type=Path, help="the .npz file to write")
    parser.add_argument("--datasets", nargs="+", choices=list(DATA), default=list(DATA))
    given = parser.parse_args(arguments)
    try:
        from nats_bench import create
    except ImportError:
        sys.exit("The package nats_bench is not installed here: pip install nats_bench")
    print(f"Unpickling {given.archive}: this runs the code that is in it.", file=sys.stderr)
    api = create(str(given.archive), "tss", fast_mode=given.archive.is_dir(), verbose=False)
    write(given.table, convert(api, given.datasets))


def write(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write plain arrays."""
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


if __name__ == "__main__":
    main()
