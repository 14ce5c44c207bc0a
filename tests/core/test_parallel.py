"""Two processes on shares of every batch learn what one process learns on the whole, and only one of them speaks.

The processes run this file: each case is a function of settings alone, in double precision.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from nastk.core.data.augment import Augmenter
from nastk.core.document import overlay
from nastk.core.errors import ConfigError, DataError
from nastk.core.model.distributed import DistributedBatchNorm
from nastk.core.model.network import Network
from nastk.core.ranks import ALONE, Ranks, launched, ranks, taking_part
from nastk.core.run.parallel import anyone, check_shared, first, group, joined
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.training import Trainer
from nastk.core.seeds import rng

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 80, "test_images": 16},
    "model": {"neuron": "plif", "time_steps": 2, "channels": 2, "cells": 2, "attention": "none"},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 16, "epochs": 2, "drop_path": 0.3, "label_smoothing": 0.1},
    "device": "cpu",
}
EPOCHS: dict[str, dict[str, Any]] = {
    "first-order": {"name": "darts", "order": 1, "nos_weight": 0.1, "guard": {"skip_dropout": 0.3}},
    "second-order": {"name": "darts", "order": 2},
    "drawn-paths": {"name": "gdas"},
    "adversarial": {"name": "darts", "perturbation": {"kind": "adversarial", "steps": 2}, "relaxation": {"partial": 2}},
}


def run_of(**tables: Any) -> Run:
    return Run(configure(overlay(TINY, tables)))


def trained() -> dict[str, Tensor]:
    """One epoch of training from scratch, the second: parts of the cells are dropped."""
    run = run_of(strategy="random-search")
    network = run.build(run.space.sample(rng(0, "member")))
    state = Trainer(network, run.task, run.config.train, 0, run.emit, run.splits).epoch(1)
    return {**state.weights, "loss": torch.tensor(state.figures["loss"]), "accuracy": torch.tensor(state.figures["accuracy"])}


def searched(name: str) -> dict[str, Tensor]:
    """One epoch of a bilevel search."""
    run = run_of(strategy={**EPOCHS[name], "warmup": 0, "epochs": 2, "batch": 8})
    state = run.strategy.step(run.context, run.strategy.begin(run.context))
    told = {n: torch.tensor(state.figures[n]) for n in ("loss", "accuracy", "valid_accuracy")}
    return {**state.weights, **{f"alpha {n}": a for n, a in state.alpha.items()}, **told}


def normed() -> dict[str, Tensor]:
    """What a norm makes of a batch, its gradients and its statistics, with plain momentum and without; then evaluated."""
    found: dict[str, Tensor] = {}
    place = ranks()
    for name, momentum, affine in (("plain", 0.1, True), ("mean", None, False)):
        norm = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum, affine=affine))
        if affine:
            nn.init.uniform_(norm[0].weight, generator=torch.Generator().manual_seed(2))
        joined(norm)
        draws = torch.Generator().manual_seed(1)
        for turn in range(2):
            x_NCHW = 5 + torch.randn(8, 3, 4, 4, generator=draws)
            wanted = torch.randn(8, 3, 4, 4, generator=draws)
            own = slice(8 // place.size * place.rank, 8 // place.size * (place.rank + 1))
            x = x_NCHW[own].clone().requires_grad_()
            y = norm(x)
            norm.zero_grad()
            (y * wanted[own]).sum().mul(place.size).backward()
            assert x.grad is not None
            mine = {"y": y.detach(), "dx": x.grad / place.size}
            found |= {f"{name} {turn} {n} {i}": t[i - own.start] for n, t in mine.items() for i in range(8)[own]}
            found |= {f"{name} {turn} d {n}": p.grad for n, p in norm.named_parameters() if p.grad is not None}
        found |= {f"{name} {n}": b.double() for n, b in norm.named_buffers()}
        found[f"{name} evaluated"] = norm.eval()(x_NCHW).detach()
    return found


CASES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "normed": normed,
    "trained": trained,
    **{name: lambda name=name: searched(name) for name in EPOCHS},  # type: ignore[misc]
}


def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    single = Augmenter._normalised
    monkeypatch.setattr(Augmenter, "_normalised", lambda self, x: single(self, x).double())


def main(folder: Path) -> None:
    """What each of the processes does."""
    in_double(pytest.MonkeyPatch())
    with group():
        place = ranks()
        for name, case in CASES.items():
            safetensors.torch.save_file(
                {n: t.contiguous() for n, t in case().items()}, folder / f"{name}-{place.rank}.safetensors"
            )
        agreed = [first(float(place.rank + 3)), anyone(place.rank == 1), anyone(False)]
        (folder / f"agreed-{place.rank}.json").write_text(json.dumps(agreed))
    assert ranks() == ALONE


def launch(size: int, *words: str, cwd: Path, **more: str) -> list[subprocess.Popen[str]]:
    """So many processes, with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    usual = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**usual, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        for rank in range(size)
    ]


def ended(processes: list[subprocess.Popen[str]], seconds: float) -> list[tuple[int, str, str]]:
    """Exit code and output of each; none is left behind."""
    try:
        until = time.monotonic() + seconds
        found = [(*p.communicate(timeout=max(1.0, until - time.monotonic())), p.returncode) for p in processes]
        return [(code, out, error) for out, error, code in found]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have found."""
    folder = tmp_path_factory.mktemp("ranks")
    for code, _, error in ended(launch(2, str(Path(__file__)), str(folder), cwd=folder), 240):
        assert code == 0, error
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_does(name: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_default_dtype(), torch.get_num_threads()
    in_double(monkeypatch)
    try:
        wanted = CASES[name]()
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
    zero, one = (safetensors.torch.load_file(shared / f"{name}-{rank}.safetensors") for rank in (0, 1))
    for key in zero.keys() & one.keys():
        assert torch.equal(zero[key], one[key]), f"{key}: the processes have parted"
    found = zero | one
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(
            found[key].double(), value.double(), rtol=0, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_times_and_stops_are_agreed_upon(shared: Path) -> None:
    for rank in (0, 1):
        assert json.loads((shared / f"agreed-{rank}.json").read_text()) == [3.0, True, False]


def test_shares_make_up_the_batch() -> None:
    whole = run_of().task.data
    parts = []
    for rank in range(2):
        with taking_part(Ranks(rank, 2)):
            data = run_of().task.data
        parts.append(list(data.batches(16, 3, "order", splits=run_of().splits)))
    batches = list(whole.batches(16, 3, "order", splits=run_of().splits))
    assert len(batches) == len(parts[0]) == len(parts[1]) == whole.steps(16, *run_of().splits)
    for (x, y), (x0, y0), (x1, y1) in zip(batches, *parts, strict=True):
        assert torch.equal(torch.cat([x0, x1], dim=1), x)
        assert torch.equal(torch.cat([y0, y1]), y)
    with pytest.raises(DataError, match="cannot be shared by 2"):
        data.steps(15, *run_of().splits)


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ({"executor": "processes"}, "executor"),
        ({"capture": True}, "capture"),
        ({"device": "cuda:0"}, "device"),
        ({"benchmark": "nats-bench"}, "benchmark"),
    ],
)
def test_what_processes_cannot_share_is_refused(tables: dict[str, Any], fault: str) -> None:
    config = configure(overlay(TINY, {"strategy": "random-search", **tables}))
    check_shared(config)
    with taking_part(Ranks(0, 2)), pytest.raises(ConfigError, match=f"{fault}: "):
        check_shared(config)


def test_norms_that_cannot_be_shared_are_refused_and_others_are_not_touched() -> None:
    run = run_of(strategy="random-search")
    network = run.build(run.space.sample(rng(0, "member")))
    assert not any(isinstance(module, DistributedBatchNorm) for module in network.modules())
    with taking_part(Ranks(0, 2)):
        with pytest.raises(ConfigError, match="BatchNorm1d"):
            joined(nn.Sequential(nn.BatchNorm1d(2)))
        shared = joined(network)
        assert isinstance(shared, Network)
        assert {type(m) for m in shared.modules() if isinstance(m, nn.BatchNorm2d)} == {DistributedBatchNorm}
        with pytest.raises(ConfigError, match="merged"):
            run_of(strategy={"name": "darts", "relaxation": {"merged": 2}}, model={"neuron": "relu"})


def test_the_environment_says_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == ALONE
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launched() == Ranks(5, 8, 1)
    monkeypatch.setenv("RANK", "five")
    with pytest.raises(ConfigError, match="numbers"):
        launched()


RUN = """
strategy = { name = "darts", epochs = 6, batch = 16, warmup = 0 }
space = "toy"
dataset = { name = "synthetic", size = 8, train_images = 160, test_images = 32 }
model = { neuron = "plif", time_steps = 1, channels = 2, cells = 1, attention = "none" }
proxy = { channels = 0, cells = 0 }
train = { batch = 16, epochs = 20 }
device = "cpu"
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_whole_run_has_one_voice_and_one_directory_and_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN)
    words = ("-m", "nastk", "run", "run.toml", "--quiet")
    (alone,) = ended(launch(1, *words, "--out", "alone", cwd=tmp_path), 120)
    assert alone[0] == 0, alone[2]
    first = launch(2, *words, "--out", "two", cwd=tmp_path)
    events = tmp_path / "two" / "metrics.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (events.is_file() and '"step"' in events.read_text()):
        time.sleep(0.02)
    first[0].send_signal(signal.SIGTERM)  # one hears it, all stop at the same batch
    for code, _, error in ended(first, 60):
        assert code == 143, error
    two = ended(launch(2, "-m", "nastk", "run", "--quiet", "--resume", "two", cwd=tmp_path), 120)
    assert [code for code, _, _ in two] == [0, 0], two[0][2] + two[1][2]
    assert not two[1][1], "only rank 0 speaks"
    one, both = json.loads(alone[1]), json.loads(two[0][1])
    assert both["genotype"]["digest"] == one["genotype"]["digest"]
    assert both["test"]["accuracy"] == pytest.approx(one["test"]["accuracy"], abs=0.1)
    assert {path.name for path in tmp_path.iterdir()} == {"run.toml", "alone", "two"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
