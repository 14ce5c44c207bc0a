"""The formulas of the scores, against small implementations of their own on hand-made networks and real ones."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.config import EstimatorPart, NeuronPart
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron
from nastk.core.seeds import generator, seeded
from nastk.core.types import Shape
from nastk.plugins.estimators.codes import codes, correlations, hamming, log_determinant, watched
from nastk.plugins.estimators.jacobian import eigenvalue_score, jacobians
from nastk.plugins.estimators.probing import OnBatch, Question
from nastk.testing import build_space, genotypes

SAMPLE, CLASSES, BATCH = Shape(1, 3, 8, 8), 5, 6
QUESTION = Question(SAMPLE, CLASSES, 0)
ASIDE = Question(Shape(1, 4, 1, 1), 3, 0)
"""Of hand-made networks: four numbers in, three logits out."""
LIF = build_space("nas-bench-201", {"channels": 4, "cells": 2, "neuron": "lif", "time_steps": 3})
RELU = build_space("nas-bench-201", {"channels": 4, "cells": 2, "neuron": "relu", "time_steps": 1})
MEMBER = [4, 3, 2, 3, 1, 2]


class Layers(nn.Module):
    """A hand-made network: modules on features ``(T, B, n)``, neurons over time."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        z = x_TBCHW.flatten(2)
        for layer in self.layers:
            z = layer(z)
            z = z[0] if isinstance(z, tuple) else z
        return z


def member(space: Any, *codes_: int) -> Any:
    """By the codes of its six edges; what else is decided takes its first option."""
    return space.decode([*codes_, *[0] * (len(space.decisions) - 6)])


def linear(inputs: int, outputs: int, seed: int = 0, bias: bool = False) -> nn.Linear:
    with seeded(seed, "linear"):
        return nn.Linear(inputs, outputs, bias)


def neuron(name: str = "relu") -> Any:
    return NeuronPart.named(name).build()


def network(space: Any = LIF) -> Network:
    with seeded(0, "test"):
        return Network(member(space, *MEMBER), SAMPLE, CLASSES)


def estimator(name: str, **given_: Any) -> Any:
    return EstimatorPart.named(name, **given_).build()


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every score on a batch sees the given images and labels."""

    def given_(x: Tensor, y: Tensor | None = None) -> None:
        labels = torch.zeros(x.shape[1], dtype=torch.int64) if y is None else y
        monkeypatch.setattr(OnBatch, "images", lambda _self, _question: (x, labels))

    return given_


def images(batch: int, seed: int, shape: Shape = ASIDE.sample) -> Tensor:
    T, *rest = shape
    return torch.randn(T, batch, *rest, generator=generator(seed, "images"))


# Saliency


def test_synflow_is_the_sum_over_paths() -> None:
    """Each path's product of absolute weights, once for every weight on it; norms and neurons have no say."""
    first, second, third = linear(4, 5, 1), linear(5, 6, 2), linear(6, 3, 3, bias=True)
    weights = [layer.weight.detach().abs().double().numpy() for layer in (first, second, third)]
    paths = itertools.product(range(4), range(5), range(6), range(3))
    expected = 3 * math.fsum(weights[0][j, i] * weights[1][k, j] * weights[2][o, k] for i, j, k, o in paths)
    for between in (neuron("relu"), neuron("lif"), nn.LayerNorm(5)):
        hand = Layers(linear(4, 5, 1), between, linear(5, 6, 2), linear(6, 3, 3, bias=True))
        assert estimator("synflow").score(hand, ASIDE) == pytest.approx(expected, rel=1e-12)


def test_synflow_is_the_same_for_every_neuron_attention_and_number_of_steps() -> None:
    """The linearised network of a genotype is one; so are its paths."""
    plain, found = network(), []
    for neuron_, T, attention in (("lif", 3, "none"), ("relu", 1, "none"), ("plif", 2, "none"), ("lif", 2, "cbam")):
        model = {"channels": 4, "cells": 2, "neuron": neuron_, "time_steps": T, "attention": attention}
        other = network(build_space("nas-bench-201", model))
        other.load_state_dict({k: v for k, v in plain.state_dict().items() if k in other.state_dict()}, strict=False)
        found.append(estimator("synflow").score(other, QUESTION))
    assert found == [pytest.approx(found[0], rel=1e-12)] * 4
    assert found[0] > 0


def test_snip_and_grad_norm_of_a_softmax_by_hand(give: Any) -> None:
    """dL/dW of softmax regression is (p - y)^T x / B."""
    x, y = images(8, 1), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    give(x, y)
    layer = linear(4, 3)
    flat, w = x[0].flatten(1).double(), layer.weight.detach().double()
    gradient = (torch.softmax(flat @ w.T, 1) - F.one_hot(y, 3)).T @ flat / len(y)
    assert estimator("snip").score(Layers(layer), ASIDE) == pytest.approx(float((w * gradient).abs().sum()), rel=1e-5)
    assert estimator("grad-norm").score(Layers(layer), ASIDE) == pytest.approx(float(gradient.square().sum().sqrt()), rel=1e-5)


def test_snip_is_the_gradient_of_masks_on_the_weights(give: Any) -> None:
    """As Lee et al. define it: the derivative of the loss by a mask of ones on each weight; over several layers."""
    x, y = images(BATCH, 2, SAMPLE), torch.arange(BATCH) % CLASSES
    give(x, y)
    net = network(RELU)
    names = [n for n, p in net.named_parameters() if n.endswith("weight") and p.ndim > 1]
    masks = {n: torch.ones_like(net.get_parameter(n), requires_grad=True) for n in names}
    masked = {n: net.get_parameter(n).detach() * mask for n, mask in masks.items()}
    loss = F.cross_entropy(torch.func.functional_call(net, masked, (x,)).mean(0), y)
    loss.backward()
    expected = sum(float(mask.grad.abs().sum()) for mask in masks.values() if mask.grad is not None)
    assert estimator("snip").score(network(RELU), QUESTION) == pytest.approx(expected, rel=1e-4)
    F.cross_entropy(net(x).mean(0), y).backward()
    norms = [net.get_parameter(n).grad for n in names]
    expected = sum(float(grad.norm()) for grad in norms if grad is not None)
    assert estimator("grad-norm").score(network(RELU), QUESTION) == pytest.approx(expected, rel=1e-4)


# Codes


def test_naswot_counts_the_neurons_that_agree(give: Any) -> None:
    """K by comparing codes bit by bit, over layers and time steps; log|det K| by numpy."""
    net, x = network(), images(BATCH, 3, SAMPLE)
    give(x)
    spikes: list[np.ndarray] = []
    for module in net.modules():
        if isinstance(module, Neuron):
            module.register_forward_hook(lambda _m, _a, out: spikes.append(out[0].detach().numpy() > 0))
    net(x)
    K = np.zeros((BATCH, BATCH))
    for z_TBCHW in spikes:
        for i, j in itertools.product(range(BATCH), repeat=2):
            K[i, j] += sum(bool(a == b) for a, b in zip(z_TBCHW[:, i].flat, z_TBCHW[:, j].flat, strict=True))
    sign, expected = np.linalg.slogdet(K)
    assert sign > 0
    assert estimator("naswot", batch=BATCH).score(network(), QUESTION) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.1, 0.9), st.integers(1, 3))
def test_sahd_by_the_formula_on_random_bits(seed: int, rate: float, steps: int) -> None:
    bits = torch.rand(2, steps, BATCH, 40, generator=generator(seed)) < rate
    K = np.zeros((BATCH, BATCH))
    for layer, t, i, j in itertools.product(range(2), range(steps), range(BATCH), range(BATCH)):
        a, b = bits[layer, t, i].tolist(), bits[layer, t, j].tolist()
        r, s = sum(a) / 40, sum(b) / 40
        K[i, j] += 40 - 0.5 * sum(p != q for p, q in zip(a, b, strict=True)) / (r * (1 - s) + (1 - r) * s + 1e-3)
    sign, expected = np.linalg.slogdet(K / (2 * steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nastk.plugins.estimators.activation_patterns.codes", lambda _net, _x: [z.double() for z in bits])
        found = estimator("sahd", batch=BATCH).score(nn.Identity(), QUESTION)
    assert sign != 0
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_rdm_of_doubled_images_is_zero_and_neurons_have_no_order(give: Any) -> None:
    x, rdm = images(5, 4), estimator("rdm", batch=5)
    give(x[:, :1].expand(-1, 5, -1, -1, -1))
    assert rdm.score(Layers(linear(4, 30), neuron(), linear(30, 3)), ASIDE) == pytest.approx(0, abs=1e-12)
    give(x)
    layer, order = linear(4, 30), torch.randperm(30, generator=generator(5))
    shuffled = linear(4, 30)
    shuffled.weight.data = layer.weight.data[order]
    first, second = (rdm.score(Layers(one, neuron(), linear(30, 3)), ASIDE) for one in (layer, shuffled))
    assert first == pytest.approx(second, rel=1e-12)
    code = (x[0].flatten(1) @ layer.weight.T > 0).double().detach().numpy()
    pairs = [1 - np.corrcoef(code)[i, j] for i, j in itertools.combinations(range(5), 2)]
    assert first == pytest.approx(np.mean(pairs), rel=1e-9)


def test_rdm_is_the_mean_over_layers(give: Any) -> None:
    x, rdm = images(5, 4), estimator("rdm", batch=5)
    give(x)
    layers_ = [Layers(linear(4, 20), neuron(), linear(20, 3)), Layers(linear(4, 20, 1), neuron(), linear(20, 3))]

    class Both(nn.Module):
        def forward(self, x_TBCHW: Tensor) -> Tensor:
            return sum(layer(x_TBCHW) for layer in layers_)

    both = Both()
    both.inner = nn.ModuleList(layers_)
    assert rdm.score(both, ASIDE) == pytest.approx(np.mean([rdm.score(one, ASIDE) for one in layers_]), rel=1e-12)


def test_neurons_that_reach_no_logit_have_no_code() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.used, self.unused, self.last = linear(4, 5), neuron("lif"), neuron(), linear(5, 3)

        def forward(self, x_TBCHW: Tensor) -> Tensor:
            current = self.first(x_TBCHW.flatten(2))
            self.unused(current)
            return self.last(self.used(current)[0])

    net = Aside()
    assert [call.module for call in watched(net, Neuron, images(3, 6))] == [net.used]
    assert not net.used._forward_hooks


def test_a_code_has_every_time_step() -> None:
    net = network()
    for code_TBn in codes(net, images(BATCH, 3, SAMPLE)):
        assert code_TBn.shape[:2] == (3, BATCH)
        assert set(code_TBn.unique().tolist()) <= {0.0, 1.0}


rows = st.integers(2, 6).flatmap(lambda b: st.lists(st.lists(st.integers(-2, 2), min_size=7, max_size=7), min_size=b, max_size=b))


@settings(deadline=None, max_examples=50)
@given(rows)
def test_correlations_are_numpys_and_rows_without_variance_are_equal(given_: list[list[int]]) -> None:
    found = correlations(torch.tensor(given_)).numpy()
    flat = [len(set(row)) == 1 for row in given_]
    with np.errstate(all="ignore"):
        expected = np.corrcoef(np.array(given_, dtype=float))
    for i, j in itertools.product(range(len(given_)), repeat=2):
        if flat[i] or flat[j]:
            assert found[i, j] == (1 if flat[i] and flat[j] else 0)
        else:
            assert found[i, j] == pytest.approx(expected[i, j], abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=2, max_size=5))
def test_hamming_counts_the_bits_that_differ(bits: list[list[bool]]) -> None:
    found = hamming(torch.tensor(bits).double())
    for i, j in itertools.product(range(len(bits)), repeat=2):
        assert found[i, j] == sum(a != b for a, b in zip(bits[i], bits[j], strict=True))


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 8), st.integers(0, 2**31))
def test_log_determinant_is_numpys_and_finite_where_that_is_not(size: int, seed: int) -> None:
    a = torch.randn(size, size + 3, generator=generator(seed), dtype=torch.float64)
    K = a @ a.T + 0.1 * torch.eye(size)
    assert log_determinant(K) == pytest.approx(np.linalg.slogdet(K.numpy())[1], rel=1e-9, abs=1e-9)
    K[1] = K[0]
    K[:, 1] = K[:, 0]
    assert -45 * size < log_determinant(K) < log_determinant(K + torch.eye(size))
    assert math.isfinite(log_determinant(torch.zeros(size, size)))


# Jacobian


def test_jacobians_are_those_of_each_image_alone(give: Any) -> None:
    x = images(4, 7)
    net = Layers(linear(4, 6, 1), neuron(), linear(6, 3, 2))
    for b in range(4):
        alone = torch.autograd.functional.jacobian(lambda one: net(one).sum(), x[:, b : b + 1])
        assert torch.allclose(jacobians(net, x)[b], alone.flatten(), atol=1e-6)
    give(x)
    found = estimator("jacobian-covariance", batch=4).score(net, ASIDE)
    assert found == pytest.approx(eigenvalue_score(jacobians(net, x)))


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 8), st.integers(0, 2**31))
def test_eigenvalue_score_is_the_published_formula(batch: int, seed: int) -> None:
    J = torch.randn(batch, 50, generator=generator(seed), dtype=torch.float64)
    v = np.linalg.eigvals(np.corrcoef(J.numpy())).real
    assert eigenvalue_score(J) == pytest.approx(-np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5)), rel=1e-6)
    assert eigenvalue_score(J) > eigenvalue_score(J[:1].expand(batch, -1)), "equal responses are worse"


def test_a_network_without_its_image_has_a_score_too() -> None:
    dead = member(LIF, *[0] * 6)
    for name in ("synflow", "snip", "grad-norm", "jacobian-covariance", "naswot", "sahd", "rdm", "zen"):
        worst = estimator(name).estimate(dead, SAMPLE, CLASSES).value
        alive = estimator(name).estimate(member(LIF, *MEMBER), SAMPLE, CLASSES).value
        assert math.isfinite(worst), name
        assert worst < alive, name


# Zen


@settings(deadline=None, max_examples=4)
@given(genotypes(RELU), st.floats(0.01, 0.5))
def test_zen_is_distance_and_what_norms_divide_by(genotype: Any, gamma: float) -> None:
    """The norms' own running variances, kept whole and made the biased ones of the batch, are the second term."""
    zen, build = estimator("zen", batch=4, gamma=gamma), lambda: Network(genotype, SAMPLE, CLASSES)
    found = zen.score(build(), QUESTION)
    draws, net = generator(0, "perturbation", 0), build()
    x, e = (torch.randn(1, 4, *SAMPLE[1:], generator=draws) for _ in range(2))
    norms, features = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)], []
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, generator=draws)
    for norm in norms:
        norm.momentum = 1.0
        norm.register_forward_pre_hook(lambda m, args: setattr(m, "n", args[0].numel() // args[0].shape[1]))
    net.body.cells[-1].register_forward_hook(lambda _m, _a, out: features.append(out[0]))
    net(x)
    used = {call.module for call in watched(net, nn.BatchNorm2d, x)}
    scales = [0.5 * math.log(float((m.running_var.double() * (m.n - 1) / m.n + m.eps).mean())) for m in norms if m in used]
    net(x + gamma * e)
    distance = float((features[-1] - features[0]).detach().double().abs().sum()) / 4
    assert found == pytest.approx(math.log(max(distance, torch.finfo(torch.float64).tiny)) + sum(scales), rel=1e-4)
