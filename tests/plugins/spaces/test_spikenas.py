"""The space ``spikenas``: its members, their thresholds, and that a cell computes what the authors' program does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nastk.core.cell.graph import Genotype
from nastk.core.config import EstimatorPart
from nastk.core.errors import ConfigError
from nastk.core.model.cellnet import CellModule
from nastk.core.model.network import Network
from nastk.core.run.runfile import configure
from nastk.core.types import Shape
from nastk.plugins.operations.thresholds import ThresholdConv
from nastk.plugins.spaces.spikenas import EDGES, OPERATIONS, SpikeNas, cell_of, number_of
from nastk.testing import genotypes

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)


def space(**model: Any) -> SpikeNas:
    config = configure(space="spikenas", model={"channels": 4, "attention": "none", **model})
    found: SpikeNas = config.space.build(config.model)
    return found


SPACE = space()


def network(genotype: Genotype) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network(genotype, SAMPLE, 4)


def test_it_has_the_members_and_the_neuron_of_the_paper() -> None:
    assert SPACE.size == 15_625
    parts = dict(SPACE.full().parts)
    assert {(e.src, e.dst) for e in SPACE.full().cell("shared").edges} == set(EDGES)
    assert (parts["neuron"], parts["neuron.v_th"], parts["neuron.detach_reset"], parts["time_steps"]) == ("lif", 1.0, 1, 5)
    assert parts["neuron.tau"] == pytest.approx(4 / 3)
    assert dict(space(time_steps=2, neuron="plif").full().parts)["neuron"] == "plif"


@settings(deadline=None, max_examples=30)
@given(genotypes(SPACE))
def test_the_number_is_the_digits_of_the_operations(genotype: Genotype) -> None:
    cell = genotype.cell("shared")
    ops = {(edge.src, edge.dst): OPERATIONS.index(edge.op) for edge in cell.edges}
    assert number_of(genotype) == sum(ops[edge] * 5**place for place, edge in enumerate(EDGES))
    assert cell_of(number_of(genotype)) == cell


def spikes(x_TBCHW: Tensor, v_th: float, tau: float = 4 / 3) -> Tensor:
    """LIF with a hard reset to zero, as SpikingJelly has it."""
    v, out = torch.zeros_like(x_TBCHW[0]), []
    for x in x_TBCHW:
        v = v + (x - v) / tau
        z = (v >= v_th).to(x.dtype)
        v = v * (1 - z)
        out.append(z)
    return torch.stack(out)


def reference(module: CellModule, x_TBCHW: Tensor) -> Tensor:
    """The cell of the authors' program: every node is a sum; a convolution is LIF, convolution and norm."""
    values = [x_TBCHW]
    for node in (1, 2, 3):
        total = torch.zeros_like(x_TBCHW)
        for edge in module.cell.into(node):
            x = values[edge.src]
            if edge.op == "skip_connect":
                total = total + x
            elif edge.op != "none":
                convolution, norm = module.edges[f"{edge.src}_{edge.dst}"].ops[edge.op].block  # type: ignore[index]
                z = spikes(x, {"05": 0.5, "10": 1.0, "15": 1.5}[edge.op[3:5]])
                total = total + norm(convolution(z.flatten(0, 1))).unflatten(0, x.shape[:2])
        values.append(total)
    return values[3]


@settings(deadline=None, max_examples=25)
@given(genotypes(SPACE), st.integers(0, 1000))
def test_a_cell_computes_what_the_authors_program_does(genotype: Genotype, seed: int) -> None:
    module = next(m for m in network(genotype).double().eval().modules() if isinstance(m, CellModule))
    x = 2 * torch.randn(5, 2, 4, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        assert (module.run([x]) - reference(module, x)).abs().max() <= 1e-10


def test_an_operation_sets_the_threshold_and_keeps_all_else() -> None:
    found = space(neuron={"name": "plif", "tau": 3.0})
    choice = [2, 3, 4, 2, 3, 4, *[0] * (len(found.decisions) - 6)]
    genotype = found.decode(choice)
    neurons = [m.neuron for m in network(genotype).modules() if isinstance(m, ThresholdConv)]
    assert {type(neuron).__name__ for neuron in neurons} == {"PLIF"}
    assert sorted({neuron.firing.v_th for neuron in neurons}) == [0.5, 1.0, 1.5]
    with pytest.raises(ConfigError, match="v_th"):
        network(space(neuron="relu").decode(choice))


def test_an_edge_has_the_parameters_of_the_table() -> None:
    """At 128 channels, a cell at that width and one at 256: 738,048 a convolution."""
    estimate = EstimatorPart.named("parameters").build().estimate

    def parameters(*codes: int) -> float:
        genotype = SPACE.decode([*codes, *[0] * (len(SPACE.decisions) - 6)])
        return float(estimate(genotype.with_parts(channels=128, layers="01"), Shape(1, 3, 32, 32), 10).value)

    none = parameters(0, 0, 0, 0, 0, 0)
    assert [parameters(*[2] * n, *[0] * (6 - n)) - none for n in (1, 2, 6)] == [738_048 * n for n in (1, 2, 6)]


def test_a_member_trains() -> None:
    found = space(cells=2, channels=8)
    net = network(found.decode([2, 1, 3, 4, 2, 3, *[0] * (len(found.decisions) - 6)])).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = 2 * torch.randn(1, 8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x).mean(0), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
