"""Whole runs at tiny size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nastk
from nastk.core.run.store import RunDirectory


class Tiny:
    """A run that takes a second, and what to compare of two of them."""

    sets = (
        "dataset.size=8", "dataset.train_images=160", "dataset.test_images=40",
        "model.channels=2", "proxy.channels=0", "model.cells=2", "proxy.cells=0",
        "strategy.epochs=2", "strategy.warmup=1", "strategy.alpha_lr=0.3", "train.epochs=2", "train.batch=16",
    )  # fmt: skip
    flags: dict[str, Any] = {"space": "toy", "dataset": "synthetic", "device": "cpu"}  # noqa: RUF012  never changed
    keys = (
        "status", "strategy", "space", "dataset", "benchmark", "neuron", "attention", "time_steps", "seed", "genotype", "search",
        "train", "test", "parameters", "nos", "firing_rate", "macs", "acs", "sops", "energy_nj",
    )  # fmt: skip
    """Of ``result.json``, in order, without its checksum."""

    def run(self, out: Path, *sets: str, **flags: Any) -> dict[str, Any]:
        """Search, train and test through the public face."""
        return nastk.run(out=out, set=[*self.sets, *sets], **{**self.flags, **flags})

    def weights(self, directory: Path) -> dict[str, Tensor]:
        """The weights in the last checkpoint of the training."""
        saved = RunDirectory(directory).load("train")
        assert saved is not None
        found: dict[str, Tensor] = saved["weights"]
        return found

    def same_weights(self, a: Path, b: Path) -> bool:
        """Equal final weights, bit by bit."""
        one, two = self.weights(a), self.weights(b)
        return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    def same_end(self, a: Path, b: Path) -> bool:
        """Equal genotype and final weights, bit by bit, and equal measurements."""
        results = [json.loads((d / "result.json").read_text()) for d in (a, b)]
        for result in results:
            result.pop("sha256")
            result["search"].pop("seconds")
            result["train"].pop("seconds")
        genotypes = [(d / "genotype.json").read_bytes() for d in (a, b)]
        return genotypes[0] == genotypes[1] and results[0] == results[1] and self.same_weights(a, b)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """How to make tiny runs and compare them."""
    return Tiny()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run that several tests look at and none changes."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    torch.set_num_threads(1)
    tiny.run(out)
    return out
