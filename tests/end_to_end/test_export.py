"""``nastk export`` and ``nastk.export``: the file holds the network that was tested."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.core.config import DatasetPart, ExporterPart
from nastk.core.errors import NastkError
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.manifest import config_of
from nastk.core.run.run import load_genotype
from nastk.core.run.store import RunDirectory


@pytest.fixture(scope="module")
def trained(tiny: Any, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run with an auxiliary head, whose test data are closed."""
    out = tmp_path_factory.mktemp("export") / "trained"
    sets = [*tiny.sets, "train.auxiliary=0.4", "model.neuron.v_th=0.1"]
    return nastk.train(finished / "genotype.json", set=sets, dataset="synthetic", device="cpu", out=out)


@pytest.fixture
def directory(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def answers(trained: Path) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The test images as a stranger with the data set has them, the labels, and what nastk says of them."""
    dataset = DatasetPart.named("synthetic", size=8, train_images=160, test_images=40).build()
    samples = dataset.test()
    result = nastk.evaluate(shutil.copytree(trained, trained.with_name("tested")))
    return samples.x, samples.y, result


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def refused(directory: Path, *words: str) -> str:
    """The sentence with which the command is refused; nothing is left behind."""
    before = snapshot(directory)
    result = CliRunner().invoke(app, ["export", *words])
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert result.stderr.startswith("nastk: ")
    assert result.stderr.strip().count("\n") == 0
    assert snapshot(directory) == before
    return result.stderr


def test_the_file_holds_the_tested_network(directory: Path, answers: tuple[Tensor, Tensor, dict[str, Any]]) -> None:
    """With the file alone: prepare the test images as it says, run, and count."""
    before = snapshot(directory)
    path = nastk.export(directory)
    assert path == directory / "network.safetensors"
    assert {name: text for name, text in snapshot(directory).items() if name != path.name} == before
    found = ExporterPart.named("safetensors").build().trained(path)
    x, y, result = answers
    mean, std = (torch.tensor(values)[:, None, None] for values in (found.mean, found.std))
    logits = found.network((x / 255 - mean) / std if x.ndim == 5 else ((x / 255 - mean) / std)[None])
    assert len({tuple(row) for row in logits.mean(0).tolist()}) > 5, "the network does not see its images"
    assert float((logits.mean(0).argmax(-1) == y).float().mean()) == pytest.approx(result["test"]["accuracy"], abs=1e-6)
    assert sum(p.numel() for p in found.network.parameters()) == result["parameters"]
    weights = RunDirectory(directory).load("train")["weights"]  # type: ignore[index]
    assert any(".auxiliary." in name for name in weights)
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_the_command(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "half.safetensors"
    words = ["export", str(directory), "--to", "safetensors", "--out", str(out), "--set", "precision=float16"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    whole = CliRunner().invoke(app, ["export", str(directory)])
    assert whole.stdout == f"{directory / 'network.safetensors'}\n"
    assert out.stat().st_size < 0.8 * (directory / "network.safetensors").stat().st_size
    exporter = ExporterPart.named("safetensors").build()
    one, two = exporter.read(out).state_dict(), exporter.read(directory / "network.safetensors").state_dict()
    assert all(torch.equal(one[n], two[n].half().float() if two[n].is_floating_point() else two[n]) for n in two)


def test_python_takes_settings_as_words(directory: Path, tmp_path: Path) -> None:
    one = nastk.export(directory, out=tmp_path / "a", precision="bfloat16")
    two = nastk.export(directory, "safetensors", tmp_path / "b", set=["precision=bfloat16"])
    assert {v.dtype for v in load_file(one).values()} == {torch.bfloat16, torch.int64}
    assert all(torch.equal(value, load_file(two)[name]) for name, value in load_file(one).items())


def test_refusals(directory: Path, tmp_path: Path) -> None:
    run = str(directory)
    assert "no run directory" in refused(directory, str(tmp_path))
    assert "No exporter named 'safetensor'" in (text := refused(directory, run, "--to", "safetensor"))
    assert "Did you mean 'safetensors'" in text
    assert "precison: unknown setting" in refused(directory, run, "--set", "precison=float16")
    assert "precision: expected one of" in refused(directory, run, "--set", "precision=float8")
    assert "expected path=value" in refused(directory, run, "--set", "precision")
    (directory / "network.safetensors").write_text("years of work")
    assert "exists already" in refused(directory, run)
    assert "exists already" in refused(directory, run, "--out", str(tmp_path))
    assert "cannot be written" in refused(directory, run, "--out", str(directory / "result.json" / "x"))
    assert "cannot be written" in refused(directory, run, "--out", "x" * 300)
    (directory / "network.safetensors").unlink()
    (directory / "genotype.json").unlink()
    assert "genotype.json cannot be read" in refused(directory, run)


def test_an_untrained_run(tiny: Any, tmp_path: Path) -> None:
    run = tmp_path / "search"
    nastk.search(set=tiny.sets, out=run, **tiny.flags)
    assert f"holds no finished training: go on with `nastk run --resume {run}`" in refused(run, str(run))


def test_a_search_in_a_table(tmp_path: Path) -> None:
    """It trained nothing, so there is nothing to go on with either."""
    run = tmp_path / "table"
    nastk.run(benchmark="nats-bench", strategy={"name": "random-search", "trials": 2}, out=run)
    assert "is a search in the table 'nats-bench': no network was trained" in refused(run, str(run))


def test_weights_of_another_genotype(directory: Path) -> None:
    """A member of the space that was put there by hand is not what the run found."""
    config = config_of(RunDirectory(directory))
    space = config.space.build(config.model)
    there = load_genotype(directory / "genotype.json")
    other = next(
        g for g in (space.decode([option] * 3 + [0] * len(space.decisions[3:])) for option in (2, 3)) if g.cells != there.cells
    )
    (directory / "genotype.json").write_text(other.to_json())
    assert "is not the genotype that this run found" in refused(directory, str(directory))


@pytest.fixture
def offered() -> Iterator[Callable[[type], None]]:
    """Offers a class for one test."""
    classes: list[type] = []

    def offer(cls: type) -> None:
        nastk.registry().offer(cls)
        classes.append(cls)

    yield offer
    nastk.registry().withdraw(*classes)


def test_an_exporter_from_outside(directory: Path, offered: Callable[[type], None]) -> None:
    """It gets the trained network in evaluation mode; its suffix names the file; a file that is there is never its concern."""
    seen: list[Trained] = []

    @nastk.mark.exporter("count")
    class Count(Exporter):
        """How many weights there are."""

        suffix = ".txt"

        def write(self, trained: Trained, path: Path) -> None:
            seen.append(trained)
            path.write_text("many")

        def read(self, path: Path) -> Callable[[Tensor], Tensor]:
            raise NotImplementedError

    offered(Count)
    assert nastk.export(directory, "count") == directory / "network.txt"
    (trained,) = seen
    assert not trained.network.training
    assert (trained.sample[1:], trained.classes) == ((1, 8, 8), trained.network.body.classifier.out_features)  # type: ignore
    with pytest.raises(NastkError, match="exists already"):
        nastk.export(directory, "count")
    assert len(seen) == 1
