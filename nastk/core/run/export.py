"""From a run directory with a finished training to a file that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from nastk.core.config import ExporterPart, structure
from nastk.core.document import assign
from nastk.core.errors import OutputError
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.manifest import config_of
from nastk.core.run.run import Run, stored_genotype
from nastk.core.run.store import RunDirectory
from nastk.core.run.training import Trainer


def export(
    directory: str | Path, to: str = "safetensors", out: str | Path | None = None, *, set: Sequence[str] = (), **settings: Any
) -> Path:
    """Write the trained network of a run directory to a file; returns its path.

    ``to`` names the exporter, ``settings`` and ``set`` (``key=value`` texts) are its settings; ``out`` is a new file
    (default: ``network`` with the exporter's suffix, in the run directory). The test data stay closed.
    Raises :class:`NastkError`: :class:`OutputError` for a run without a finished training, or a file that exists.
    """
    store = RunDirectory.open(Path(directory))
    document: dict[str, Any] = {"name": to, **settings}
    for text in set:
        assign(document, text)
    exporter: Exporter = structure(document, ExporterPart, "the settings of the exporter").build()
    path = store.path / f"network{exporter.suffix}" if out is None else Path(out)
    _check_new(path)
    exporter.write(trained_of(store), path)
    return path


def trained_of(store: RunDirectory) -> Trained:
    """The trained network of a run, on the CPU, in evaluation mode. Raises :class:`OutputError` when there is none."""
    config = evolve(config_of(store), device="cpu")
    if config.benchmark is not None:
        raise OutputError(f"{store.path} is a search in the table {config.benchmark.name!r}: no network was trained in it.")
    saved = store.load(Trainer.stage)
    if saved is None or saved["epoch"] < config.train.epochs:
        raise OutputError(f"{store.path} holds no finished training: go on with `nastk run --resume {store.path}`.")
    prepared = Run(config)
    network = prepared.build(stored_genotype(store, prepared))
    network.load_state_dict(saved["weights"])
    data = prepared.task.data
    mean, std = (tuple(numbers_C.tolist()) for numbers_C in (data.augmenter.mean_C, data.augmenter.std_C))
    return Trained(network.eval(), data.shape, prepared.task.outputs, mean, std)


def _check_new(path: Path) -> None:
    try:
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name with --out, or delete it first.")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
