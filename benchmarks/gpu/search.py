"""G5, G6, G7: one first-order search step: DARTS-style as usually written, nastk eager, nastk captured in a CUDA graph.

Two checks come first: with the same weights the exact supernet has the loss of the DARTS-style one (float64), and captured
steps have the losses of eager ones. Drawn paths are not captured: which candidates are computed differs from step to step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import baseline
import search_step
import torch
from gpu.section import Row, Setup, Step, over, reason, require, timed
from torch.nn import functional

from nastk.core.run.capture import WARM_UPS
from nastk.core.run.run import Run
from nastk.core.settings import RunConfig
from nastk.strategies.bilevel_epoch import Epoch

CAPTURED = ("exact", "merged", "partial + merged")
NEAR = {"float32": 5e-3, "bfloat16": 5e-2}
"""How far the losses of captured steps may be from eager ones, as a share: kernels may add in another order."""


def settings_of(setup: Setup, batch: int) -> dict[str, Any]:
    """As ``search_step.py`` has them."""
    size = setup.pick(search_step.SIZE, {"channels": 4, "cells": 2, "nodes": 2, "pixels": 8})
    return {"net": "spiking", **search_step.NETS["spiking"], **size, "batch": batch, "strategy": {}}


def config_of(setup: Setup, settings: dict[str, Any], precision: str, capture: bool) -> RunConfig:
    """The configuration of a search."""
    return attrs.evolve(search_step.run_of(settings), device=setup.device, precision=precision, capture=capture)


def batches(setup: Setup, settings: dict[str, Any]) -> tuple[Any, Any]:
    """A training and a held-out batch on the device, images ``(B, 3, H, W)``."""
    train, held = (tuple(x.to(setup.device) for x in batch) for batch in search_step.batches(settings))
    return train, held


def epoch_of(setup: Setup, batch: int, variant: str, precision: str, capture: bool) -> tuple[Epoch, Step]:
    """An epoch of nastk's own strategy, and its step on the same two batches every time."""
    settings = settings_of(setup, batch) | {"strategy": search_step.VARIANTS[variant]}
    run = Run(config_of(setup, settings, precision, capture))
    epoch = Epoch(run.strategy.config, run.context, run.strategy.begin(run.context))
    epoch.supernet.train()
    (x, y), (held_x, held_y) = batches(setup, settings)
    epoch._alpha_batches = itertools.repeat((held_x[None], held_y))
    return epoch, partial(epoch._update, (x[None], y))


def plain_step(setup: Setup, batch: int, precision: str) -> Step:
    """The step of ``baseline.py``."""
    settings = settings_of(setup, batch)
    net = plain_net(settings).to(setup.device)
    net.alpha = {name: a.detach().to(setup.device).requires_grad_() for name, a in net.alpha.items()}
    step = baseline.SearchStep(net)
    train, held = batches(setup, settings)

    def run() -> None:
        with torch.autocast(setup.device.split(":")[0], torch.bfloat16, enabled=precision == "bfloat16"):
            step(train, held)

    return run


def plain_net(settings: dict[str, Any]) -> baseline.Supernet:
    """The DARTS-style supernet of this size."""
    operations = search_step.operations(settings["net"])
    sizes = (settings[name] for name in ("time_steps", "channels", "cells", "nodes"))
    return baseline.Supernet(operations, *sizes)


def check_same_function(setup: Setup) -> None:
    """Raises :class:`FailedCheck` unless both supernets have the same loss with the same weights."""
    settings = settings_of(setup, 4)
    mine = Run(config_of(setup, settings, "float32", False)).context.supernet().double()
    net = plain_net(settings).double().to(setup.device)
    shape = (len(baseline.cell_edges(settings["nodes"])), len(net.operations))
    generator = torch.Generator().manual_seed(0)
    alpha = {name: torch.randn(shape, generator=generator, dtype=torch.float64).to(setup.device) for name in net.alpha}
    net.alpha = {name: torch.zeros_like(a) for name, a in alpha.items()}
    baseline.copy_weights(net, mine.state_dict(), alpha)
    (x, y), _ = batches(setup, settings)
    with torch.no_grad():
        theirs = functional.cross_entropy(net(x.double()), y)
        ours = functional.cross_entropy(mine(x.double()[None], {n: a.softmax(-1) for n, a in alpha.items()}).mean(0), y)
    gap = abs(float(theirs - ours))
    require(gap < 1e-8, f"the supernets' losses differ by {gap:.2g}")


def check_captured(setup: Setup, steps: Callable[[bool], tuple[Any, Step]], near: float) -> Step:
    """The captured step, once some of its losses are those of eager steps. Raises :class:`FailedCheck`."""
    _, eager = steps(False)
    expected = [float(eager()[0]) for _ in range(WARM_UPS + 3)]
    del eager
    captured, step = steps(True)
    require(not setup.cuda or captured.recorder is not None, "it is not recorded")
    found = [float(step()[0]) for _ in range(WARM_UPS + 3)]
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        require(abs(mine - theirs) <= near * abs(theirs), f"loss {number} is {mine:.6g} captured and {theirs:.6g} eager")
    return step


def measure(setup: Setup, batch: int, precision: str) -> Iterator[Row]:
    """The rows of one batch size and precision."""
    batch = setup.pick(batch, 4)
    case = f"search step, batch {batch}, {precision}"
    try:
        check_same_function(setup)
        refused = ""
    except Exception as error:
        refused = reason(error)
    plain = Row("", case, "DARTS-style", remark=refused)
    yield plain if refused else timed(setup, plain, lambda: plain_step(setup, batch, precision))
    for variant in search_step.VARIANTS if not setup.toy else ("exact", "merged", "sampled"):
        eager = Row("", case, f"nastk {variant}, eager", remark=refused)
        if not refused:
            timed(setup, eager, lambda variant=variant: epoch_of(setup, batch, variant, precision, False)[1])
        yield related(eager, plain, "")
        if variant not in CAPTURED:
            continue

        def steps(capture: bool, variant: str = variant) -> tuple[Any, Step]:
            epoch, step = epoch_of(setup, batch, variant, precision, capture)
            return epoch._halves, step

        captured = Row("", case, f"nastk {variant}, captured", remark=refused)
        if not refused:
            timed(setup, captured, lambda steps=steps: check_captured(setup, steps, NEAR[precision]))
        yield related(captured, plain, {64: "G6", 256: "G6b"}.get(batch, "") if variant == "exact" else "")
        if ratio := over(captured, eager):
            yield Row(
                "G5" if (variant, batch) == ("exact", 64) else "", case, f"{variant}, captured over eager", ratio, "x", ratio
            )


def related(row: Row, plain: Row, bar: str) -> Row:
    """The row with its ratio to the DARTS-style step."""
    row.ratio, row.bar = over(row, plain), bar
    return row
