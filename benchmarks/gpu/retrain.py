"""G8: a training step of ``genotype.json`` at 48 channels, T = 2: counted TFLOP/s.

Counted are the multiply-accumulates of convolutions and linear layers: two operations each, once forward and twice
backward. The reference is the network of ``plain_network.py``, with SpikingJelly's neuron; with the same weights its loss has
to be nastk's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import retrain
import torch
from gpu.search import NEAR, check_captured
from gpu.section import Row, Setup, Step, over, reason, require, timed
from torch import nn

from nastk.core.cell.graph import Genotype
from nastk.core.config import EstimatorPart
from nastk.core.run.capture import Captured, recorder
from nastk.core.run.run import Run
from nastk.core.run.runfile import configure
from nastk.core.run.training import Trainer
from nastk.core.settings import TrainConfig
from nastk.core.types import Shape, Split


def settings_of(setup: Setup) -> dict[str, Any]:
    """As ``retrain.py`` of the folder above has them."""
    channels, pixels, batch = setup.pick((48, 32, 256), (2, 8, 4))
    return {"channels": channels, "pixels": pixels, "batch": batch, "time_steps": 2}


def trainer_of(setup: Setup, settings: dict[str, Any], precision: str) -> Trainer:
    """nastk's own trainer of the genotype."""
    images = {"size": settings["pixels"], "channels": 3, "classes": 10, "train_images": 3 * settings["batch"] + 30}
    small = {"strategy": {"name": "darts", "batch": 2}, "train": {"batch": 2}, "device": setup.device, "precision": precision}
    run = Run(configure({"dataset": {"name": "synthetic", "test_images": 16, **images}, **small}))
    genotype = Genotype.from_json(json.dumps(retrain.document(settings)))
    config = TrainConfig(batch=settings["batch"], clip=retrain.CLIP, **retrain.SGD)
    return Trainer(run.build(genotype).train(), run.task, config, 0, run.emit, (Split.WEIGHTS,))


def batch_of(setup: Setup, settings: dict[str, Any]) -> tuple[Any, Any]:
    """Images ``(1, B, 3, H, W)`` and labels on the device."""
    x, y = retrain.batch_of(settings)
    return x.to(setup.device), y.to(setup.device)


def steps(setup: Setup, settings: dict[str, Any], precision: str, capture: bool) -> tuple[Captured, Step]:
    """The step of nastk's trainer."""
    trainer = trainer_of(setup, settings, precision)
    x, y = batch_of(setup, settings)
    step = Captured(lambda x, y: trainer._update((x, y)), recorder(capture, trainer.task.data.device))
    return step, partial(step, x, y)


def plain_step(setup: Setup, settings: dict[str, Any], precision: str) -> Step:
    """The same step from plain modules; raises :class:`FailedCheck` unless it is the same function."""
    from plain_network import PlainNetwork

    ours = trainer_of(setup, settings, "float32").network.double()
    network = PlainNetwork(retrain.document(settings)).to(setup.device)
    network.double().load_state_dict(ours.state_dict())
    x, y = batch_of(setup, settings)
    with torch.no_grad():
        losses = [
            float(nn.functional.cross_entropy(net(x[:, :4].double().repeat(times, 1, 1, 1, 1)).mean(0), y[:4]))
            for net, times in ((ours, 1), (network, settings["time_steps"]))
        ]
    require(abs(losses[0] - losses[1]) < retrain.NEAR, f"the losses are {losses[0]:.6g} and {losses[1]:.6g}")
    del ours
    network.float().train()
    optimizer = torch.optim.SGD(network.parameters(), **retrain.SGD)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(setup.device.split(":")[0], torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(x.repeat(settings["time_steps"], 1, 1, 1, 1))
        nn.functional.cross_entropy(logits.float().mean(0), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), retrain.CLIP)
        optimizer.step()

    return step


def operations_of(settings: dict[str, Any]) -> float:
    """Counted floating-point operations of a step."""
    genotype = Genotype.from_json(json.dumps(retrain.document(settings)))
    shape = Shape(1, 3, settings["pixels"], settings["pixels"])
    macs = EstimatorPart.named("macs").build().estimate(genotype, shape, 10).value
    return 2 * 3 * macs * settings["batch"]


def measure(setup: Setup) -> Iterator[Row]:
    """The rows of both precisions."""
    settings = settings_of(setup)
    try:
        operations = operations_of(settings)
    except Exception as error:
        yield Row("G8", "counting operations", "nastk", remark=reason(error))
        return
    for precision in ("bfloat16", "float32") if not setup.toy else ("float32",):
        case = f"training step, C = {settings['channels']}, batch {settings['batch']}, {precision}"
        plain = timed(setup, Row("", case, "plain modules, SpikingJelly"), partial(plain_step, setup, settings, precision))
        yield plain
        make = partial(steps, setup, settings, precision)
        eager = timed(setup, Row("", case, "nastk, eager"), lambda make=make: make(False)[1])
        eager.ratio = over(eager, plain)
        yield eager
        near = NEAR[precision]
        captured = timed(setup, Row("", case, "nastk, captured"), lambda make=make, near=near: check_captured(setup, make, near))
        captured.ratio = over(captured, plain)
        yield captured
        for row in (eager, captured):
            if row.value:
                rate = operations / row.value / 1e9
                bar = "G8" if precision == "bfloat16" and row is captured else ""
                yield Row(bar, case, f"{row.side}: counted", rate, "TFLOP/s", rate)
