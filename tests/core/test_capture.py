"""Steps that can be recorded: what a CUDA graph asks of them, asked on the CPU. Nothing here has run on a GPU.

A :class:`Tape` does on the CPU what a graph does on the device: it notes the operations of one call, undoes what they did,
and runs the same operations on the same memory at every replay. Python does not run again, so whatever a step keeps in
Python is frozen. On torch's meta device, which has no numbers, a step that reads one back or moves one cannot hide.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nastk.core.document import overlay
from nastk.core.native import SWITCH
from nastk.core.run import capture
from nastk.core.run.capture import WARM_UPS, Captured
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.training import Trainer
from nastk.core.settings import TrainConfig
from nastk.core.types import Split
from nastk.strategies.bilevel_epoch import Epoch

SIZE, BATCH = 8, 4
META = torch.device("meta")
RUN: dict[str, Any] = {
    "dataset": {"name": "synthetic", "size": SIZE, "channels": 3, "train_images": 60, "test_images": 10},
    "space": {"name": "spiking-cells", "nodes": 2},
    "model": {"neuron": "plif", "time_steps": 2, "channels": 2, "cells": 2},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": BATCH},
    "strategy": {"name": "darts", "batch": BATCH, "warmup": 1},
    "capture": True,
    "device": "cpu",
}
SEARCHES: dict[str, dict[str, Any]] = {
    "exact": {},
    "partial and merged": {"relaxation": {"partial": 2, "merged": 2}},
    "second order": {"order": 2},
    "one level": {"levels": 1},
    "costs": {"nos_weight": 0.1, "nos_target": 100.0, "penalty": "parameters"},
}


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def memory(x: Tensor) -> int:
    return x.untyped_storage()._cdata


class Tape(TorchDispatchMode):
    """A recorder for the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Any, Any, list[Tensor]]] = []

    def warm_up(self, call: Callable[[], Any]) -> Any:
        return call()

    def record(self, call: Callable[[], Any]) -> Any:
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.made: set[int] = set()
        state = torch.get_rng_state()
        with self:
            found = call()
        for tensor, value in self.before.values():
            tensor.copy_(value)
        torch.set_rng_state(state)
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        written = [a for a, s in zip(args, func._schema.arguments, strict=False) if s.alias_info and s.alias_info.is_write]
        written += args[3:5] if "batch_norm" in str(func) and "backward" not in str(func) else []  # its schema hides them
        for x in tensors(written):
            if memory(x) not in self.made:
                whole = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())
                self.before.setdefault(memory(x), (whole, whole.clone()))
        found = func(*args, **kwargs)
        given = {memory(x) for x in tensors((args, kwargs))}
        fresh = [x for x in tensors(found) if memory(x) not in given]
        self.made |= {memory(x) for x in fresh}
        self.calls.append((func, args, kwargs, tensors(found)))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, outputs in self.calls:
            for out, new in zip(outputs, tensors(func(*args, **kwargs)), strict=True):
                if memory(out) != memory(new):
                    out.copy_(new)


def taped(wanted: bool, _device: torch.device) -> Tape | None:
    """In place of ``recorder``."""
    return Tape() if wanted else None


class NoHost(TorchDispatchMode):
    """Refuses all that would make the device wait for the host, or the other way round."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        found = func(*args, **kwargs)  # reading a value back fails here: there is none
        devices = {x.device.type for x in tensors((args, kwargs, found))}
        assert len(devices) < 2, f"{func} moves numbers between host and device: {devices}"
        return found


class NoLists(TorchFunctionMode):
    """Refuses lists as indices: torch makes a tensor on the host of them, and moves it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(i, list) for i in index), f"a list as an index: {index}"
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The paths in operations of torch, an Adam that can be recorded, one thread."""
    monkeypatch.setenv(SWITCH, "0")
    adam = sys.modules[torch.optim.Adam.__module__]
    monkeypatch.setattr(adam, "_get_capturable_supported_devices", lambda *_: ["cpu", "meta"])
    monkeypatch.setattr("nastk.strategies.bilevel_epoch.recorder", taped)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches(seed: int, count: int, device: str = "cpu") -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    found = [
        (torch.randn(1, BATCH, 3, SIZE, SIZE, generator=generator), torch.randint(4, (BATCH,), generator=generator))
        for _ in range(count)
    ]
    return [(x.to(device), y.to(device)) for x, y in found]


def run_of(strategy: dict[str, Any], tables: dict[str, Any] | None = None) -> Run:
    return Run(configure(overlay(overlay(RUN, {"strategy": strategy}), tables or {})))


def epoch_of(run: Run, number: int = 1) -> Epoch:
    state = run.strategy.begin(run.context)
    object.__setattr__(state, "epoch", number)
    epoch = Epoch(run.strategy.config, run.context, state)
    epoch.supernet.train()
    return epoch


def lasting(epoch: Epoch) -> dict[str, Tensor]:
    """All that lasts from step to step."""
    found = dict(epoch.supernet.state_dict()) | {f"alpha {name}": a for name, a in epoch.alpha.items()}
    for optimizer in (epoch.optimizer, epoch.alpha_optimizer):
        for i, state in enumerate(optimizer.state.values()):
            found |= {f"{type(optimizer).__name__} {i} {key}": v for key, v in state.items() if isinstance(v, Tensor)}
    return found | {f"spikes {cell}": count for cell, count in epoch.train_spikes._kept.items()}


@pytest.mark.parametrize(("name", "number"), [*((name, 1) for name in SEARCHES), ("exact", 0)])
def test_a_recorded_search_step_is_the_step(name: str, number: int) -> None:
    """Python runs for the warm-up and the record alone; losses, weights, alphas, optimizers and counts are the same."""
    recorded, plain = (epoch_of(run_of(SEARCHES[name]), number) for _ in range(2))
    assert isinstance(recorded._halves.recorder, Tape)
    plain._halves = Captured(plain._both_halves, None)
    ran = 0

    def counted(*given: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal ran
        ran += 1
        return recorded._both_halves(*given)

    recorded._halves.step = counted
    steps = WARM_UPS + 3
    for epoch in (recorded, plain):
        epoch._alpha_batches = iter(batches(1, steps))
    places: dict[str, int] = {}
    for turn, batch in enumerate(batches(0, steps)):
        for found, expected in zip(recorded._update(batch), plain._update(batch), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        if turn == 0:
            places = {name: value.data_ptr() for name, value in lasting(recorded).items()}
    assert ran == WARM_UPS + 1
    assert places == {name: value.data_ptr() for name, value in lasting(recorded).items()}
    expected = lasting(plain)
    assert len(places) == len(expected)
    for key, value in lasting(recorded).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6, msg=key)
    assert recorded.train_spikes._images == steps * BATCH


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_step_keeps_to_the_device(name: str) -> None:
    run = run_of(SEARCHES[name], {"model": {"cells": 1}})
    state = run.strategy.begin(run.context)
    object.__setattr__(state, "epoch", 1)
    on_meta(run)
    epoch = Epoch(run.strategy.config, run.context, state)
    epoch.supernet.train()
    train, held = batches(0, 1, "meta")[0], batches(1, 1, "meta")[0]
    epoch._both_halves(*train, *held)  # makes the optimizers' state
    with NoHost():
        epoch._both_halves(*train, *held)


def test_a_search_step_has_no_lists_as_indices() -> None:
    epoch = epoch_of(run_of({}, {"model": {"cells": 1}}))
    with NoLists():
        epoch._both_halves(*batches(0, 1)[0], *batches(1, 1)[0])


def on_meta(run: Run) -> None:
    """The run's networks and data on the device without numbers."""
    real = run.context.supernet
    run.context.supernet = lambda *given: real(*given).to(META)  # type: ignore[method-assign]
    run.task.data.device = META


def trainer_of(run: Run, config: TrainConfig, capturing: bool, device: str = "cpu") -> Trainer:
    torch.manual_seed(0)
    network = run.build(run.space.sample(random.Random(0))).to(device)
    return Trainer(network, run.task, config, 0, run.emit, (Split.WEIGHTS,), capturing)


FULL = TrainConfig(batch=BATCH, epochs=2, auxiliary=0.4, drop_path=0.3, label_smoothing=0.1, nesterov=True)


def test_a_training_with_a_recorded_step_is_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """With drop-path, two epochs: the second has another learning rate and another probability."""
    monkeypatch.setattr("nastk.core.run.training.recorder", taped)
    run = run_of({}, {"train": {"auxiliary": 0.4}})
    ends = []
    for capturing in (True, False):
        trainer = trainer_of(run, FULL, capturing)
        assert trainer.steps > WARM_UPS + 2
        ends.append([trainer.epoch(number) for number in range(2)])
    for mine, theirs in zip(*ends, strict=True):
        assert mine.figures == pytest.approx(theirs.figures, rel=1e-5)
        for name, value in theirs.weights.items():
            torch.testing.assert_close(mine.weights[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(("attention", "task"), [("none", "classification"), ("eca", "tet"), ("cbam", "tet")])
def test_a_training_step_keeps_to_the_device(attention: str, task: str) -> None:
    run = run_of({}, {"model": {"attention": attention}, "task": task, "train": {"auxiliary": 0.4}})
    trainer = trainer_of(run, FULL, False, "meta")
    trainer.network.set_dropout(drop_path=0.3)
    trainer.network.train()
    (batch,) = batches(0, 1, "meta")
    trainer._update(batch)
    with NoHost(), NoLists():
        trainer._update(batch)


def counting_step(weight: Tensor, calls: list[int]) -> Callable[..., tuple[Tensor, Tensor]]:
    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(len(x))
        weight.add_(x.sum())
        return weight * 1.0, (y > 0).sum()

    return step


def test_inputs_of_another_shape_are_handed_to_the_step() -> None:
    """Before the record and after it; what the record has done so far stays."""
    weight, calls = torch.zeros(()), list[int]()
    step = Captured(counting_step(weight, calls), Tape())
    total = 0.0
    for turn, count in enumerate([4, 4, 3, 4, 4, 4, 3, 4, 5, 4]):
        x = torch.full((count,), float(turn))
        total += count * turn
        loss, hits = step(x, x)
        assert (float(loss), int(hits)) == (total, count if turn else 0)
    assert calls == [4, 4, 3, 4, 4, 3, 5]  # three to warm up, one for the record, and the odd ones


def test_an_answer_outlives_the_next_call() -> None:
    step = Captured(counting_step(torch.zeros(()), []), Tape())
    answers = [step(torch.ones(1), torch.ones(1))[0] for _ in range(WARM_UPS + 3)]
    assert [float(a) for a in answers] == [float(n + 1) for n in range(WARM_UPS + 3)]


def test_without_a_recorder_the_step_is_called() -> None:
    calls: list[int] = []
    step = Captured(counting_step(torch.zeros(()), calls), None)
    for _ in range(WARM_UPS + 3):
        step(torch.ones(2), torch.ones(2))
    assert calls == [2] * (WARM_UPS + 3)


@pytest.mark.parametrize("device", ["cpu", "mps", "meta"])
@pytest.mark.parametrize("wanted", [True, False])
def test_only_cuda_has_a_recorder(device: str, wanted: bool) -> None:
    assert capture.recorder(wanted, torch.device(device)) is None


def test_what_the_host_draws_or_looks_at_is_not_recorded() -> None:
    drawn = ({"relaxation": {"paths": 1}}, {"weighting": {"kind": "gumbel-softmax"}}, {"perturbation": {"kind": "random"}})
    for strategy in drawn:
        assert epoch_of(run_of(strategy))._halves.recorder is None
    layers = {"space": {"name": "spiking-cells", "layer_level": "searched"}}
    assert epoch_of(run_of({}, layers))._halves.recorder is None


def test_what_a_graph_could_not_do_is_seen() -> None:
    """The two modes refuse, and the tape freezes, what they are there for."""
    x = torch.ones(3, device=META)
    for step in (lambda: x.sum().item(), x.nonzero, x.cpu, lambda: torch.ones(3).to(META), lambda: x + torch.ones(3)):
        with pytest.raises((RuntimeError, NotImplementedError, AssertionError)), NoHost():
            step()
    with pytest.raises(AssertionError), NoLists():
        x[[0, 1]]
    numbers = itertools.count()
    weight = torch.zeros(())
    step = Captured(lambda _, y: (weight.add_(next(numbers)).clone(), y.sum()), Tape())
    answers = [float(step(torch.ones(1), torch.ones(1))[0]) for _ in range(WARM_UPS + 3)]
    assert answers == [0, 1, 3, 6, 9, 12]  # from the record on, three is added every time
