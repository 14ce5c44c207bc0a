"""Forward and backward of a leaky integrate-and-fire neuron: nastk, compiled and not, against SpikingJelly and snnTorch.

The input is ``(T, 8, 64, 32, 32)``, float32. The floor is what any such neuron moves through memory: the input is read and the
spikes are written, then the input and the gradient are read and the input's gradient is written, by one copy and one sum,
into memory that is there already.
SpikingJelly's neuron is checked to be the same function, spikes and gradient; snnTorch has no counterpart of it and is there
for its time alone.
"""

from __future__ import annotations

from typing import Any

import harness
import report
import worker
from harness import Row, Side

SHAPE = (8, 64, 32, 32)
V_TH, TAU = 1.0, 2.0
SIDES = {
    "SpikingJelly, torch, multi-step": "spikingjelly",
    "snnTorch, step by step": "snntorch",
    "nastk, scan": "scan",
    "nastk, compiled": "compiled",
    "memory floor": "floor",
}


def ours() -> Any:
    from nastk.core.config import NeuronPart

    return NeuronPart.named("lif", v_th=V_TH, tau=TAU, surrogate={"name": "atan", "alpha": 2.0}).build()


def theirs() -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(TAU, True, V_TH, 0.0, surrogate.ATan(2.0), False, step_mode="m")


def load(settings: dict[str, Any]) -> None:
    """All imports of a side."""
    import torch

    torch.set_num_threads(settings["threads"])
    try:
        if settings["side"] == "spikingjelly":
            theirs()
        elif settings["side"] == "snntorch":
            import snntorch  # noqa: F401
    except ImportError as error:
        raise worker.Unavailable(str(error)) from error
    ours()


def prepare(settings: dict[str, Any]) -> worker.Step:
    """The step of any side: from a new output to the gradient of the input."""
    import torch
    from torch import Tensor

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(settings["time_steps"], *SHAPE, generator=generator).mul_(1.5).requires_grad_()
    g = torch.randn(x.shape, generator=generator)
    side = settings["side"]
    if side == "floor":
        data = x.detach()
        z, grad = torch.empty_like(data), torch.empty_like(data)
        return lambda: (z.copy_(data), torch.add(data, g, out=grad))
    if side == "snntorch":
        import snntorch

        leaky = snntorch.Leaky(1 - 1 / TAU, V_TH, snntorch.surrogate.atan(2.0), reset_mechanism="zero")

        def run() -> Tensor:
            v, spikes = leaky.init_leaky(), []
            for now in x:
                z, v = leaky(now, v)
                spikes.append(z)
            return torch.stack(spikes)

    elif side == "spikingjelly":
        from spikingjelly.activation_based import functional

        node = theirs()

        def run() -> Tensor:
            functional.reset_net(node)
            return node(x)

    else:
        neuron = ours()
        if side == "compiled" and neuron.fuse(x, None) is None:
            raise worker.Unavailable("there is no compiler")

        def run() -> Tensor:
            return (neuron.scan(x) if side == "scan" else neuron(x))[0]

    def step() -> tuple[Tensor, Tensor]:
        z = run()
        return z, torch.autograd.grad(z, x, g)[0]

    if side in ("spikingjelly", "compiled"):
        (z, grad), expected = step(), ours().scan(x)[0]
        expected_grad = torch.autograd.grad(expected, x, g)[0]
        if not torch.equal(z, expected) or not torch.allclose(grad, expected_grad, rtol=1e-5, atol=1e-5):
            raise worker.Unavailable("it is another function than the scan")
    return step


def notes(rows: list[Row]) -> list[str]:
    """How far above the floor the compiled neuron is."""
    found = {(row.case, row.threads, row.side): row for row in rows if row.valid}
    lines = []
    for (case, threads, side), row in found.items():
        floor = found.get((case, threads, "memory floor"))
        if side == "nastk, compiled" and floor is not None and row.wall and floor.wall:
            lines.append(f"{case}, threads {threads}: the compiled neuron takes {row.wall / floor.wall:.2f} times the floor.")
    return lines


def main() -> None:
    """Measure, print, write ``neuron.json``."""
    parser = report.arguments(__doc__)
    parser.set_defaults(rounds=9)
    parser.add_argument("--time-steps", type=int, nargs="+", default=[2, 4, 6], help="time steps (default 2 4 6)")
    parser.add_argument("--times", type=int, default=20, help="steps a sample (default 20)")
    options = parser.parse_args()
    rows = []
    for threads in options.threads:
        for T in options.time_steps:
            sides = [Side(name, "neuron.py", {"side": side, "time_steps": T}) for name, side in SIDES.items()]
            rows += harness.compare(f"LIF, T = {T}", sides, threads, report.effort_of(options, options.times))
    report.publish("neuron", "Neuron", rows, options, notes(rows))


if __name__ == "__main__":
    if worker.is_worker():
        worker.serve(load, prepare)
    else:
        main()
