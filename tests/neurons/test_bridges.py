"""The neurons of other libraries: the library's own numbers, the laws of our neurons, and what it takes without the library."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest
import torch
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nastk
from nastk.core.config import NeuronPart
from nastk.core.errors import BrokenPlugin, ConfigError
from nastk.core.laws.law import DoesNotApply, LawBroken, book
from nastk.core.model.neuron import Neuron
from nastk.core.registry import registry
from nastk.core.types import Kind
from nastk.neurons.bridges import snntorch as snn
from nastk.neurons.bridges import spikingjelly as jelly

LIBRARIES = ("spikingjelly", "snntorch")
JELLY_SURROGATES = get_args(get_type_hints(jelly.FiringConfig)["surrogate"])
SNN_SURROGATES = get_args(get_type_hints(snn.SurrogateConfig)["surrogate"])
Settings = dict[str, st.SearchStrategy[Any]]


def one(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


@frozen
class Theirs:
    """A class of a library, and settings to draw for it: the constructor's own, but for the surrogate ``(name, steepness)``."""

    cls: str
    drawn: Settings


LEAK: Settings = {"tau": one(1.25, 2.0, 3.7), "decay_input": st.booleans()}
DETACH: Settings = {"detach_reset": st.booleans()}
FIRE: Settings = {"v_threshold": one(0.5, 1.0, 1.5), "surrogate": st.tuples(one(*JELLY_SURROGATES), one(None, 3.0))}
RESET: Settings = {"v_reset": one(None, 0.0, -0.4)}
IF: Settings = FIRE | RESET | DETACH
QUADRATIC: Settings = {"v_c": one(0.8, 0.6), "a0": one(1.0, 0.5)}
RESTING: Settings = IF | {"tau": one(2.0, 3.7), "v_reset": one(None, -0.1, -0.4), "v_rest": one(0.0, 0.1)}
ADAPT: Settings = {"v_rest": one(-0.1, 0.1), "w_rest": one(0.0, 0.2), "tau_w": one(2.0), "a": one(0.0, 0.3), "b": one(0.0, 1.0)}
JELLY = {
    "if": Theirs("IFNode", IF),
    "lif": Theirs("LIFNode", IF | LEAK),
    "plif": Theirs("ParametricLIFNode", IF | {"init_tau": one(1.25, 3.7), "decay_input": st.booleans()}),
    "klif": Theirs("KLIFNode", IF | LEAK | {"scale_reset": st.booleans()}),
    "sltt-lif": Theirs("SLTTLIFNode", IF | LEAK),
    "qif": Theirs("QIFNode", RESTING | QUADRATIC),
    "eif": Theirs("EIFNode", RESTING | {"delta_T": one(1.0, 0.5), "theta_rh": one(0.8, 1.2)}),
    "half-threshold-if": Theirs("HalfThresholdIFNode", FIRE | DETACH),
    "activation-aware-if": Theirs("ActivationAwareIFNode", IF | {"v_offset": one(-0.3, 0.0, 0.6)}),
    "izhikevich": Theirs("IzhikevichNode", IF | QUADRATIC | ADAPT | {"tau": one(2.0, 3.7)}),
    "raf": Theirs("RAFNode", IF | {"b": one(-0.2, -1.0), "omega": one(1.0, 0.3), "dt": one(1.0, 0.5)}),
    "clif": Theirs("ComplementaryLIFNode", FIRE | {"tau": one(1.25, 3.7)}),
    "cuba-lif": Theirs("CUBALIFNode", FIRE | RESET | {"c_decay": one(0.5, 0.9), "v_decay": one(0.75, 0.1)}),
    "ternary-if": Theirs("TernaryIFNode", IF),
    "ternary-lif": Theirs("TernaryLIFNode", IF | LEAK),
    "ilif": Theirs("ILIFNode", DETACH | {"tau": one(4 / 3, 3.7), "v_threshold": one(1.0, 0.5), "max_spike_count": one(1, 4)}),
}

SURROGATE: Settings = {"surrogate": st.tuples(one(*SNN_SURROGATES), one(None, 3.0))}
SNN_FIRE: Settings = SURROGATE | {
    "threshold": one(0.5, 1.0, 1.5),
    "learn_threshold": st.booleans(),
    "reset_mechanism": one("subtract", "zero", "none"),
}
BETA: Settings = {"beta": one(0.3, 0.8), "learn_beta": st.booleans()}
LEAKY: Settings = SNN_FIRE | BETA | {"reset_delay": st.booleans()}
ALPHA: Settings = {"alpha": one(0.9, 0.2), "learn_alpha": st.booleans()}
RECURRENT: Settings = {"V": one(1.0, -0.7), "learn_recurrent": st.booleans()}
CIRCUIT = one({"beta": 0.7}, {"beta": 0.7, "R": 2.0}, {"beta": 0.7, "C": 2.0}, {"beta": 0.0, "R": 2.0, "C": 3.0})
SNN = {
    "leaky": Theirs("Leaky", LEAKY),
    "lapicque": Theirs("Lapicque", SNN_FIRE | {"circuit": CIRCUIT, "time_step": one(1.0, 0.5)}),
    "synaptic": Theirs("Synaptic", LEAKY | ALPHA),
    "alpha": Theirs("Alpha", SNN_FIRE | BETA | {"alpha": one(0.9, 0.95)}),
    "delta-leaky": Theirs("DeltaLeaky", SURROGATE | BETA | {"delta_threshold": one(1.0, 0.5)}),
    "rleaky": Theirs("RLeaky", LEAKY | RECURRENT),
    "rsynaptic": Theirs("RSynaptic", SNN_FIRE | BETA | ALPHA | RECURRENT),
}
ALL = {f"spikingjelly-{n}": t for n, t in JELLY.items()} | {f"snntorch-{n}": t for n, t in SNN.items()}
NOT_SPIKES = {"spikingjelly-ilif"}
SIGNED = {"spikingjelly-ternary-if", "spikingjelly-ternary-lif"}
BROKEN = {f"spikingjelly-{n}": {"silent_at_rest"} for n in ("qif", "eif", "izhikevich")}
"""The laws that a neuron breaks in its default settings."""
NEEDS = {n: pytest.mark.skipif(find_spec(n) is None, reason=f"{n} is not installed") for n in LIBRARIES}


def with_library(*names: str) -> Any:
    return pytest.mark.parametrize("name", [pytest.param(n, marks=NEEDS[n.partition("-")[0]]) for n in names])


every = with_library(*ALL)
few = settings(deadline=None, max_examples=4)


@st.composite
def inputs(draw: st.DrawFn, low: int = 1, dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)) -> Tensor:
    """``(T, B, F)``, positive on average and strong enough for many spikes."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(draw(st.integers(low, 6)), 2, 5, generator=generator, dtype=torch.float64) + 0.4
    return (x * draw(one(1.0, 2.0))).to(draw(one(*dtypes)))


def drawn(data: st.DataObject, name: str) -> dict[str, Any]:
    """Settings of a library's class; parts that are drawn together are taken apart."""
    found = data.draw(st.fixed_dictionaries(ALL[name].drawn))
    return found | found.pop("circuit", {})


def ours(name: str, theirs: dict[str, Any]) -> NeuronPart:
    """The plug-in with the settings that mean the same."""
    given = dict(theirs)
    if "v_reset" in given and given["v_reset"] is None:
        del given["v_reset"]
        given["reset"] = "soft"
    elif "v_reset" in given:
        given["reset"] = "hard"
    if "surrogate" in given:
        given["surrogate"], steepness = given["surrogate"]
        if steepness is not None and given["surrogate"] not in get_args(snn.Fixed):
            given["surrogate_alpha" if name.startswith("spikingjelly") else "surrogate_slope"] = steepness
    part = NeuronPart.named(name, **given)
    assert isinstance(part, NeuronPart)
    return part


def their_run(name: str, theirs: dict[str, Any], x_TBF: Tensor) -> tuple[Tensor, list[Tensor], nn.Module]:
    """The library's own run over time, which keeps its memories itself: spikes, memories at the end, module."""
    given = dict(theirs)
    surrogate, steepness = given.pop("surrogate", (None, None))
    if name.startswith("spikingjelly"):
        from spikingjelly.activation_based import neuron
        from spikingjelly.activation_based import surrogate as surrogates

        if surrogate is None:
            made = surrogates.MultiLevelSpikeCount(given.pop("max_spike_count"))
        else:
            made = getattr(surrogates, surrogate)(**({} if steepness is None else {"alpha": steepness}))
        node = getattr(neuron, ALL[name].cls)(**given, surrogate_function=made).to(x_TBF.dtype)
        if name == "spikingjelly-sltt-lif":  # made for single steps; over several the library runs a plain LIF
            return torch.stack([node(x_BF) for x_BF in x_TBF]), list(node.memories()), node
        node.step_mode = "m"
        z_TBF = node(x_TBF)
        return z_TBF, list(node.memories()), node
    import snntorch

    slope = (
        {} if steepness is None or surrogate in get_args(snn.Fixed) else {"alpha" if surrogate == "atan" else "slope": steepness}
    )
    given |= {"all_to_all": False} if "V" in given else {}
    made = getattr(snntorch.surrogate, surrogate)(**slope)
    node = getattr(snntorch, ALL[name].cls)(**given, spike_grad=made, init_hidden=True, output=True).to(x_TBF.dtype)
    spikes = []
    for x_BF in x_TBF:
        z_BF, *state = node(x_BF)
        spikes.append(z_BF)
    if name == "snntorch-delta-leaky":
        state = list(state[0])
    return torch.stack(spikes), [z_BF, *state] if "V" in given else state, node


def close(left: Tensor, right: Tensor, tolerance: float) -> None:
    """Equal to within a share of the largest number; nan and infinity where the other has them, too."""
    largest = float(right.detach().abs().nan_to_num(0, 0, 0).max())
    torch.testing.assert_close(left, right.to(left.dtype), rtol=tolerance, atol=tolerance * max(1.0, largest), equal_nan=True)


def tolerance(name: str, dtype: torch.dtype) -> float:
    """snnTorch's spikes, and with them its gradients, are float32 whatever the input."""
    return 1e-10 if dtype == torch.float64 and name.startswith("spikingjelly") else 1e-5


def parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """By the last part of their names."""
    return {name.rpartition(".")[2]: p for name, p in module.named_parameters()}


def test_every_bridge_is_tested() -> None:
    bundled = {entry.name for entry in registry().entries(Kind.NEURON) if ".bridges." in entry.module}
    assert bundled == set(ALL)


@every
@settings(deadline=None, max_examples=10)
@given(data=st.data(), x_TBF=inputs())
def test_equals_the_library(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    theirs, dtype, within = drawn(data, name), x_TBF.dtype, tolerance(name, x_TBF.dtype)
    neuron = ours(name, theirs).build().to(dtype)
    x, y = x_TBF.clone().requires_grad_(), x_TBF.clone().requires_grad_()
    z, state = neuron(x)
    s, memories, node = their_run(name, theirs, y)
    assert torch.equal(z, s.to(dtype))
    assert len(state) == len(memories)
    for part, memory in zip(state, memories, strict=True):
        close(part, memory, within)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for out, end in ((z, state), (s, memories)):
        ((out * weights).sum() + sum((part * w).sum() for part, w in zip(end, weights[0], strict=False))).backward()
    close(x.grad, y.grad, within)
    mine, other = parameters(neuron), parameters(node)
    assert set(mine) == set(other)
    for key, p in mine.items():
        assert torch.equal(p, other[key])
        assert (p.grad is None) == (other[key].grad is None)
        if p.grad is not None:
            close(p.grad, other[key].grad, within)


@every
def test_laws_hold_but_for_those_named_here(name: str) -> None:
    laws, part = book(Kind.NEURON), NeuronPart.named(name)
    broken = set()
    for law in laws.laws:
        for case in laws.cases(law)[:3]:
            try:
                laws.try_on(law, part, case)
            except DoesNotApply:
                assert law.name == "binary"
                assert name in NOT_SPIKES
            except LawBroken:
                broken.add(law.name)
    assert broken == BROKEN.get(name, set())


@every
@few
@given(data=st.data(), x_TBF=inputs(low=2))
def test_laws_hold_whatever_the_settings(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron, cut = ours(name, drawn(data, name)).build().to(x_TBF.dtype), data.draw(st.integers(1, len(x_TBF) - 1))
    whole, end = neuron(x_TBF)
    first, state = neuron(x_TBF[:cut])
    second, last = neuron(x_TBF[cut:], state)
    other = torch.cat([x_TBF[:cut], 1 - x_TBF[cut:]])
    assert torch.equal(torch.cat([first, second]), whole), "splittable"
    for a, b in zip(end, last, strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num()), "splittable"
    assert torch.equal(neuron(other)[0][:cut], whole[:cut]), "causal"
    assert torch.equal(neuron(x_TBF[:, 1:])[0], whole[:, 1:]), "no mixing of samples"
    assert torch.equal(neuron(x_TBF.flip(-1))[0], whole.flip(-1)), "no mixing of features"
    assert torch.equal(neuron(x_TBF)[0], whole), "repeatable"
    assert neuron.spiking == (name not in NOT_SPIKES)
    assert neuron.signed == (name in SIGNED)
    assert not neuron.spiking or ((whole == 0) | ((whole.abs() if neuron.signed else whole) == 1)).all()
    assert not neuron.signed or torch.equal(neuron.spikes(whole), (whole != 0).to(whole.dtype))


@every
def test_output_that_is_not_binary_says_so(name: str) -> None:
    x_TBF = torch.tensor([3.0, -9.0, 2.0])[:, None, None].expand(3, 1, 1)
    z_TBF, _ = NeuronPart.named(name).build()(x_TBF)
    assert bool(((z_TBF != 0) & (z_TBF != 1)).any()) == (name in NOT_SPIKES | SIGNED)


@every
@few
@given(data=st.data(), x_TBF=inputs(low=2))
def test_gradients_flow_through_a_state_that_is_handed_over(name: str, data: st.DataObject, x_TBF: Tensor) -> None:
    neuron, cut = ours(name, drawn(data, name)).build().to(x_TBF.dtype), data.draw(st.integers(1, len(x_TBF) - 1))
    x, y = x_TBF.clone().requires_grad_(), x_TBF.clone().requires_grad_()
    neuron(x)[0].sum().backward()
    first, state = neuron(y[:cut])
    (first.sum() + neuron(y[cut:], state)[0].sum()).backward()
    close(x.grad, y.grad, tolerance(name, x_TBF.dtype))


def held(neuron: nn.Module) -> dict[str, Any]:
    """All that the modules hold: tensors by their shape, memories by their value."""
    found: dict[str, Any] = {}
    for prefix, module in neuron.named_modules():
        attributes = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        attributes |= dict(module.named_buffers(recurse=False)) | vars(module).get("_memories", {})
        for key, value in attributes.items():
            found[f"{prefix}.{key}"] = value.shape if isinstance(value, Tensor) else repr(value)
    return found


@every
def test_nothing_is_kept_between_calls(name: str) -> None:
    neuron: Neuron[Any] = NeuronPart.named(name).build()
    before = held(neuron)
    x_TBF = torch.ones(3, 2, 4, requires_grad=True)
    _, state = neuron(x_TBF)
    with pytest.raises((AttributeError, RuntimeError, TypeError, ValueError)):
        neuron.step(torch.ones(2, 4), type(state)(*("no tensor" for _ in state)))
    assert held(neuron) == before
    twin = copy.deepcopy(neuron)  # torch refuses to copy what hangs on a graph
    for a, b in zip(twin(x_TBF)[1], state, strict=True):
        assert torch.equal(a, b)
    if name.startswith("snntorch"):
        import snntorch

        assert not any(module is neuron.node for module in snntorch.SpikingNeuron.instances)


@every
@few
@given(data=st.data())
def test_survives_the_form_of_genotypes(name: str, data: st.DataObject) -> None:
    part = ours(name, drawn(data, name))
    flat = part.flat()
    assert all(isinstance(value, (str, int, float)) for value in flat.values())
    assert NeuronPart.from_flat(name, flat) == part
    assert NeuronPart.named(name).flat() == {}


def their_defaults(name: str) -> dict[str, Any]:
    library = importlib.import_module("snntorch" if name.startswith("snntorch") else "spikingjelly.activation_based.neuron")
    found = inspect.signature(getattr(library, ALL[name].cls)).parameters.values()
    return {p.name: p.default for p in found if p.default is not p.empty}


@every
def test_defaults_are_the_librarys(name: str) -> None:
    theirs, config = their_defaults(name), NeuronPart.named(name).config
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        if field.name == "surrogate" and name.startswith("snntorch"):
            assert value == "atan", "which their None stands for"
        elif field.name == "surrogate":
            assert value == type(theirs["surrogate_function"]).__name__
        elif field.name == "v_reset" and theirs["v_reset"] is None:
            assert config.reset == "soft"
        elif field.name == "max_spike_count":
            assert value == theirs["surrogate_function"].max_spike_count
        elif field.name in {"alpha", "beta"}:
            assert not theirs.get(field.name), "which have to be given there"
        elif field.name in theirs:
            assert value == theirs[field.name], field.name
        else:
            assert field.name in {"reset", "surrogate_alpha", "surrogate_slope", "learn_beta"}, field.name


@every
@few
@given(data=st.data())
def test_is_built_and_runs_where_there_are_no_numbers(name: str, data: st.DataObject) -> None:
    part = ours(name, drawn(data, name))
    with torch.device("meta"):
        neuron = part.build()
        z_TBF, state = neuron(torch.zeros(2, 1, 3))
    assert {t.device.type for t in (z_TBF, *state, *neuron.state_dict().values())} == {"meta"}
    saved = list(part.build().state_dict(keep_vars=True).values())
    assert len({id(t) for t in saved}) == len(saved), "a tensor under two names, which safetensors refuses"


@with_library("spikingjelly-raf", "snntorch-alpha")
def test_an_input_that_acts_one_step_later(name: str) -> None:
    neuron = NeuronPart.named(name).build()
    x_TBF = torch.full((2, 1, 1), 6.0, requires_grad=True)
    z_TBF, _ = neuron(x_TBF)
    (grad,) = torch.autograd.grad(z_TBF.sum(), x_TBF)
    assert z_TBF.flatten().tolist() == [0.0, 1.0]
    assert grad[0].any()
    assert not grad[1].any()


@with_library("spikingjelly-sltt-lif", "spikingjelly-clif")
def test_no_gradient_in_evaluation(name: str) -> None:
    neuron, x_TBF = NeuronPart.named(name).build(), torch.ones(2, 1, 3, requires_grad=True)
    assert neuron(x_TBF)[0].requires_grad
    assert not neuron.eval()(x_TBF)[0].requires_grad


@with_library("spikingjelly-sltt-lif")
def test_no_gradient_through_time(name: str) -> None:
    x_TBF = torch.ones(3, 1, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(NeuronPart.named(name).build()(x_TBF)[0][-1].sum(), x_TBF)
    assert grad.flatten(1).any(1).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("name", "given", "fires"),
    [
        pytest.param("spikingjelly-eif", {}, 8, marks=NEEDS["spikingjelly"]),
        pytest.param("spikingjelly-activation-aware-if", {"v_offset": 1.0}, 1, marks=NEEDS["spikingjelly"]),
        pytest.param("spikingjelly-qif", {}, None, marks=NEEDS["spikingjelly"]),
        pytest.param("spikingjelly-izhikevich", {}, None, marks=NEEDS["spikingjelly"]),
        pytest.param("spikingjelly-half-threshold-if", {}, None, marks=NEEDS["spikingjelly"]),
    ],
)
def test_what_fires_without_input(name: str, given: dict[str, Any], fires: int | None) -> None:
    z_T = NeuronPart.named(name, **given).build()(torch.zeros(50, 1, 1))[0].flatten()
    assert (int(z_T.argmax()) + 1 if z_T.any() else None) == fires


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("spikingjelly-lif", {"v_reset": 1.0}, "v_reset must be below v_threshold"),
        ("spikingjelly-lif", {"surrogate": "PoissonPass"}, "surrogate"),
        ("spikingjelly-qif", {"v_rest": -0.2}, "v_rest must not be below v_reset"),
        ("spikingjelly-ternary-lif", {"v_reset": -1.0}, "v_reset must be above -v_threshold"),
        ("spikingjelly-ternary-if", {"v_reset": -1.0}, "v_reset must be above -v_threshold"),
        ("snntorch-leaky", {"beta": 1.5}, "beta"),
        ("snntorch-leaky", {"surrogate": "triangular", "surrogate_slope": 2.0}, "has no slope"),
        ("snntorch-alpha", {"beta": 0.9}, "alpha must be above beta"),
        ("snntorch-lapicque", {"beta": 0.0, "R": 1.0}, "give beta"),
        ("snntorch-lapicque", {"R": 1.0, "C": 1.0}, "give beta"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NeuronPart.named(name, **given)


def hide(library: str, patch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == library]:
        patch.delitem(sys.modules, module)


@pytest.mark.parametrize("name", ALL)
def test_without_the_library_one_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = name.partition("-")[0]
    hide(library, monkeypatch)
    monkeypatch.setitem(sys.modules, library, None)
    part = NeuronPart.named(name)
    with pytest.raises(BrokenPlugin) as caught:
        part.build()
    assert str(caught.value) == f'This neuron needs {library}, which is not installed: pip install "nastk[{library}]"'


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_cannot_be_imported(library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide(library, monkeypatch)
    (tmp_path / f"{library}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BrokenPlugin, match=f"needs {library}, which is installed but cannot be imported .*nms does not exist"):
        NeuronPart.named(f"{library}-{'lif' if library == 'spikingjelly' else 'leaky'}").build()


@with_library("spikingjelly-lif", "snntorch-leaky")
def test_a_library_that_is_too_old(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "0.0.0.0.14")
    with pytest.raises(BrokenPlugin, match=r"or newer, found 0\.0\.0\.0\.14: pip install"):
        NeuronPart.named(name).build()


def run(name: str, out: Path) -> Any:
    small = {"channels": 4, "cells": 2}
    return nastk.run(
        strategy={"name": "ma-darts", "epochs": 1, "warmup": 0},
        space="toy",
        dataset={"name": "synthetic", "train_images": 160, "test_images": 32},
        model=small | {"neuron": name},
        proxy=small,
        train={"epochs": 1},
        out=out,
    )


@with_library("spikingjelly-lif", "snntorch-rleaky")
def test_a_run(name: str, tmp_path: Path) -> None:
    result = run(name, tmp_path / "run")
    assert result["neuron"] == name
    assert result["nos"]["test"]["total"] > 0


def test_a_run_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide("spikingjelly", monkeypatch)
    monkeypatch.setitem(sys.modules, "spikingjelly", None)
    with pytest.raises(BrokenPlugin, match="pip install"):
        run("spikingjelly-lif", tmp_path / "run")
