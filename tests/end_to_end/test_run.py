"""What a run leaves, and that equal seeds give equal runs, in any process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.run import run as run_module
from nastk.core.run.manifest import config_of
from nastk.core.run.metrics import read
from nastk.core.run.run import Run
from nastk.core.run.store import RunDirectory
from nastk.core.run.training import wilson


def test_files_of_a_run(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "manifest.toml", "genotype.json", "metrics.jsonl", "result.json", "checkpoints", "cell_shared.png", "cell_shared.svg",
        "run.lock",
    }  # fmt: skip
    checkpoints = {path.name for path in (finished / "checkpoints").iterdir()}
    assert {"search-000002.json", "search-000002.safetensors", "train-000002.json", "train-000002.safetensors"} <= checkpoints
    assert all(safetensors.torch.load_file(path) for path in (finished / "checkpoints").glob("*.safetensors"))
    assert (finished / "cell_shared.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (finished / "cell_shared.svg").read_text()
    events = read(finished / "metrics.jsonl")
    steps = [(e["stage"], e["step"]) for e in events if e["event"] == "step"]
    assert steps == [("search", 1), ("search", 2), ("train", 1), ("train", 2)]


def test_result_has_exactly_the_keys_of_the_record(tiny: Any, finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert tuple(result) == (*tiny.keys, "sha256")
    genotype = Genotype.from_json((finished / "genotype.json").read_text())
    assert result["status"] == "done"
    assert result["genotype"] == {"digest": genotype.digest, "file": "genotype.json"}
    assert (result["strategy"], result["space"], result["dataset"], result["seed"]) == ("ma-darts", "toy", "synthetic", 0)
    assert (result["neuron"], result["attention"], result["time_steps"]) == ("plif", "cbam", 2)
    assert result["search"]["steps"] == 2
    assert result["train"]["epochs"] == 2
    assert result["test"]["n"] == 40
    low, high = result["test"]["ci95"]
    assert 0 <= low <= result["test"]["accuracy"] <= high <= 1
    assert [low, high] == list(wilson(result["test"]["accuracy"] * 40, 40))
    assert set(result["nos"]) == {"validation", "train", "test"}
    assert 0 < result["firing_rate"] < 1
    assert result["energy_nj"]["value"] == pytest.approx((result["macs"] * 4.6 + result["acs"] * 0.9) / 1000)


def test_result_is_that_of_the_stored_network(tiny: Any, finished: Path) -> None:
    """Accuracy and parameters, computed anew from genotype and checkpoint."""
    result = json.loads((finished / "result.json").read_text())
    prepared = Run(config_of(RunDirectory.open(finished)))
    network = prepared.build(Genotype.from_json((finished / "genotype.json").read_text())).eval()
    network.load_state_dict(tiny.weights(finished))
    samples = prepared.dataset.test()
    with torch.no_grad():
        logits = network(prepared.task.data.augmenter.evaluate(samples.x)).mean(0)
    assert result["test"]["accuracy"] == pytest.approx(float((logits.argmax(-1) == samples.y).float().mean()))
    assert result["parameters"] == sum(p.numel() for p in network.parameters())


def test_seeds(tiny: Any, finished: Path, tmp_path: Path) -> None:
    tiny.run(tmp_path / "again")
    assert tiny.same_end(finished, tmp_path / "again")
    tiny.run(tmp_path / "other", seed=1)
    assert not tiny.same_end(finished, tmp_path / "other")


def test_two_processes_through_the_command_line_agree(tiny: Any, finished: Path, tmp_path: Path) -> None:
    """The command line in two fresh processes gives what the library gave here, whatever their hash seed."""
    sets = [word for text in tiny.sets for word in ("--set", text)]
    flags = ["--space", "toy", "--dataset", "synthetic", "--device", "cpu", "--quiet"]
    for number in range(2):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-m", "nastk", "run", *flags, *sets, "--out", str(tmp_path / str(number))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        written = json.loads((tmp_path / str(number) / "result.json").read_text())
        written.pop("sha256")
        assert json.loads(done.stdout) == written
        assert done.stderr == ""
    assert tiny.same_end(tmp_path / "0", tmp_path / "1")
    assert tiny.same_end(finished, tmp_path / "0")


def test_a_network_that_does_not_spike_has_no_spike_figures(tiny: Any, tmp_path: Path) -> None:
    """The DARTS space with ReLU, with auxiliary head and drop-path, which leave no parameters in the count."""
    sets = ["train.auxiliary=0.4", "train.drop_path=0.3", "model.cells=3", "train.data=hold-out"]
    result = nastk.run(
        out=tmp_path / "run", strategy="random-search", dataset="synthetic", space="darts-cells", device="cpu",
        set=[*(s for s in tiny.sets if "warmup" not in s and "alpha" not in s), *sets, "strategy.trials=1", "strategy.epochs=1"],
    )  # fmt: skip
    assert result["neuron"] == "relu"
    assert result["nos"] is None
    assert result["sops"] is None
    assert result["firing_rate"] is None
    assert result["macs"] > 0
    names = tiny.weights(tmp_path / "run")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    heads = [n for n in names if ".auxiliary." in n]
    assert heads
    learned = sum(v.numel() for n, v in names.items() if ".auxiliary." not in n and not n.endswith(buffers))
    assert result["parameters"] == learned
    assert {path.name for path in (tmp_path / "run").glob("cell_*.png")} == {"cell_normal.png", "cell_reduce.png"}


@pytest.mark.parametrize("setting", ["train.auxiliary=0.4", "train.drop_path=0.5"])
def test_auxiliary_head_and_drop_path_change_the_training(tiny: Any, finished: Path, tmp_path: Path, setting: str) -> None:
    result = tiny.run(tmp_path / "run", setting)
    assert result["status"] == "done"
    assert (tmp_path / "run" / "genotype.json").read_bytes() == (finished / "genotype.json").read_bytes()
    one, two = tiny.weights(finished), tiny.weights(tmp_path / "run")
    assert any(not torch.equal(value, two[name]) for name, value in one.items())
    assert result["parameters"] == json.loads((finished / "result.json").read_text())["parameters"]


def test_manifest_repeats_the_run(finished: Path) -> None:
    config = config_of(RunDirectory.open(finished))
    assert config.seed == 0
    assert config.space.name == "toy"
    assert config.model.attention.values[0].name == "cbam", "what the strategy wanted is written out"
    assert Run(config).space.size == 64


def test_a_broken_reporter_does_not_cost_the_search(
    tiny: Any, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nastk.plugins.reporters.console import Console

    def broken(*_: object) -> None:
        raise RuntimeError("no screen")

    monkeypatch.setattr(Console, "hear", broken)
    tiny.run(tmp_path / "run", quiet=False)
    assert tiny.same_end(finished, tmp_path / "run")
    texts = [e["text"] for e in read(tmp_path / "run" / "metrics.jsonl") if e["event"] == "notice"]
    assert any("no screen" in text for text in texts)


def test_default_directory_is_fresh(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Run(run_module.configure(None, tiny.sets, **tiny.flags)).config
    names = [run_module._new_store(None, config).path for _ in range(2)]
    assert names == [Path("runs/ma-darts-toy-synthetic-0"), Path("runs/ma-darts-toy-synthetic-0-1")]
