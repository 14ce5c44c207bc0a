"""Law 9: the scheduled supernet is the folded one: loss, every gradient and every buffer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core import native
from nastk.core.cell.cells import CellSpace
from nastk.core.cell.graph import Genotype
from nastk.core.model import cellnet, norm_mix_kernels, schedule, winograd
from nastk.core.model.cellnet import CellModule
from nastk.core.model.network import Network
from nastk.core.model.norm_mix import norm_mix
from nastk.core.model.norm_mix_kernels import Term
from nastk.core.types import Shape

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)
CLASSES = 4
CLOSE = 1e-10


def mixing_of(full: Genotype, seed: int) -> dict[str, Tensor]:
    """Alpha, leaves of the graph; where the path of layers is searched, that too."""
    generator = torch.Generator().manual_seed(seed)
    alpha = {n: torch.randn(len(c.edges), len(c.edges[0].candidates), generator=generator).double() for n, c in full.cells}
    if "layers" in dict(full.parts) and not str(full.part("layers")).isdigit():
        alpha["layers"] = torch.randn(len(str(full.part("layers"))) - 1, 4, 2, generator=generator).double()
    return {name: a.requires_grad_() for name, a in alpha.items()}


def both(space: CellSpace, seed: int) -> tuple[Network, Network]:
    """Two supernets with equal weights; the second is folded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fast = Network(space.full(), SAMPLE, CLASSES, affine=False).double()
    plain = copy.deepcopy(fast)
    plain.set_scheduled(False)
    return fast, plain


def learned(net: Network, seed: int, *, training: bool) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The loss of a batch, and its gradient in alpha and in every weight."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(1, 4, *SAMPLE[1:], generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (4,), generator=generator)
    net.train(training)
    alpha = mixing_of(net.genotype, seed)
    loss = F.cross_entropy(net(x, {name: a.softmax(-1) for name, a in alpha.items()}).mean(0), y)
    wanted = {**{f"alpha {n}": a for n, a in alpha.items()}, **dict(net.named_parameters())}
    grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return loss.detach(), dict(zip(wanted, grads, strict=True))


def same(one: Tensor | None, two: Tensor | None) -> bool:
    empty = [g is None or not g.any() for g in (one, two)]
    return all(empty) or (not any(empty) and float((one - two).abs().max()) <= CLOSE)  # type: ignore[operator]


@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 10**6), attention=st.sampled_from(["none", "cbam", "tcsa"]), training=st.booleans())
def test_loss_gradients_and_buffers_are_those_of_the_fold(
    build: Any, spec: dict[str, Any], seed: int, attention: str, training: bool
) -> None:
    space = build(spec, attention=attention)
    fast, plain = both(space, seed)
    for step in range(2):  # the second one on moved statistics
        with pytest.MonkeyPatch.context() as patch:
            # Of equal maxima, which binary maps are full of, rounding decides who gets the gradient: make them smooth.
            patch.setattr(Tensor, "amax", lambda x, dim, keepdim=False: torch.logsumexp(x, dim, keepdim))
            (loss, grads), (expected, reference) = (learned(n, seed + step, training=training) for n in (fast, plain))
        assert float((loss - expected).abs()) <= CLOSE
        for name, grad in grads.items():
            assert same(grad, reference[name]), name
        states = fast.state_dict(), plain.state_dict()
        assert states[0].keys() == states[1].keys()
        for name, value in states[0].items():
            assert float((value.double() - states[1][name].double()).abs().sum()) <= CLOSE, name


def test_it_is_the_fold_where_convolutions_have_fewer_products(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many channels as the compiled convolutions want (in float64: 8 at most)."""
    calls: list[str] = []
    call = winograd._call
    monkeypatch.setattr(winograd, "_call", lambda *given: calls.append(given[1]) or call(*given))
    operations = ("conv_3x3", "conv_5x5", "dws_conv_3x3", "dil_conv_3x3", "dil_conv_5x5", "avg_pool_3x3")
    fast, plain = both(build({"name": "spiking-cells", "operations": operations, "nodes": 2}, channels=8), 0)
    (loss, grads), (expected, reference) = (learned(net, 0, training=True) for net in (fast, plain))
    assert float((loss - expected).abs()) <= CLOSE
    assert all(same(grad, reference[name]) for name, grad in grads.items())
    assert native.load("winograd") is None or {"forward", "backward"} == set(calls)


def test_the_schedule_is_what_runs(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the law above cannot hold because both sides fold."""
    calls: list[int] = []
    run = schedule.Schedule.run
    monkeypatch.setattr(schedule.Schedule, "run", lambda *given: calls.append(1) or run(*given))
    fast, plain = both(build({"name": "spiking-cells"}), 0)
    learned(plain, 0, training=True)
    assert not calls
    learned(fast, 0, training=False)
    assert not calls, "statistics that are not taken from the batch are the fold's business"
    learned(fast, 0, training=True)
    assert len(calls) == sum(isinstance(m, CellModule) for m in fast.modules())


def test_state_dicts_are_interchangeable(build: Any) -> None:
    fast, plain = both(build({"name": "spiking-cells"}), 0)
    learned(fast, 0, training=True)
    plain.load_state_dict(fast.state_dict())
    fast.load_state_dict(plain.state_dict())


def test_dropped_skips_are_dropped_in_the_schedule_too(build: Any) -> None:
    """With probability one nothing is left to chance, and both sides have to agree."""
    fast, plain = both(build({"name": "spiking-cells"}), 0)
    (loss, _) = learned(fast, 0, training=True)
    for net in (fast, plain):
        net.set_dropout(skip_dropout=1.0)
    (dropped, grads), (expected, reference) = (learned(net, 1, training=True) for net in (fast, plain))
    assert float((dropped - expected).abs()) <= CLOSE
    assert all(same(grad, reference[name]) for name, grad in grads.items())
    assert float((dropped - learned(copy.deepcopy(plain), 1, training=False)[0]).abs()) > CLOSE
    assert loss.isfinite()


def test_dropped_paths_are_dropped_in_the_schedule_too(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cellnet, "_drop_path", lambda x, probability: x * probability)  # nothing is left to chance
    fast, plain = both(build({"name": "spiking-cells"}), 0)
    without = learned(copy.deepcopy(plain), 0, training=True)[0]
    for net in (fast, plain):
        net.set_dropout(drop_path=0.5)
    (loss, grads), (expected, reference) = (learned(net, 0, training=True) for net in (fast, plain))
    assert float((loss - expected).abs()) <= CLOSE
    assert all(same(grad, reference[name]) for name, grad in grads.items())
    assert float((loss - without).abs()) > CLOSE


# norm_mix alone


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[Term], int, int, list[Tensor], Tensor]:
    """Terms over some inputs, some of which share a block; the inputs; the weights."""
    channels, slots = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    blocks = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    places = [(i, b) for i, n in enumerate(blocks) for b in range(n)]
    terms = [Term(*draw(st.sampled_from(places)), slot, draw(st.booleans())) for slot in range(slots)]
    terms += [Term(i, b, draw(st.integers(0, slots - 1)), draw(st.booleans())) for i, b in places]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    shape = draw(st.tuples(st.integers(2, 4), st.integers(1, 5), st.integers(2, 5)))
    inputs = [torch.randn(shape[0], n * channels, *shape[1:], generator=generator).double() + i for i, n in enumerate(blocks)]
    return terms, slots, channels, inputs, torch.randn(len(terms), generator=generator).double()


def by_hand(terms: list[Term], slots: int, channels: int, inputs: list[Tensor], weights_M: Tensor) -> list[Tensor]:
    out = [torch.zeros_like(inputs[0][:, :channels]) for _ in range(slots)]
    for term, weight in zip(terms, weights_M, strict=True):
        y = inputs[term.tensor][:, term.block * channels : (term.block + 1) * channels]
        out[term.slot] = out[term.slot] + weight * (F.batch_norm(y, None, None, training=True, eps=1e-5) if term.normed else y)
    return out


@settings(deadline=None, max_examples=60)
@given(mixtures(), st.booleans())
def test_norm_mix_is_norms_weights_and_sums(mixture: Any, native: bool) -> None:
    terms, slots, channels, inputs, weights_M = mixture
    results = []
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(norm_mix_kernels, "library", lambda _: None)
        for function in (lambda *g: norm_mix(g[0], g[1], g[2], 1e-5, g[4], g[3])[0], by_hand):
            leaves = [weights_M.clone().requires_grad_(), *(y.clone().requires_grad_() for y in inputs)]
            out = function(terms, slots, channels, leaves[1:], leaves[0])
            weigh = [torch.randn(z.shape, generator=torch.Generator().manual_seed(7), dtype=z.dtype) for z in out]
            loss = sum(((z * w).sum() for z, w in zip(out, weigh, strict=True)), torch.zeros(()))
            results.append((out, torch.autograd.grad(loss, leaves, allow_unused=True)))
    (out, grads), (expected, reference) = results
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(out, expected, strict=True))
    for grad, other in zip(grads, reference, strict=True):
        assert torch.allclose(grad, torch.zeros_like(grad) if other is None else other, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(mixtures())
def test_norm_mix_gives_the_statistics_of_its_inputs(mixture: Any) -> None:
    terms, slots, channels, inputs, weights_M = mixture
    _, means, variances = norm_mix(terms, slots, channels, 1e-5, weights_M, inputs)
    for term in terms:
        if term.normed:
            here = slice(term.block * channels, (term.block + 1) * channels)
            y = inputs[term.tensor][:, here]
            norm = nn.BatchNorm2d(channels, affine=False, momentum=1.0).double()
            norm(y)
            assert torch.allclose(means[term.tensor][here], norm.running_mean)  # type: ignore[arg-type]
            numbers = y.numel() / channels
            assert torch.allclose(variances[term.tensor][here] * numbers / (numbers - 1), norm.running_var)  # type: ignore[arg-type]


def test_norm_mix_keeps_only_its_inputs() -> None:
    """No normalised copy, no weighted copy: the saved tensors are the inputs and vectors of the size of the channels."""
    y = torch.randn(8, 6, 16, 16, requires_grad=True)
    terms = [Term(0, 0, 0, True), Term(0, 1, 1, True)]
    saved: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.update({t.data_ptr(): t.numel()}) or t, lambda t: t):
        norm_mix(terms, 2, 3, 1e-5, torch.ones(2, requires_grad=True), [y])
    assert sum(n for n in saved.values() if n > 64) == y.numel()
