"""The space ``macro``: a chain of layers, what a layer computes, and how far it is from the authors' network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import plan
from nastk.core.config import AttentionPart, EstimatorPart, NeuronPart, OperationPart
from nastk.core.errors import ConfigError, NotInSpace, SchemaError
from nastk.core.model.network import Network
from nastk.core.model.operation import Site
from nastk.core.run.runfile import configure
from nastk.core.types import Shape
from nastk.plugins.spaces.macro import PATH, Macro, arch_string, cells_of, number_of
from nastk.testing import genotypes

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 32, 32)


def space(**model: Any) -> Macro:
    config = configure(space="macro", model={"channels": 2, "attention": "none", **model})
    found: Macro = config.space.build(config.model)
    return found


SPACE = space()


def genotype_of(text: str, found: Macro = SPACE) -> Genotype:
    return Genotype("macro", cells_of(text), found.full().parts)


def test_it_has_the_members_of_the_paper() -> None:
    assert SPACE.size == 3**8 == 6561
    assert dict(SPACE.full().parts)["layers"] == PATH
    layers = plan(genotype_of("00000000", space(channels=32)), SAMPLE)
    assert [layer.shape.C for layer in layers] == [64, 64, 128, 128, 128, 256, 256, 256]
    assert [layer.index for layer in layers if layer.reduction] == [0, 2, 5]


@settings(deadline=None, max_examples=30)
@given(genotypes(SPACE))
def test_a_member_has_a_spelling_and_a_number_that_are_its_own(genotype: Genotype) -> None:
    text = arch_string(genotype)
    assert genotype_of(text) == genotype
    assert number_of(genotype) == int(text, 3)
    assert list(map(int, text)) == list(SPACE.encode(genotype)[:8])


@pytest.mark.parametrize("text", ["", "0120120", "012012012", "01201203", "0120120a"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="expected 8 digits, each 0, 1 or 2"):
        cells_of(text)


def test_other_genotypes_and_lengths_are_refused() -> None:
    toy = configure(space="toy")
    with pytest.raises(NotInSpace, match="of the space 'toy' with the cells shared"):
        number_of(toy.space.build(toy.model).full())
    with pytest.raises(ConfigError, match=r"model\.cells: must be 8, got \[5\]"):
        space(cells=5)


def site(channels: int, stride: int = 1) -> Site:
    return Site(Shape(1, channels, 8, 8), stride, True, NeuronPart.named("relu"), AttentionPart.named("none"))


def inverted(channels: int, times: int, kernel: int, stride: int) -> nn.Sequential:
    """The block of MobileNetV2 with ReLU, as it is usually written."""
    wide = channels * times
    return nn.Sequential(
        nn.Conv2d(channels, wide, 1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


@settings(deadline=None, max_examples=12)
@given(st.sampled_from([("mbconv_3_3x3", 3, 3), ("mbconv_6_5x5", 6, 5)]), st.sampled_from([1, 2]), st.booleans())
def test_an_inverted_bottleneck_is_that_of_mobilenet_v2(named: tuple[str, int, int], stride: int, training: bool) -> None:
    name, times, kernel = named
    ours, theirs = OperationPart.named(name).build(site(4, stride)).double(), inverted(4, times, kernel, stride).double()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(1, 3, 4, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = theirs.train(training)(x[0]) + (x[0] if stride == 1 else 0)
    assert (ours.train(training)(x)[0] - wanted).abs().max() < 1e-12


def parameters(text: str) -> float:
    genotype = genotype_of(text, space(channels=32))
    return float(EstimatorPart.named("parameters").build().estimate(genotype, SAMPLE, 10).value)


@pytest.mark.parametrize(("layer", "channels"), [(1, 64), (3, 128), (4, 128), (6, 256), (7, 256)])
def test_a_layer_that_keeps_its_width_has_the_parameters_of_the_table(layer: int, channels: int) -> None:
    """The difference to the identity, which has none."""
    for digit, times, kernel in (("1", 3, 3), ("2", 6, 5)):
        wide = times * channels
        text = "0" * layer + digit + "0" * (7 - layer)
        assert parameters(text) - parameters("0" * 8) == 2 * channels * wide + kernel**2 * wide + 4 * wide + 2 * channels


def test_how_far_it_is_from_the_authors_network() -> None:
    """The smallest and the best of the table have 387,882 and 1,985,514 parameters; the documentation states ours."""
    assert {text: parameters(text) for text in ("00000000", "22212202")} == {"00000000": 303_914, "22212202": 2_542_634}


def test_a_member_trains() -> None:
    found = space(channels=4)
    net = Network(genotype_of("12012012", found), Shape(1, 3, 16, 16), 4).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    x, y = torch.randn(1, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x).mean(0), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
