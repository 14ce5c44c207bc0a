"""A training step of a derived genotype: plain modules and SpikingJelly's multi-step LIF (torch backend) against nastk.

Before anything is timed, both sides get the same weights and must give the same loss.
"""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import Any

import harness
import report
import worker
from harness import HERE, Side

GENOTYPE = HERE / "genotype.json"
NEAR = 1e-4
CLIP, SGD = 5.0, {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4}


def document(settings: dict[str, Any]) -> dict[str, Any]:
    """The genotype at the size and T that are asked for."""
    found: dict[str, Any] = json.loads(GENOTYPE.read_text(encoding="utf-8"))
    found["parts"] |= {"channels": settings["channels"], "time_steps": settings["time_steps"]}
    del found["digest"]  # it names the stored size
    return found


def batch_of(settings: dict[str, Any]) -> Any:
    """Images ``(1, B, 3, H, W)`` and labels ``(B,)``, the same on both sides."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, settings["batch"], 3, settings["pixels"], settings["pixels"], generator=generator)
    return x, torch.randint(10, (settings["batch"],), generator=generator)


def network_of(settings: dict[str, Any]) -> Any:
    """nastk's network of the genotype."""
    from nastk.core.cell.graph import Genotype
    from nastk.core.model.network import Network
    from nastk.core.types import Shape

    genotype = Genotype.from_json(json.dumps(document(settings)))
    return Network(genotype, Shape(1, 3, settings["pixels"], settings["pixels"]), 10)


def prepare_nastk(settings: dict[str, Any]) -> worker.Step:
    """A step of nastk's own trainer."""
    from nastk.core.run.run import Run
    from nastk.core.run.runfile import configure
    from nastk.core.run.training import Trainer
    from nastk.core.settings import TrainConfig
    from nastk.core.types import Split

    images = {"size": settings["pixels"], "channels": 3, "classes": 10, "train_images": 3 * settings["batch"] + 30}
    small = {"strategy": {"name": "darts", "batch": 2}, "train": {"batch": 2}, "device": "cpu"}
    run = Run(configure({"dataset": {"name": "synthetic", "test_images": 16, **images}, **small}))
    network = network_of(settings).train()
    config = TrainConfig(batch=settings["batch"], clip=CLIP, **SGD)
    trainer = Trainer(network, run.task, config, 0, run.emit, (Split.WEIGHTS,))
    return partial(trainer._update, batch_of(settings))


def prepare_plain(settings: dict[str, Any]) -> worker.Step:
    """The same step as it is usually written."""
    import torch
    from plain_network import PlainNetwork
    from torch import nn

    network = PlainNetwork(document(settings)).train()
    optimizer = torch.optim.SGD(network.parameters(), **SGD)
    x, y = batch_of(settings)

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x.repeat(settings["time_steps"], 1, 1, 1, 1)).mean(0), y)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()

    return step


def prepare_check(settings: dict[str, Any]) -> worker.Step:
    """Raises unless both sides have the same loss with the same weights."""
    import torch
    from plain_network import PlainNetwork
    from torch.nn import functional

    ours, plain = network_of(settings).double(), PlainNetwork(document(settings)).double()
    plain.load_state_dict(ours.state_dict())
    x, y = batch_of(settings)
    with torch.no_grad():
        losses = [
            functional.cross_entropy(net(x.double().repeat(times, 1, 1, 1, 1)).mean(0), y)
            for net, times in ((ours, 1), (plain, settings["time_steps"]))
        ]
    gap = abs(float(losses[0] - losses[1]))
    if not gap < NEAR:
        raise worker.Unavailable(f"the sides are not one function: the losses differ by {gap:.2g}")
    return lambda: None


def load(settings: dict[str, Any]) -> None:
    """All imports of a side, so that they do not count as its memory."""
    import torch

    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    if settings["side"] != "nastk":
        try:
            import plain_network  # noqa: F401
        except ImportError as error:
            raise worker.Unavailable(f"{error}: pip install 'spikingjelly>=2'") from error
    if settings["side"] != "plain":
        import nastk.core.run.run  # noqa: F401
        from nastk.core.run.runfile import configure

        configure({"dataset": "synthetic", "strategy": "darts"})


def prepare(settings: dict[str, Any]) -> worker.Step:
    """The step of any side."""
    return {"nastk": prepare_nastk, "plain": prepare_plain, "check": prepare_check}[settings["side"]](settings)


def main() -> None:
    """Measure, print, write ``retrain.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[16], help="batch sizes (default 16)")
    parser.add_argument("--time-steps", type=int, nargs="+", default=[2, 4], help="T (default 2 4)")
    parser.add_argument("--channels", type=int, default=16, help="initial channels (default 16)")
    options = parser.parse_args()
    rows = []
    for time_steps, batch, threads in itertools.product(options.time_steps, options.batch, options.threads):
        settings = {"batch": batch, "time_steps": time_steps, "channels": options.channels, "pixels": 32}
        sides = [
            Side(name, "retrain.py", {**settings, "side": kind})
            for name, kind in (("plain modules, SpikingJelly LIF", "plain"), ("nastk", "nastk"))
        ]
        checked = Side("check", "retrain.py", {**settings, "side": "check", "batch": 2})
        case = f"Retraining step, T = {time_steps}, batch {batch}"
        rows += harness.compare(case, sides, threads, report.effort_of(options), harness.fault(checked))
    report.publish("retrain", "Retraining step", rows, options)


if __name__ == "__main__":
    if worker.is_worker():
        worker.serve(load, prepare)
    else:
        main()
