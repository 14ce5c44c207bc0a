"""Run directories as a run would have written them, without a run; and one real study of small runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.config import unstructure
from nastk.core.run.metrics import line
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory
from nastk.core.run.trial import Proposal, Report
from nastk.core.run.trial_log import TrialLog
from nastk.core.seeds import rng
from tests.core.ablation.conftest import TINY

EPOCHS = 4
SETTINGS: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "train_images": 160, "test_images": 32},
    "strategy": {"name": "darts", "epochs": EPOCHS, "warmup": 0},
    "model": {"channels": 4, "cells": 2, "attention": "eca"},
    "proxy": {"channels": 4, "cells": 2},
    "device": "cpu",
}
RESULT: dict[str, Any] = {
    "status": "done",
    "strategy": "darts",
    "space": "toy",
    "dataset": "synthetic",
    "benchmark": None,
    "seed": 0,
    "search": {"seconds": 12.5, "steps": EPOCHS},
    "train": {"seconds": 7.5, "epochs": 3},
    "test": {"accuracy": 0.875, "n": 32, "ci95": [0.7193, 0.9503]},
    "parameters": 4321,
    "nos": {part: {"total": 500.25, "cells": [300.5, 180.25]} for part in ("validation", "train", "test")},
    "firing_rate": 0.2,
    "macs": 1000.0,
    "acs": 2000.0,
    "sops": 1900.0,
    "energy_nj": {"profile": "45nm", "value": 6.4},
}
Make = Callable[..., Path]


def steps_of_search(edges: int, options: int) -> list[dict[str, Any]]:
    """Figures as a differentiable search gives them: the first candidate of every edge wins."""
    found = []
    for epoch in range(EPOCHS):
        first = 1 / options + 0.1 * epoch
        row = [first, *[(1 - first) / (options - 1)] * (options - 1)]
        spikes = {"total": 400.0 + epoch, "cells": [250.0 + epoch, 150.0]}
        found.append(
            {
                "loss": 2.3 - 0.2 * epoch,
                "accuracy": 0.3 + 0.1 * epoch,
                "valid_accuracy": 0.25 + 0.1 * epoch,
                "entropy": 1.0 - 0.2 * epoch,
                "skip_share": 0.25,
                "nos": {"train": spikes, "validation": spikes},
                "weights": {"shared": [row] * edges},
            }
        )
    return found


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a run directory: settings and result over the usual ones, figures of the steps, trials, notices."""

    def made(
        name: str = "run",
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        search: Sequence[Mapping[str, Any]] | None = None,
        train: Sequence[Mapping[str, Any]] = ({"loss": 2.0, "accuracy": 0.4}, {"loss": 1.0, "accuracy": 0.7}),
        trials: Sequence[Mapping[str, Any]] = (),
        notices: Sequence[str] = (),
    ) -> Path:
        config = configure({**copy.deepcopy(SETTINGS), **(settings or {}), "seed": seed})
        space = config.space.build(config.model)
        genotype: Genotype = space.sample(rng(seed, "report"))
        store = RunDirectory.create(tmp_path / name)
        usual = {
            "schema": 2,
            "command": f"nastk run run.toml --seed {seed}",
            "started": "2030-01-02T03:04:05+00:00",
            "machine": {"device": "cpu", "threads": 1},
            "versions": {"nastk": "0.1.0", "torch": "2.6.0"},
            "code": {"commit": "0123456789abcdef", "changed": False},
            "config": unstructure(config),
        }
        store.write_toml("manifest.toml", {**usual, **(manifest or {})})
        store.write("genotype.json", genotype.to_json())
        store.write_json("result.json", {**RESULT, "seed": seed, "genotype": {"digest": genotype.digest}, **(result or {})})
        full = space.full().cell("shared")
        figures = steps_of_search(len(full.edges), len(full.edges[0].candidates)) if search is None else search
        lines = [*stage("search", figures, "steps"), *({"event": "notice", "text": n, "time": 1.0} for n in notices)]
        lines += stage("train", train, "epochs")
        store.write("metrics.jsonl", b"".join(map(line, lines)))
        log = TrialLog(store.path)
        for number, told in enumerate(trials, start=1):
            drawn = space.sample(rng(seed, "trial", number))
            log.keep(number, Report(Proposal(drawn, 1), {k: v for k, v in told.items() if k != "failure"}, told.get("failure")))
        log.close()
        return store.path

    return made


def stage(name: str, figures: Sequence[Mapping[str, Any]], unit: str, over: bool = True) -> list[dict[str, Any]]:
    """The entries of a stage whose steps take ten seconds each; nothing without steps."""
    if not figures:
        return []
    entries: list[dict[str, Any]] = [
        {"event": "stage_started", "stage": name, "total": len(figures), "unit": unit, "done": 0, "time": 100.0}
    ]
    entries += [
        {"event": "step", "stage": name, "step": i, "figures": dict(found), "time": 100.0 + 10 * i}
        for i, found in enumerate(figures, start=1)
    ]
    return [*entries, {"event": "stage_done", "stage": name, "seconds": 10.0 * len(figures), "time": 200.0}] if over else entries


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real study: two attentions, two seeds, two metrics, random search left out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("studies") / "gates"
    nastk.ablate({**copy.deepcopy(TINY), "metrics": ["test.accuracy", "parameters"]}, out=path)
    yield path
    torch.set_num_threads(before)
