"""The leaky integrate-and-fire neuron of Norse as a side of ``peers.py``; runs in an environment of its own, without nastk.

Norse's "box" neuron has no synaptic current: with ``dt / tau_mem = 1/2`` it is the neuron of ``neuron.py``, and its spikes are
checked to be. Its surrogate gradient (SuperSpike) is another one: that is there for its time.
"""

from __future__ import annotations

from typing import Any

import worker

SHAPE = (8, 64, 32, 32)
DT = 1e-3


def load(settings: dict[str, Any]) -> None:
    """All imports, so that they do not count as memory."""
    try:
        import norse.torch
        import torch
    except Exception as error:
        raise worker.Unavailable(f"Norse cannot be imported: {type(error).__name__}: {error}") from error
    torch.set_num_threads(settings["threads"])
    del norse


def prepare(settings: dict[str, Any]) -> worker.Step:
    """From a new output to the gradient of the input, time step by time step."""
    import torch
    from norse.torch import LIFBoxCell, LIFBoxParameters
    from torch import Tensor

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(settings["time_steps"], *SHAPE, generator=generator).mul_(1.5).requires_grad_()
    g = torch.randn(x.shape, generator=generator)
    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(0.5 / DT), v_th=torch.tensor(1.0)), dt=DT)

    def run() -> Tensor:
        state, spikes = None, []
        for now in x:
            z, state = cell(now, state)
            spikes.append(z)
        return torch.stack(spikes)

    def step() -> tuple[Tensor, Tensor]:
        z = run()
        return z, torch.autograd.grad(z, x, g)[0]

    with torch.no_grad():
        found, v = run(), torch.zeros(SHAPE)
        for now, spikes in zip(x, found, strict=True):
            h = v + (now - v) / 2
            close = (h - 1).abs() < 1e-5  # dt times 1 / tau is not one half to the bit
            if not bool((((h > 1) == (spikes > 0)) | close).all()):
                raise worker.Unavailable("it is another function than the neuron of neuron.py")
            v = torch.where(spikes > 0, torch.zeros_like(h), h)
    return step


if __name__ == "__main__":
    worker.serve(load, prepare)
