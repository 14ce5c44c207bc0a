"""Run an exported NIR graph in another library, by that library's own importer, and count the spikes that differ from nastk's.

    nastk export RUN_DIR --to nir
    pip install nirtorch spikingjelly snntorch norse        # those that you want to try
    python examples/nir/run_elsewhere.py RUN_DIR/network.nir spikingjelly snntorch norse

The samples are random: what is compared is arithmetic. nastk's side is ``import_nir``, which the test-suite compares with the
network itself.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import torch
from torch import Tensor, nn

from nastk.plugins.exporters.nir_file import import_nir

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")


def in_spikingjelly(graph: Any, dt: float) -> nn.Module:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=dt)


def in_snntorch(graph: Any, dt: float) -> nn.Module:
    from snntorch.import_nir import import_from_nir

    if dt != 1e-4:
        raise ValueError(f"snnTorch takes every time step for 1e-4 seconds, this file's are {dt}")
    return import_from_nir(graph)


def in_norse(graph: Any, dt: float) -> nn.Module:
    """Node by node: where paths differ in length, Norse 1.1 runs a node before all of its inputs are there."""
    from norse.torch import from_nir

    return NodeByNode(graph, lambda node: from_nir(nir.NIRGraph.from_list(node), dt=dt))


class NodeByNode(nn.Module):
    """Each node imported as a graph of its own; what they give is added here, as NIR has it."""

    def __init__(self, graph: Any, imported: Callable[[Any], nn.Module]) -> None:
        super().__init__()
        self.feeds = {name: [source for source, behind in graph.edges if behind == name] for name in sorted(graph.nodes)}
        inner = {name: node for name, node in graph.nodes.items() if not isinstance(node, (nir.Input, nir.Output))}
        self.nodes = nn.ModuleDict({name: imported(node) for name, node in inner.items()})

    def forward(self, frame: Tensor, state: dict[str, Any] | None) -> tuple[Tensor, dict[str, Any]]:
        """One time step. nastk numbers its nodes in an order in which they can be run."""
        found: dict[str, Tensor] = {}
        after: dict[str, Any] = {}
        for name, sources in self.feeds.items():
            x = sum((found[source] for source in sources[1:]), found[sources[0]]) if sources else frame
            if name in self.nodes:
                x, after[name] = self.nodes[name](x, (state or {}).get(name))
            found[name] = x
        return x, after


LIBRARIES: dict[str, Callable[[Any, float], nn.Module]] = {
    "spikingjelly": in_spikingjelly,
    "snntorch": in_snntorch,
    "norse": in_norse,
}


def run(network: nn.Module, frames: Tensor, names: list[str]) -> dict[str, Tensor]:
    """What the named nodes give, ``(T, B, ...)``: one call a time step, the state handed on."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names}
    modules = dict(network.named_modules())
    for name in names:
        module = modules[name] if name in modules else modules[f"nodes.{name}"]
        module.register_forward_hook(lambda _m, _x, out, name=name: seen[name].append(out[0] if isinstance(out, tuple) else out))
    state = None
    with torch.no_grad():
        for frame in frames:
            _, state = network(frame, state)
    return {name: torch.stack(values) for name, values in seen.items()}


def main() -> None:
    """Compare, one line a library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("library", nargs="+", choices=LIBRARIES)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    graph, here = nir.read(chosen.file), import_nir(chosen.file)
    (logits,) = here.feeds[here.last]
    names = [name for name, node in graph.nodes.items() if type(node).__name__ in SPIKING]
    x = torch.randn(here.time_steps, chosen.samples, *here.shape, generator=torch.Generator().manual_seed(chosen.seed))
    with torch.no_grad():
        wanted = here.values(x)
    for library in chosen.library:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # they print about each node
                network = LIBRARIES[library](nir.read(chosen.file), float(graph.metadata["dt"]))
                found = run(network, x, [*names, logits])
        except Exception as error:  # whatever another library does not read
            print(f"{library}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
            continue
        fired = sum(int(wanted[name].sum()) for name in names)
        differ = sum(int((found[name] != wanted[name]).sum()) for name in names)
        apart = float((found[logits] - wanted[logits]).abs().max())
        print(f"{library}: {fired} spikes in {len(names)} layers, {differ} differ; logits at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
