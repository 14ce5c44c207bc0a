"""What a finished network is worth, in the form of ``result.json``, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nastk.core.cell.graph import Genotype
from nastk.core.data.splits import Batch
from nastk.core.draw.draw import draw_cell
from nastk.core.errors import OutputError
from nastk.core.model.counting import Operations, count_operations
from nastk.core.model.network import Network
from nastk.core.run.epoch import Scores
from nastk.core.run.training import wilson

PROFILE = "45nm"
MEASURED = ("genotype", "search", "train", "test", "parameters", "nos", "firing_rate", "macs", "acs", "sops", "energy_nj")
"""What a run finds out, in the order of ``result.json``; null until then."""
BATCHES = 2
"""Batches of the test data on which MACs, ACs and SOPs are counted; spikes are counted on all."""


def operations(network: Network, batches: Iterator[Batch]) -> Operations:
    """MACs, ACs and SOPs an image, on the first test batches."""
    return count_operations(network, islice(batches, BATCHES))


def test_figures(network: Network, epoch: int, test: Scores, valid: Scores, train: Scores, counted: Operations) -> dict[str, Any]:
    """The measured part of ``result.json``; ``epoch`` is the one after which the network was taken.

    NoS, rates and SOPs are null for a network that does not spike.
    """
    spiking = test.nos is not None
    return {
        "test": {
            "accuracy": test.accuracy,
            "n": test.n,
            "ci95": list(wilson(test.accuracy * test.n, test.n)),
            "epoch": epoch,
        },
        "parameters": sum(p.numel() for name, p in network.named_parameters() if ".auxiliary." not in name),
        "nos": {"validation": valid.nos, "train": train.nos, "test": test.nos} if spiking else None,
        "firing_rate": test.firing_rate,
        "macs": counted.macs,
        "acs": counted.acs,
        "sops": counted.sops if spiking else None,
        "energy_nj": {"profile": PROFILE, "value": counted.energy_nj(PROFILE)},
    }


def draw_result(directory: Path, genotype: Genotype) -> None:
    """``cell_NAME.png`` and ``.svg`` for every distinct cell. Raises :class:`OutputError` when they cannot be written."""
    parts = f"{genotype.space}, {genotype.part('neuron')}, attention {genotype.part('attention')}, {genotype.digest}"
    try:
        for name, cell in genotype.cells:
            draw_cell(cell, f"{name} cell", directory / f"cell_{name}", parts)
    except OSError as error:
        raise OutputError(f"The cells cannot be drawn into {directory}: {error}.") from error
