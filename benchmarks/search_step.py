"""One bilevel step, both halves and both optimizers: a DARTS-style supernet as usually written against nastk.

Before anything is timed, both sides get the same weights and must give the same loss (float64, to 1e-10).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import harness
import report
import worker
from harness import Row, Side

VARIANTS: dict[str, dict[str, Any]] = {
    "exact": {},
    "merged": {"relaxation": {"merged": 4}},
    "partial": {"relaxation": {"partial": 4}},
    "partial + merged": {"relaxation": {"partial": 4, "merged": 4}},
    "sampled": {"relaxation": {"paths": 1}},
}
"""Name of a side -> settings of the strategy ``darts``; settings that it does not have are reported as not available."""

NETS: dict[str, dict[str, Any]] = {
    "spiking": {"space": "darts-like", "neuron": "lif", "time_steps": 2},
    "relu": {"space": "darts-cells", "neuron": "relu", "time_steps": 0},
}
SIZE = {"channels": 16, "cells": 8, "nodes": 4, "pixels": 32}
RATES = {"lr": 0.025, "alpha_lr": 3e-4, "warmup": 0}
NEAR = 1e-10
PROBE = 4
"""The batch at which the baseline is asked how much memory a sample takes: a larger one might be killed for it."""
ORDERS, HALVES, STEPS = "Second order", "Halves of a step", "Scaling in T"


def operations(net: str) -> tuple[str, ...]:
    """The candidates of a network."""
    import baseline

    return baseline.SPIKING if net == "spiking" else baseline.DARTS


def batches(settings: dict[str, Any]) -> tuple[Any, Any]:
    """A training and a held-out batch ``(B, 3, H, W)`` with labels, the same on every side."""
    import torch

    generator = torch.Generator().manual_seed(0)
    count, pixels = settings["batch"], settings["pixels"]
    one, two = (
        (torch.randn(count, 3, pixels, pixels, generator=generator), torch.randint(10, (count,), generator=generator))
        for _ in range(2)
    )
    return one, two


def prepare_baseline(settings: dict[str, Any]) -> worker.Step:
    """The step of :mod:`baseline`."""
    import baseline
    import torch

    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    net = baseline.Supernet(
        operations(settings["net"]), settings["time_steps"], settings["channels"], settings["cells"], settings["nodes"]
    )
    train, held = batches(settings)
    return partial(baseline.SearchStep(net), train, held)


def run_of(settings: dict[str, Any]) -> Any:
    """The configuration of a nastk search of this size. Raises :class:`worker.Unavailable` for settings it does not have."""
    import space

    from nastk.core.errors import NastkError
    from nastk.core.run.runfile import configure

    space.offer()
    cells: dict[str, Any] = {"name": settings["space"]}
    if settings["space"] == "darts-like":
        cells |= {"operations": list(operations(settings["net"])), "nodes": settings["nodes"]}
    images = {"size": settings["pixels"], "channels": 3, "classes": 10, "train_images": 3 * settings["batch"] + 30}
    document = {
        "space": cells,
        "strategy": {"name": "darts", "batch": settings["batch"], **RATES, **settings["strategy"]},
        "dataset": {"name": "synthetic", "test_images": 16, **images},
        "model": {
            "neuron": settings["neuron"],
            "time_steps": max(settings["time_steps"], 1),
            "channels": settings["channels"],
            "cells": settings["cells"],
            "attention": "none",
        },
        "proxy": {"channels": 0, "cells": 0},
        "train": {"batch": 2},
        "device": "cpu",
    }
    try:
        return configure(document)
    except NastkError as error:
        raise worker.Unavailable(str(error).split("): ", 1)[-1].split(". Known:")[0]) from error


def prepare_nastk(settings: dict[str, Any]) -> worker.Step:
    """A step of the strategy itself, on the real supernet; the batches are those of the baseline, without augmentation."""
    import torch

    from nastk.core.errors import NastkError
    from nastk.core.run.run import Run
    from nastk.strategies.bilevel_epoch import Epoch

    torch.set_num_threads(settings["threads"])
    try:
        run = Run(run_of(settings))
        epoch = Epoch(run.strategy.config, run.context, run.strategy.begin(run.context))
    except NastkError as error:
        raise worker.Unavailable(str(error)) from error
    epoch.supernet.train()
    (x, y), (held_x, held_y) = batches(settings)
    train, held = (x[None], y), (held_x[None], held_y)
    epoch._alpha_batches = itertools.repeat(held)
    halves = {
        "both": partial(epoch._update, train),
        "architecture": partial(epoch._update_alpha, train, held),
        "weights": partial(epoch._update_weights, train),
    }
    return halves[settings["half"]]


def prepare_check(settings: dict[str, Any]) -> worker.Step:
    """Raises unless both sides have the same loss with the same weights."""
    import baseline
    import torch
    from torch.nn import functional

    from nastk.core.run.run import Run

    torch.set_num_threads(settings["threads"])
    generator = torch.Generator().manual_seed(0)
    mine = Run(run_of(settings)).context.supernet().double()
    net = baseline.Supernet(
        operations(settings["net"]), settings["time_steps"], settings["channels"], settings["cells"], settings["nodes"]
    ).double()
    shape = (len(baseline.cell_edges(settings["nodes"])), len(net.operations))
    alpha = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name in net.alpha}
    net.alpha = {name: torch.zeros_like(a) for name, a in alpha.items()}
    baseline.copy_weights(net, mine.state_dict(), alpha)
    (x, y), _ = batches(settings)
    with torch.no_grad():
        plain = functional.cross_entropy(net(x.double()), y)
        ours = functional.cross_entropy(mine(x.double()[None], {n: a.softmax(-1) for n, a in alpha.items()}).mean(0), y)
    gap = abs(float(plain - ours))
    if not gap < NEAR:
        raise worker.Unavailable(f"the sides are not one function: the losses differ by {gap:.2g}")
    return lambda: None


def load(settings: dict[str, Any]) -> None:
    """All imports of a side, so that they do not count as its memory."""
    import baseline  # noqa: F401

    if settings["side"] != "baseline":
        import nastk.core.run.run  # noqa: F401

        run_of({**settings, "strategy": {}})


def prepare(settings: dict[str, Any]) -> worker.Step:
    """The step of any side."""
    return {"baseline": prepare_baseline, "nastk": prepare_nastk, "check": prepare_check}[settings["side"]](settings)


def side(name: str, kind: str, settings: dict[str, Any], strategy: dict[str, Any] | None = None, half: str = "both") -> Side:
    """A side of this script."""
    return Side(name, "search_step.py", {**settings, "side": kind, "strategy": strategy or {}, "half": half})


def cases(options: Any) -> Iterator[list[Row]]:
    """Every case, measured."""
    effort = report.effort_of(options)
    size = {**SIZE, "channels": options.channels, "cells": options.cells}
    for net in options.nets:
        settings = {"net": net, **NETS[net], **size}
        refused = harness.fault(side("check", "check", {**settings, "batch": 2}))
        what = "spiking, T = 2" if net == "spiking" else "ReLU, T = 1"
        peak_a_sample = 0.0 if refused else peak_of([side("DARTS-style", "baseline", {**settings, "batch": PROBE})]) / PROBE
        for batch, threads in itertools.product(sorted(options.batch), options.threads):
            given = {**settings, "batch": batch}
            sides = [side("DARTS-style", "baseline", given)]
            sides += [side(f"nastk {name}", "nastk", given, strategy) for name, strategy in VARIANTS.items()]
            case = f"Search step, {what}, batch {batch}"
            needed, free = 1.2 * peak_a_sample * batch, harness.free_mb()
            if needed > free:
                yield without_reference(case, sides, threads, effort, f"needs about {needed:.0f} MB, {free:.0f} MB are free")
                continue
            rows = harness.compare(case, sides, threads, effort, refused)
            peak_a_sample = max(peak_a_sample, sum(row.peak_mb or 0.0 for row in rows) / batch)
            yield rows
        if net == "spiking":
            given = {**settings, "batch": min(options.batch)}
            where, threads = f"{what}, batch {given['batch']}", options.threads[0]
            orders = [side(f"nastk exact, order {order}", "nastk", given, {"order": order}) for order in (1, 2)]
            yield harness.compare(f"{ORDERS}, {where}", orders, threads, effort, refused)
            halves = [side(f"nastk exact, {half} half", "nastk", given, half=half) for half in ("weights", "architecture")]
            yield harness.compare(f"{HALVES}, {where}", halves, threads, effort, refused)
            steps = [side(f"nastk exact, T = {T}", "nastk", {**given, "time_steps": T}) for T in (2, 6)]
            yield harness.compare(f"{STEPS}, spiking, batch {given['batch']}", steps, threads, effort, refused)


def peak_of(sides: list[Side]) -> float:
    """The MB that these sides take together for a step each; 0 where one cannot run."""
    try:
        return sum(harness.peak_mb(found) for found in sides)
    except harness.Failed:
        return 0.0


def without_reference(case: str, sides: list[Side], threads: int, effort: harness.Effort, why: str) -> list[Row]:
    """The case where the baseline does not fit into memory: the others alone, one after the other, without ratios."""
    rows = [Row(case, sides[0].name, threads, sides[0].settings, reference=True, reason=why)]
    for other in sides[1:]:
        (row,) = harness.compare(case, [other], threads, effort)
        row.reference = False
        rows.append(row)
    return rows


def in_words(rows: list[Row]) -> list[str]:
    """The ratios that are easier to read the other way round."""
    units = {
        ORDERS: "A second-order step costs {:.2f} first-order steps",
        HALVES: "The architecture half costs {:.2f} weight halves",
        STEPS: "A step at T = 6 costs {:.2f} steps at T = 2",
    }
    return [
        f"{units[row.case.split(', ')[0]].format(1 / row.cpu_ratio)} of CPU time ({row.case.split(', ', 1)[1]})."
        for row in rows
        if row.case.startswith(tuple(units)) and row.cpu_ratio
    ]


def main() -> None:
    """Measure, print, write ``search_step.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64], help="batch sizes (default 16 64)")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="spiking, relu (default both)")
    parser.add_argument("--channels", type=int, default=SIZE["channels"], help="initial channels (default 16)")
    parser.add_argument("--cells", type=int, default=SIZE["cells"], help="cells (default 8)")
    options = parser.parse_args()
    rows = [row for found in cases(options) for row in found]
    report.publish("search_step", "Search step", rows, options, notes=in_words(rows))


if __name__ == "__main__":
    if worker.is_worker():
        worker.serve(load, prepare)
    else:
        main()
