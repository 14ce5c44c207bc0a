"""Encoders: what each coding makes of pixels, against its formula and two libraries, and in whole networks."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.errors import ConfigError, ShapeError
from nastk.core.model.counting import count_operations
from nastk.core.model.encoder import CODINGS, Coding, intensity
from nastk.core.model.network import Network
from nastk.core.run.metrics import read
from nastk.core.run.runfile import configure
from nastk.core.seeds import seeded
from nastk.core.types import Shape
from nastk.testing import build_space

torch.set_num_threads(1)
STILL = Shape(1, 3, 6, 5)
MODEL: dict[str, Any] = {"channels": 2, "cells": 2, "time_steps": 4, "neuron": {"name": "plif", "v_th": 0.1}}
SPIKING = ("poisson", "latency", "delta")


def samples(seed: int, T: int = 1, B: int = 3, sample: Shape = STILL) -> Tensor:
    return 2 * torch.randn(T, B, *sample[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coding(name: str, T: int, sample: Shape = STILL) -> Coding:
    return CODINGS[name](sample, T).eval()


def network(encoder: str, sample: Shape = STILL, norm: str = "bn", **model: Any) -> Network:
    space = build_space("toy", {**MODEL, "encoder": encoder, "batch_norm": norm, **model})
    with seeded(3, "network"):
        return Network(space.sample(random.Random(1)), sample, 4).double()


seeds = st.integers(0, 10**6)
steps = st.integers(1, 7)


@given(seeds, st.integers(1, 3), st.floats(-3, 3), st.floats(0.1, 9))
@settings(deadline=None, max_examples=30)
def test_intensity_is_from_0_to_1_whatever_the_normalisation(seed: int, T: int, shift: float, scale: float) -> None:
    x = samples(seed, T)
    found = intensity(x)
    assert torch.equal(found.amin((0, 3, 4)), torch.zeros(3, 3, dtype=torch.float64))
    assert torch.equal(found.amax((0, 3, 4)), torch.ones(3, 3, dtype=torch.float64))
    torch.testing.assert_close(intensity(scale * x + shift), found)
    assert not intensity(torch.full_like(x, shift)).any()


@given(seeds, steps)
@settings(deadline=None, max_examples=30)
def test_latency_spikes_once_and_bright_pixels_first(seed: int, T: int) -> None:
    x = samples(seed)
    z = coding("latency", T)(x)
    assert torch.equal(z.sum(0), torch.ones_like(x[0]))
    when, light = z.argmax(0), intensity(x)[0]
    torch.testing.assert_close(when.double(), ((T - 1) * (1 - light)).round())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("T", [1, 2, 5, 8])
def test_latency_is_spikingjellys(T: int) -> None:
    theirs = pytest.importorskip("spikingjelly.activation_based.encoding", exc_type=ImportError)
    x = samples(T)
    encoder = theirs.LatencyEncoder(T)
    wanted = torch.stack([encoder(intensity(x)[0]) for _ in range(T)])
    assert torch.equal(coding("latency", T)(x), wanted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("T", [1, 2, 6])
def test_delta_is_snntorchs(T: int) -> None:
    """Its two signs are our two channels."""
    theirs = pytest.importorskip("snntorch.spikegen", exc_type=ImportError)
    x = samples(T, T)
    on, off = coding("delta", T, STILL._replace(T=T))(x).chunk(2, dim=2)
    wanted = theirs.delta(intensity(x), threshold=0.1, off_spike=True)
    assert torch.equal((on - off).to(wanted.dtype), wanted)


@given(seeds, steps)
@settings(deadline=None, max_examples=20)
def test_delta_of_a_still_image_is_one_step(seed: int, T: int) -> None:
    z = coding("delta", T)(samples(seed))
    assert z.shape == (T, 3, 6, 6, 5)
    assert z[0].any()
    assert not z[1:].any()


@pytest.mark.parametrize("training", [True, False])
def test_poisson_spikes_with_the_intensity_as_its_rate(training: bool) -> None:
    T, x = 4000, samples(1, B=1)
    with seeded(0, "draws"):
        z = coding("poisson", T).train(training)(x)
    assert bool(((z == 0) | (z == 1)).all())
    rate = intensity(x)[0]
    deviation = (rate * (1 - rate) / T).sqrt()
    assert bool(((z.mean(0) - rate).abs() <= 5 * deviation).all())
    pairs = (z[1:] * z[:-1]).mean(0)  # neighbours in time are independent
    assert bool(((pairs - rate**2).abs() <= 5 * (rate**2 * (1 - rate**2) / T).sqrt() + 0.02).all())


def test_poisson_draws_in_training_as_the_seed_says_and_not_in_evaluation() -> None:
    one, x = coding("poisson", 4), samples(2)
    with seeded(0, "draws"):
        before = torch.get_rng_state()
        still = one.eval()(x)
        assert torch.equal(before, torch.get_rng_state())
        first, second = one.train()(x), one(x)
    with seeded(0, "draws"):
        again = one(x)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert torch.equal(still, one.eval()(x))


@given(seeds, st.sampled_from([*SPIKING, "direct"]))
@settings(deadline=None, max_examples=20)
def test_in_evaluation_a_sample_does_not_see_its_batch(seed: int, name: str) -> None:
    one, x = coding(name, 4), samples(seed)
    whole = one(x)
    for i in range(x.shape[1]):
        assert torch.equal(one(x[:, i : i + 1]), whole[:, i : i + 1])


# In networks


@pytest.mark.parametrize("name", ["direct", *SPIKING])
def test_networks_have_logits_for_each_step(name: str) -> None:
    net, x = network(name), samples(4)
    for training in (True, False):
        with seeded(0, "draws"):
            logits = net.train(training)(x)
        assert logits.shape == (4, 3, 4)
        assert bool(logits.isfinite().all())
    logits.sum().backward()
    assert net.encoder.stem[0].weight.grad is not None


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_direct_coding_of_an_image_is_that_of_its_repetition(seed: int) -> None:
    """Stem once and its current at each step, or the stem at each step: one answer, and one gradient."""
    net, x = network("direct"), samples(seed)
    for training in (False, True):
        net.train(training)
        torch.testing.assert_close(net(x), net(x.expand(4, -1, -1, -1, -1)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["direct", "poisson", "delta"])
def test_recordings_enter_frame_by_frame(name: str) -> None:
    sample = STILL._replace(T=4)
    net, x = network(name, sample).eval(), samples(5, T=4)
    other = x.clone()
    other[3] = samples(6)[0].clamp(float(x.min()), float(x.max()))
    kept = net.encoder.stem[0](net.encoder.coding(x)[:3].flatten(0, 1))
    if name == "direct":
        assert torch.equal(kept, net.encoder.stem[0](net.encoder.coding(other)[:3].flatten(0, 1)))
    assert net(x).shape == (4, 3, 4)
    assert not torch.equal(net(x), net(other))


def test_spikes_at_the_stem_need_no_multiplications() -> None:
    """The first layer of a spiking code is counted as additions."""
    y = torch.zeros(3, dtype=torch.int64)
    dense = 2 * 3 * 9 * 6 * 5
    macs = {name: count_operations(network(name), [(samples(7), y)]) for name in CODINGS}
    for name in SPIKING:
        assert macs["direct"].macs - macs[name].macs >= dense * 0.999, name
        assert macs[name].sops > 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="latency codes still images, these samples have 4 time steps"):
        network("latency", STILL._replace(T=4))
    with pytest.raises(ShapeError, match=r"T = 4, the samples have 3 time steps: make model\.time_steps and"):
        network("direct", STILL._replace(T=3))
    with pytest.raises(ConfigError, match=r"model\.encoder.*'phase'"):
        configure(model={"encoder": "phase"})


# In genotypes


def test_a_genotype_names_an_encoder_that_is_not_the_usual() -> None:
    usual = build_space("toy", MODEL)
    coded = build_space("toy", {**MODEL, "encoder": "poisson"})
    choices = [space.sample(random.Random(1)) for space in (usual, coded)]
    assert "encoder" not in dict(choices[0].parts)
    assert choices[1].part("encoder") == "poisson"
    assert choices[0] not in coded
    assert choices[1] not in usual
    assert [len(space.decisions) for space in (coded, usual)] == [len(usual.decisions) + 1, len(usual.decisions)]
    assert Genotype.from_json(choices[1].to_json()) == choices[1]


def test_an_encoder_can_be_searched() -> None:
    space = build_space("toy", {**MODEL, "encoder": {"choices": ["direct", "delta"]}})
    found = {space.sample(random.Random(i)).part("encoder", "direct") for i in range(20)}
    assert found == {"direct", "delta"}
    for i in range(5):
        member = space.sample(random.Random(i))
        assert space.decode(space.encode(member)) == member


SMALL: dict[str, Any] = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 40},
    "model": {"channels": 4, "cells": 1, "time_steps": 3, "encoder": "poisson", "neuron": {"name": "plif", "v_th": 0.1}},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"epochs": 1, "batch": 16, "lr": 0.01},
    "device": "cpu",
}


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "ma-darts", "epochs": 1, "warmup": 0, "batch": 16},
        {"name": "one-shot-evolution", "epochs": 1, "generations": 1, "population": 4, "batch": 16},
    ],
    ids=lambda s: s["name"],
)
def test_runs_of_poisson_spikes_repeat(strategy: dict[str, Any], tmp_path: Any) -> None:
    """What is drawn in training follows from the run's seed, whatever the global generator has seen."""
    found = []
    for number in (0, 1):
        torch.manual_seed(number)
        result = nastk.run(SMALL, strategy=strategy, out=tmp_path / str(number))
        steps = [line["figures"] for line in read(tmp_path / str(number) / "metrics.jsonl") if line["event"] == "step"]
        assert len(steps) >= 2
        found.append((result["genotype"], result["test"], result["nos"], steps))
    assert found[0] == found[1]


def test_training_elsewhere_keeps_the_encoder(tmp_path: Any) -> None:
    genotype = nastk.search(SMALL, strategy={"name": "random-search", "trials": 1, "epochs": 1}, out=tmp_path / "search")
    assert genotype.part("encoder") == "poisson"
    bare = {name: table for name, table in SMALL.items() if name not in ("model", "proxy")}
    kept = tmp_path / "kept"
    nastk.train(genotype, bare, out=kept)
    assert Genotype.from_json((kept / "genotype.json").read_text()).part("encoder") == "poisson"
    changed = tmp_path / "changed"
    nastk.train(genotype, bare, set=["model.encoder=direct"], out=changed)
    assert "encoder" not in dict(Genotype.from_json((changed / "genotype.json").read_text()).parts)
