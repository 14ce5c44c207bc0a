"""Neurons with more than a leak are SpikingJelly 2's: equal spikes, equal gradients (float64), over random settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nastk.core.config import NeuronPart
from nastk.core.model.neuron import build_neuron

theirs = pytest.importorskip("spikingjelly.activation_based.neuron")
surrogates = pytest.importorskip("spikingjelly.activation_based.surrogate")

one = st.sampled_from
Settings = dict[str, Any]
# theirs, and the setting that is its alpha
SURROGATES = {
    "sigmoid": ("Sigmoid", "alpha"),
    "atan": ("ATan", "alpha"),
    "piecewise-quadratic": ("PiecewiseQuadratic", "alpha"),
    "piecewise-exp": ("PiecewiseExp", "alpha"),
    "soft-sign": ("SoftSign", "alpha"),
    "erf": ("Erf", "alpha"),
    "nonzero-sign-log-abs": ("NonzeroSignLogAbs", "alpha"),
    "rectangle": ("Rect", "alpha"),
}
SPIKE = {
    "v_th": one([0.5, 1.0, 1.3]),
    "surrogate": st.builds(lambda name, alpha: {"name": name, "alpha": alpha}, one(sorted(SURROGATES)), one([0.7, 2.0])),
}
HARD = {"v_reset": one([0.0, -0.4]), "detach_reset": st.booleans()}
RESET = HARD | {"reset": one(["hard", "soft"])}
LEAK = {"tau": one([1.25, 2.0, 3.7]), "decay_input": st.booleans()}
QUADRATIC = HARD | {"tau": one([2.0, 3.7]), "v_rest": one([0.0, 0.1]), "v_c": one([0.8, 0.3]), "a0": one([1.0, 2.5])}
EXPONENTIAL = HARD | {
    "tau": one([2.0, 3.7]),
    "v_rest": one([0.0, 0.1]),
    "delta_t": one([1.0, 0.2]),
    "theta_rh": one([0.8, 0.4]),
}
CURRENT = {"reset": one(["hard", "soft"]), "alpha": one([0.5, 0.9, 0.0]), "beta": one([0.75, 0.1, 1.0])}
RECOVERY = {"tau_w": one([2.0, 7.5]), "a": one([0.0, 0.4]), "b": one([0.0, 0.6]), "w_rest": one([0.0, 0.2])}
GATED = {"v_th": one([0.5, 0.3]), "keep": one([0.25, 0.6]), "conduct": one([0.5, 0.8]), "v_subreset": one([None, 0.7])}


def firing(ours: Settings) -> Settings:
    """What all of theirs take."""
    cls, alpha = SURROGATES[ours["surrogate"]["name"]]
    made = getattr(surrogates, cls)(**{alpha: ours["surrogate"]["alpha"]})
    return {"v_threshold": ours["v_th"], "surrogate_function": made}


def resetting(ours: Settings) -> Settings:
    v_reset = None if ours.get("reset") == "soft" else ours["v_reset"]
    return firing(ours) | {"v_reset": v_reset, "detach_reset": ours["detach_reset"]}


def with_(make: Callable[[Settings], Settings], cls: str, *names: str) -> Callable[[Settings, int], nn.Module]:
    """Their class, with what ``make`` says and the settings of the same name."""
    return lambda ours, _: getattr(theirs, cls)(**make(ours), **{name: ours[name] for name in names})


def cuba(ours: Settings, _: int) -> nn.Module:
    given = firing(ours) | {"v_reset": None if ours["reset"] == "soft" else 0.0}
    return theirs.CUBALIFNode(c_decay=ours["alpha"], v_decay=ours["beta"], **given)


def ternary(ours: Settings, _: int) -> nn.Module:
    if ours["leak"] == "none":
        return theirs.TernaryIFNode(**resetting(ours))
    return theirs.TernaryLIFNode(**resetting(ours), tau=ours["tau"], decay_input=ours["decay_input"])


def gated(ours: Settings, T: int) -> nn.Module:
    fire = firing(ours)
    names = {"init_tau": ours["keep"], "init_conduct": ours["conduct"], "init_v_subreset": ours["v_subreset"]}
    return theirs.GatedLIFNode(T, init_v_threshold=fire.pop("v_threshold"), **names, **fire)


def parallel(cls: str, *names: str, **more: Any) -> Callable[[Settings, int], nn.Module]:
    def make(ours: Settings, T: int) -> nn.Module:
        given = {name: {"k": ours.get("order"), "T": T}[name] for name in names}
        node = getattr(theirs, cls)(**given, **more, surrogate_function=firing(ours)["surrogate_function"])
        nn.init.constant_(node.bias, -ours["v_th"])
        return node

    return make


@frozen
class Oracle:
    """How settings of ours are drawn, and what of theirs they stand for."""

    drawn: dict[str, st.SearchStrategy[Any]]
    make: Callable[[Settings, int], nn.Module]


ORACLES = {
    "klif": Oracle(
        SPIKE | RESET | LEAK | {"scale_reset": st.booleans()},
        with_(resetting, "KLIFNode", "tau", "decay_input", "scale_reset"),
    ),
    "clif": Oracle(SPIKE | {"tau": LEAK["tau"]}, with_(firing, "ComplementaryLIFNode", "tau")),
    "qif": Oracle(SPIKE | QUADRATIC, with_(resetting, "QIFNode", "tau", "v_rest", "v_c", "a0")),
    "aqif": Oracle(
        SPIKE | QUADRATIC | RECOVERY,
        with_(resetting, "IzhikevichNode", "tau", "v_rest", "v_c", "a0", "tau_w", "a", "b", "w_rest"),
    ),
    "eif": Oracle(
        SPIKE | EXPONENTIAL,
        lambda ours, _: theirs.EIFNode(
            tau=ours["tau"], delta_T=ours["delta_t"], theta_rh=ours["theta_rh"], v_rest=ours["v_rest"], **resetting(ours)
        ),
    ),
    "cuba-lif": Oracle(SPIKE | CURRENT, cuba),
    "ternary": Oracle(SPIKE | RESET | LEAK | {"leak": one(["linear", "none"])}, ternary),
    "gated-lif": Oracle(SPIKE | GATED, gated),
    "psn": Oracle(SPIKE | {"init": one(["uniform", "exponential"])}, parallel("PSN", "T")),
    "masked-psn": Oracle(
        SPIKE | {"init": one(["uniform", "exponential"]), "order": one([1, 2, 3, 9])},
        parallel("MaskedPSN", "k", "T", lambda_init=1.0),
    ),
    "sliding-psn": Oracle(
        SPIKE | {"init": one(["uniform", "exponential"]), "order": one([1, 2, 3, 9])}, parallel("SlidingPSN", "k")
    ),
}
RENAMED = {"keep": "tau"}
DRAWN = ("alpha", "beta", "gamma", "weight")
"""Parameters whose first values are drawn: theirs are made equal to ours."""


def inputs(draw: Callable[..., Any], T: int) -> Tensor:
    """``(T, B, C, H, W)``, positive on average and strong enough for many spikes."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return (torch.randn(T, 2, 3, 2, 2, generator=generator, dtype=torch.float64) + 0.4) * draw(one([1.0, 2.0]))


@pytest.mark.parametrize("name", ORACLES)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), T=st.integers(1, 6))
def test_equals_spikingjelly(name: str, data: st.DataObject, T: int) -> None:
    oracle = ORACLES[name]
    ours, x = data.draw(st.fixed_dictionaries(oracle.drawn)), inputs(data.draw, T)
    if ours.get("reset") == "soft":  # where theirs is soft, there is no v_reset
        ours["v_reset"] = 0.0
    given = {key: value for key, value in ours.items() if value is not None}
    neuron, node = build_neuron(NeuronPart.named(name, **given), T), oracle.make(ours, T)
    mine, other = dict(neuron.named_parameters()), dict(node.named_parameters())
    assert {RENAMED.get(key, key) for key in mine} == set(other)
    pairs = [(key, parameter, other[RENAMED.get(key, key)]) for key, parameter in mine.items()]
    for key, parameter, theirs_of_it in pairs:
        assert key in DRAWN or torch.allclose(parameter, theirs_of_it, rtol=1e-6)
        theirs_of_it.data.copy_(parameter.data)
    neuron, node = neuron.double(), node.double()
    node.step_mode = "m"
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    z, s = neuron(a)[0], node(b)
    assert torch.equal(z, s.double())
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(T), dtype=torch.float64)
    (z * weights).sum().backward()
    (s * weights).sum().backward()
    close(a.grad, b.grad)
    for _, parameter, theirs_of_it in pairs:
        close(parameter.grad, theirs_of_it.grad)


def close(left: Tensor | None, right: Tensor | None) -> None:
    """Equal to within a share of the largest number; no gradient is a gradient of zero."""
    if left is None or right is None:
        assert not any(grad is not None and grad.any() for grad in (left, right))
        return
    largest = max(1.0, float(right.abs().max()))
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10 * largest)


def test_sliding_psn_starts_as_theirs() -> None:
    for order in (1, 2, 5):
        ours = NeuronPart.named("sliding-psn", order=order, v_th=1.0).build()
        node = theirs.SlidingPSN(order)
        assert torch.equal(ours.weight, node.weight)
        assert torch.equal(ours.bias, node.bias)


def test_the_oracles_see_spikes_and_silence() -> None:
    """So that the comparison above says something."""
    x = (torch.randn(6, 64, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.4) * 2
    for name in ORACLES:
        rate = build_neuron(NeuronPart.named(name), 6).double()(x)[0].abs().mean()
        assert 0.05 < rate < 0.95, name
