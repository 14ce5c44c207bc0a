"""Every mistake of a user: exit code 2, one clear sentence, no traceback, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
import torch
from typer.testing import CliRunner

from nastk.cli.app import app
from nastk.core.run.seal import sealed
from nastk.testing import build_space

TINY = [
    "--space", "toy", "--dataset", "synthetic", "--device", "cpu", "-q",
    *(
        word
        for text in (
            "dataset.size=8", "dataset.train_images=160", "dataset.test_images=40",
            "model.channels=2", "proxy.channels=0", "model.cells=1", "proxy.cells=0", "train.epochs=1", "train.batch=16",
        )
        for word in ("--set", text)
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, so that whatever a command leaves is seen."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    yield place
    torch.set_num_threads(before)


def refused(place: Path, *words: str) -> str:
    """The sentence with which a command is refused."""
    before = sorted(place.rglob("*"))
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    assert sorted(place.rglob("*")) == before, "something was left behind"
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("nastk: ")
    text = result.stderr.removeprefix("nastk: ").strip()
    assert text.count("\n") == text.count("\n  - "), f"more than one sentence: {text}"
    return text


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--strategy", "dartz"], ["No strategy named 'dartz'", "Did you mean 'darts'", "random-search"]),
        (["--space", "tuy"], ["No space named 'tuy'", "'toy'", "spiking-cells"]),
        (["--dataset", "digit"], ["No dataset named 'digit'", "'digits'"]),
        (["--neuron", "plift"], ["No neuron named 'plift'", "'plif'"]),
        (["--attention", "cbm"], ["No attention named 'cbm'", "'cbam'"]),
        (["--space", "toy", "--set", "space.operations=['conv_3x3','conv_3x4']"], ["No operation named 'conv_3x4'", "conv_3x3"]),
        (["--set", "strategy.epoch=3"], ["strategy.epoch: unknown setting", "Did you mean 'epochs'"]),
        (["--set", "modle.channels=3"], ["modle: unknown setting", "'model'"]),
        (["--set", "train.epochs=many"], ["train.epochs: expected a whole number, got 'many'"]),
        (["--set", "train.lr=true"], ["train.lr: expected a number, got True"]),
        (["--set", "model=3"], ["model: expected a table, got 3"]),
        (["--set", "strategy.lr=0.0"], ["strategy.lr", "0"]),
        (["--set", "train.drop_path=1.0"], ["train.drop_path", "1.0"]),
        (["--set", "strategy.order=3"], ["strategy.order: expected one of 1, 2, got 3"]),
        (["--set", "split.weights=0.6"], ["weights + alpha must leave a validation part", "0.6 + 0.4"]),
        (["--set", "seed=-1"], ["seed"]),
        (["--set", "epochs"], ["expected path=value, got 'epochs'"]),
        (["--device", "cuda:99"], ["cuda:99", "is not there", "cpu"]),
        (["--device", "tpu"], ["device", "tpu"]),
        (["--set", "strategy.batch=1000"], ["A batch of 1000", "smaller batch"]),
        (["--set", "train.batch=5000"], ["A batch of 5000", "smaller batch"]),
        (["--set", "space.layer_level=serched"], ["space.layer_level: expected one of", "Did you mean 'searched'"]),
        (["--set", "model.attention={name='tcsa', t_reduction=4}", "--set", "model.time_steps=2"], ["t_reduction", "4", "2"]),
        (["--strategy", "random-search", "--attention", "tcsa", "--set", "model.attention.t_reduction=4"], ["t_reduction"]),
        (["--set", "model.neuron.choices=['plif','lif']"], ["cannot search model.neuron", "random-search"]),
        (["--set", "strategy.penalty=mac"], ["No estimator named 'mac'", "'macs'"]),
        (["--resume", "nowhere"], ["no run directory"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].startswith("--") else "",
)  # fmt: skip
def test_settings(here: Path, words: list[str], wanted: list[str]) -> None:
    text = refused(here, "run", "-q", *words)
    for part in wanted:
        assert part in text
    assert "\n" not in text


def test_every_fault_is_listed_at_once(here: Path) -> None:
    sets = [word for text in ("train.epochs=0", "model.tims=1", "seed=x") for word in ("--set", text)]
    text = refused(here, "run", "--strategy", "dartz", "--neuron", "plift", *sets)
    for path in ("strategy", "model.neuron", "train.epochs", "model.tims", "seed"):
        assert f"\n  - {path}: " in text
    assert text.count("\n  - ") == 5


def test_config_file(here: Path) -> None:
    assert "missing.toml" in (text := refused(here, "run", "missing.toml"))
    assert "no such file" in text
    (here / "bad.toml").write_text("[model\nchannels = 3\n")
    assert "bad.toml" in (text := refused(here, "run", "bad.toml"))
    assert "line 1" in text
    (here / "latin.toml").write_bytes(b"seed = 1 # \xe9\n")
    assert "latin.toml" in refused(here, "run", "latin.toml")
    (here / "wrong.toml").write_text("strategy = 'darts'\n[train]\nepoch = 3\n")
    assert "wrong.toml" in (text := refused(here, "run", "wrong.toml"))
    assert "train.epoch: unknown setting" in text
    assert str(here) in refused(here, "run", str(here))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist"])
def test_missing_data(here: Path, name: str) -> None:
    text = refused(here, "run", "--dataset", name, "--set", f"dataset.root='{here / 'no data'}'")
    assert "no data" in text


def test_output_directory(here: Path) -> None:
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("years of work")
    for command in (["run"], ["search"]):
        text = refused(here, *command, *TINY, "--out", "full")
        assert "full is not empty" in text
        assert "--out" in text
    (here / "file").write_text("")
    assert "file" in refused(here, "run", *TINY, "--out", "file")
    assert (here / "full" / "thesis.txt").read_text() == "years of work"


def test_resume(here: Path) -> None:
    (here / "empty").mkdir()
    assert "manifest.toml" in refused(here, "run", "--resume", "empty")
    assert "--resume alone" in refused(here, "run", "--resume", "empty", "--seed", "3")
    (here / "damaged").mkdir()
    (here / "damaged" / "manifest.toml").write_text("schema = [")
    assert "damaged" in refused(here, "run", "--resume", "damaged")
    (here / "damaged" / "manifest.toml").write_text(tomli_w.dumps(sealed({"schema": 99, "config": {}})))
    assert "99" in refused(here, "run", "--resume", "damaged")
    (here / "damaged" / "manifest.toml").write_text("schema = 2\n[config]\n")
    assert "checksum" in refused(here, "run", "--resume", "damaged")
    assert "manifest.toml" in refused(here, "evaluate", "empty")


def test_genotype_files(here: Path) -> None:
    space = build_space("toy", {"channels": 2, "cells": 1})
    genotype = space.decode([0, 1, 2, *[0] * (len(space.decisions) - 3)])
    good = json.loads(genotype.to_json())
    bare = {k: v for k, v in good.items() if k != "digest"}  # a file written by hand
    files = {
        "not-json.json": ("{", "no genotype"),
        "list.json": ("[]", "no genotype"),
        "schema.json": (json.dumps({**good, "schema": 99}), "schema 99"),
        "digest.json": (json.dumps({**good, "digest": "0" * 16}), "digest"),
        "cells.json": (json.dumps({**good, "cells": 3}), "no genotype"),
        "part.json": (json.dumps({**bare, "parts": {}}), "no part 'neuron'"),
        "operation.json": (json.dumps(bare).replace("conv_3x3", "conv_9x9"), "conv_9x9"),
        "space.json": (json.dumps({**bare, "space": "tuy"}), "tuy"),
    }
    (here / "good.json").write_text(genotype.to_json())
    train = ["--dataset", "synthetic", "--device", "cpu"]
    for name, (text, wanted) in files.items():
        (here / name).write_text(text)
        assert wanted in refused(here, "train", name, *train), name
    assert "missing.json" in refused(here, "train", "missing.json", *train)
    assert "spiking-cells" in refused(here, "train", "good.json", *train, "--space", "spiking-cells")
    (here / "full").mkdir()
    (here / "full" / "x").write_text("")
    assert "not empty" in refused(here, "train", "good.json", *train, "--out", "full")


def test_a_stranger_genotype_in_a_run_directory(here: Path) -> None:
    """A genotype swapped by hand is refused by resume and evaluate; what is there stays."""
    done = CliRunner().invoke(app, ["search", *TINY, "--set", "strategy.epochs=1", "--out", "run"])
    assert done.exit_code == 0, done.output
    other = build_space("spiking-cells", {"channels": 2, "cells": 1})
    (here / "run" / "genotype.json").write_text(other.decode([0] * len(other.decisions)).to_json())
    for words in (["run", "--resume", "run"], ["evaluate", "run"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert "spiking-cells" in result.stderr
        assert "Traceback" not in result.stderr


def test_divergence(here: Path) -> None:
    """What was finished stays; the sentence has epoch and step."""
    words = ["run", *TINY, "--set", "strategy.epochs=1", "--set", "train.lr=1e38", "--out", "run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    assert "in train, epoch 1, step" in result.stderr
    assert "lower the learning rate" in result.stderr
    assert (here / "run" / "genotype.json").is_file()


def test_damaged_result_file(here: Path) -> None:
    done = CliRunner().invoke(app, ["search", *TINY, "--set", "strategy.epochs=1", "--out", "run"])
    assert done.exit_code == 0, done.output
    (here / "run" / "result.json").write_text("{")
    assert "result.json" in refused(here, "run", "--resume", "run", "-q")


def test_in_a_real_process(here: Path) -> None:
    """The installed command itself: exit code, one line on stderr, nothing on stdout."""
    words = ["run", "--strategy", "dartz", "--set", "train.epochs=0", "--out", "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "nastk", *words], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nastk: Configuration refused")
    assert "Traceback" not in done.stderr
    assert list(here.iterdir()) == []
