"""Configuration: strict types, every fault at once with its path, parts, options, layers, round trips, garbage."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import tomli_w
from attrs import field, frozen
from attrs.validators import ge, in_
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nastk.core import mark
from nastk.core.config import AttentionPart, NeuronPart, Options, SurrogatePart, default_part, structure, unstructure
from nastk.core.document import assign, overlay, read_toml
from nastk.core.errors import ConfigError
from nastk.core.registry import registry
from nastk.core.run.runfile import configure, with_defaults
from nastk.core.settings import ModelConfig, RunConfig


@frozen(kw_only=True)
class Leaf:
    ratio: float = 1.0


@frozen(kw_only=True)
class Sample:
    whole: int = 1
    real: float = 1.0
    text: str = "a"
    truth: bool = False
    maybe: int | None = None
    order: Literal[1, 2] = 1
    word: Literal["linear", "exponential"] = "linear"
    small: int = field(default=1, validator=in_(range(1, 9)))
    names: tuple[str, ...] = ()
    pair: tuple[int, float] = (1, 1.0)
    leaf: Leaf = field(factory=Leaf)
    sizes: Options[int] = field(default=Options((1,)))
    neuron: NeuronPart = field(default=default_part(NeuronPart, "lif"))


def faults(document: Any, cls: type[Any] = Sample) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        structure(document, cls, "here")
    assert str(caught.value).startswith("Configuration refused (here): ")
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("whole", True, "expected a whole number, got True"),
        ("whole", 2.7, "expected a whole number, got 2.7"),
        ("whole", 2.0, "expected a whole number, got 2.0"),
        ("whole", "3", "expected a whole number, got '3'"),
        ("whole", None, "expected a whole number, got None"),
        ("whole", [1], "expected a whole number, got [1]"),
        ("real", False, "expected a number, got False"),
        ("real", "1.5", "expected a number, got '1.5'"),
        ("real", float("nan"), "expected a number, got nan"),
        ("real", 10**400, "expected a number that a float can hold, got 1000"),
        ("text", 3, "expected text, got 3"),
        ("truth", 1, "expected true or false, got 1"),
        ("truth", "true", "expected true or false, got 'true'"),
        ("maybe", "no", "expected a whole number, got 'no'"),
        ("order", 3, "expected one of 1, 2, got 3."),
        ("order", True, "expected one of 1, 2, got True."),
        ("order", 1.0, "expected one of 1, 2, got 1.0."),
        ("word", "lin", "expected one of 'linear', 'exponential', got 'lin'. Did you mean 'linear'?"),
        ("small", 9, "'small' must be in range(1, 9) (got 9)"),
        ("names", "abc", "expected a list, got 'abc'"),
        ("names", {"a": 1}, "expected a list, got {'a': 1}"),
        ("names", 3, "expected a list, got 3"),
        ("pair", [1], "expected a list of 2, got [1]"),
        ("leaf", 3, "expected a table, got 3"),
        ("neuron", 3, "expected the name of a neuron or a table with a name, got 3"),
        ("neuron", {"name": 3}, "expected the name of a neuron or a table with a name, got {'name': 3}"),
    ],
)
def test_types_are_strict(name: str, value: Any, message: str) -> None:
    (fault,) = faults({name: value})
    assert fault.startswith(f"{name}: {message}")


def test_what_is_right_is_taken_as_it_is() -> None:
    document = {"whole": 3, "real": 2, "truth": True, "maybe": 4, "order": 2}
    document |= {"names": ["a", "b"], "pair": [2, 3], "leaf": {"ratio": 2}}
    made = structure(document, Sample, "here")
    assert (made.whole, made.real, made.truth, made.maybe, made.order) == (3, 2.0, True, 4, 2)
    assert (made.names, made.pair, made.leaf) == (("a", "b"), (2, 3.0), Leaf(ratio=2.0))
    assert type(made.real) is type(made.pair[1]) is type(made.leaf.ratio) is float
    assert structure({}, Sample, "here") == Sample()


def test_a_validator_prints_its_sentence_only() -> None:
    (fault,) = faults({"split": {"weights": 1.5}}, RunConfig)
    assert fault == "split.weights: 'weights' must be < 1: 1.5"


def test_a_device_is_named_as_torch_does() -> None:
    (fault,) = faults({"device": "gpu"}, RunConfig)
    assert fault == "device: expected auto, cpu, mps, cuda or cuda:N, got 'gpu'"


def test_every_fault_at_once_each_with_its_path() -> None:
    document = {
        "seeed": 1,
        "seed": -1,
        "strategy": {"name": "ma-darts", "epochs": 0, "lr": "fast"},
        "model": {"neuron": {"choices": ["lif", {"name": "lif", "surrogate": {"alpha": -1.0}}]}, "channels": [8], "cells": 0},
        "space": {"operations": ["skip_connect", 3]},
        "train": 3,
        "split": {"weights": 0.7, "alpha": 0.4},
    }
    found = {fault.partition(": ")[0]: fault.partition(": ")[2] for fault in faults(document, RunConfig)}
    assert set(found) == {
        "seeed",
        "seed",
        "strategy.epochs",
        "strategy.lr",
        "model.neuron.choices[1].surrogate.alpha",
        "model.channels",
        "model.cells",
        "space.operations[1]",
        "train",
        "split",
    }
    assert found["seeed"].startswith("unknown setting. Did you mean 'seed'? Known: strategy, ")
    assert found["split"] == "weights + alpha must leave a validation part, got 0.7 + 0.4"


def test_near_matches_of_plugin_names() -> None:
    (fault,) = faults({"neuron": {"name": "pliff"}})
    assert fault.startswith("neuron: No neuron named 'pliff'. Did you mean 'plif'")


def test_a_required_setting_is_asked_for() -> None:
    @frozen(kw_only=True)
    class Required:
        size: int = field()

    globals()["Required"] = Required
    assert faults({}, Required) == ["size: is required"]


@pytest.mark.parametrize(
    ("value", "values"), [(2, (2,)), ({"choices": [1, 2, 4]}, (1, 2, 4)), ({"choices": [3]}, (3,)), (Options((1, 2)), (1, 2))]
)
def test_options(value: Any, values: tuple[int, ...]) -> None:
    made = structure({"sizes": value}, Sample, "here").sizes
    assert made == Options(values)
    assert made.searched == (len(values) > 1)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"choices": []}, "sizes.choices", "non-empty list"),
        ({"choices": 3}, "sizes.choices", "non-empty list"),
        ({"choices": "12"}, "sizes.choices", "non-empty list"),
        ({"choices": [1], "more": 2}, "sizes.choices", "nothing beside it"),
        ({"choices": [1, 2, 1]}, "sizes.choices", "has an option twice"),
        ({"choices": [1, 2, "x"]}, "sizes.choices[2]", "expected a whole number"),
        ([1, 2], "sizes", "expected a whole number"),
    ],
)
def test_wrong_options(value: Any, path: str, message: str) -> None:
    (fault,) = faults({"sizes": value})
    assert fault.startswith(f"{path}: ")
    assert message in fault


def test_the_same_part_twice_is_seen_whatever_its_spelling() -> None:
    (fault,) = faults({"model": {"neuron": {"choices": ["lif", {"name": "lif", "tau": 2.0}]}}}, RunConfig)
    assert fault.startswith("model.neuron.choices: has an option twice")


def test_no_options_at_all_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="values"):
        Options(())


@pytest.mark.parametrize("value", ["lif", {"name": "lif"}, {"name": "lif", "tau": 2}, {"tau": 2.0}, {}, NeuronPart.named("lif")])
def test_a_part_is_a_name_or_a_table_and_has_a_default_name(value: Any) -> None:
    assert structure({"neuron": value}, Sample, "here").neuron == NeuronPart.named("lif")


def test_a_part_of_another_kind_is_refused() -> None:
    (fault,) = faults({"neuron": AttentionPart.named("none")})
    assert fault.startswith("neuron: expected the name of a neuron")


def test_default_names_reach_options_and_nested_parts() -> None:
    config = structure({"model": {"neuron": {"surrogate": {"alpha": 3.0}}}}, RunConfig, "here")
    assert config.model.neuron == Options((NeuronPart.named("plif", surrogate={"name": "atan", "alpha": 3.0}),))


def test_replaced_keeps_the_rest() -> None:
    part = NeuronPart.named("lif", tau=4.0, surrogate="sigmoid")
    assert part.replaced(v_th=2.0) == NeuronPart.named("lif", tau=4.0, v_th=2.0, surrogate="sigmoid")
    assert part.replaced() is part
    with pytest.raises(ConfigError, match="v_reset must be below v_th"):
        part.replaced(v_reset=3.0)


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ({}, "seed=3", {"seed": 3}),
        ({}, " train.lr = 0.5", {"train": {"lr": 0.5}}),
        ({}, "train.nesterov=true", {"train": {"nesterov": True}}),
        ({}, "model.neuron=lif", {"model": {"neuron": "lif"}}),
        ({}, "model.neuron= lif ", {"model": {"neuron": "lif"}}),
        ({}, 'model.neuron="lif"', {"model": {"neuron": "lif"}}),
        ({}, "dataset.root=a=b", {"dataset": {"root": "a=b"}}),
        ({}, "dataset.root=1\nseed = 2", {"dataset": {"root": "1\nseed = 2"}}),
        ({}, "model.channels={ choices = [8, 16] }", {"model": {"channels": {"choices": [8, 16]}}}),
        ({"model": {"neuron": "lif"}}, "model.neuron.tau=3.0", {"model": {"neuron": {"name": "lif", "tau": 3.0}}}),
        ({"strategy": {"epochs": 3}}, "strategy=random-search", {"strategy": {"epochs": 3, "name": "random-search"}}),
        ({"strategy": {"name": "darts", "epochs": 3}}, "strategy=darts", {"strategy": {"name": "darts", "epochs": 3}}),
        ({"strategy": {"name": "darts", "epochs": 3}}, "strategy=random-search", {"strategy": "random-search"}),
        ({"model": {"neuron": {"choices": ["if", "lif"]}}}, "model.neuron=lif", {"model": {"neuron": "lif"}}),
    ],
)
def test_assign(before: dict[str, Any], text: str, after: dict[str, Any]) -> None:
    assign(before, text)
    assert before == after


@pytest.mark.parametrize("text", ["seed", "=3", "train..lr=3", ".seed=1"])
def test_assign_needs_a_path_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match="expected path=value"):
        assign({}, text)


def test_assign_leaves_the_tables_of_others_alone() -> None:
    table = {"lr": 1.0}
    assign(document := {"train": table}, "train.lr=2.0")
    assert (document, table) == ({"train": {"lr": 2.0}}, {"lr": 1.0})


LIF = {"name": "lif", "tau": 3.0}


@pytest.mark.parametrize(
    ("below", "top", "merged"),
    [
        (1, 2, 2),
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        (LIF, {"v_th": 2.0}, {"name": "lif", "tau": 3.0, "v_th": 2.0}),
        (LIF, {"name": "lif", "v_th": 2.0}, {"name": "lif", "tau": 3.0, "v_th": 2.0}),
        (LIF, {"name": "plif"}, {"name": "plif"}),
        (LIF, "plif", "plif"),
        (LIF, "lif", LIF),
        (LIF, {"choices": ["if", "lif"]}, {"choices": ["if", "lif"]}),
        ("lif", {"tau": 3.0}, LIF),
        ("lif", {"name": "plif"}, {"name": "plif"}),
        ("lif", {"choices": ["if", "lif"]}, {"choices": ["if", "lif"]}),
        ({"choices": ["if", "lif"]}, {"choices": ["if", "plif"]}, {"choices": ["if", "plif"]}),
        ({"choices": ["if", "lif"]}, "lif", "lif"),
    ],
)
def test_overlay(below: Any, top: Any, merged: Any) -> None:
    assert overlay({"x": below, "y": 0}, {"x": top}) == {"x": merged, "y": 0}


def test_the_user_goes_over_the_strategy_and_the_strategy_over_the_space(tmp_path: Path) -> None:
    assert configure().model.attention == Options((AttentionPart.named("cbam"),))
    assert configure(strategy="random-search").model.attention == Options((AttentionPart.named("none"),))
    assert configure(under={"model": {"attention": "eca"}}).model.attention == Options((AttentionPart.named("eca"),))
    assert with_defaults({"space": "darts-cells"}, {})["model"] == {"neuron": "relu", "time_steps": 1, "attention": "cbam"}
    path = tmp_path / "run.toml"
    path.write_text('seed = 1\n[model]\nattention = "se"\nchannels = 4\ncells = 4\n[train]\nepochs = 7\n')
    config = configure(path, ["model.channels=6", "seed=3"], seed=2, train={"batch": 8}, neuron="if")
    assert config.model.attention == Options((AttentionPart.named("se"),))
    assert config.model.neuron == Options((NeuronPart.named("if"),))
    assert (config.seed, config.model.channels.values, config.model.cells.values) == (3, (6,), (4,))
    assert (config.train.epochs, config.train.batch) == (7, 8)


def test_the_name_of_a_flag_is_taken_literally() -> None:
    with pytest.raises(ConfigError, match=r"No neuron named 'a\\\\b'"):
        configure(neuron="a\\b")


@pytest.mark.parametrize("text", ["seed = ", "seed = " + "9" * 5000, "a = " + "[" * 5000, "\udcff"])
def test_what_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match="not a readable TOML file"):
        read_toml(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_toml(tmp_path / "run.toml")
    with pytest.raises(ConfigError, match="not a readable TOML file"):
        read_toml(tmp_path)


# Round trips

SURROGATES = {"atan": "alpha", "sigmoid": "alpha", "fast-sigmoid": "slope", "dhs": "b", "triangle": "width"}
positive = st.floats(0.25, 100.0)


@st.composite
def surrogates(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(SURROGATES)))
    return {"name": name, **draw(st.fixed_dictionaries({}, optional={SURROGATES[name]: positive}))}


@st.composite
def neurons(draw: st.DrawFn) -> NeuronPart:
    name = draw(st.sampled_from(["if", "lif", "plif", "relu"]))
    firing: dict[str, st.SearchStrategy[Any]] = {
        "v_th": positive,
        "v_reset": st.floats(-10, 0.125),
        "compare": st.sampled_from([">=", ">"]),
        "reset": st.sampled_from(["hard", "soft", "none"]),
        "detach_reset": st.booleans(),
        "surrogate": surrogates(),
    }
    leaky = {"tau": st.floats(1.25, 100), "decay_input": st.booleans()}
    optional = {} if name == "relu" else firing if name == "if" else {**firing, **leaky}
    part = NeuronPart.named(name, **draw(st.fixed_dictionaries({}, optional=optional)))
    assert isinstance(part, NeuronPart)
    return part


@settings(deadline=None, max_examples=100)
@given(part=neurons())
def test_flat_and_back(part: NeuronPart) -> None:
    flat = part.flat()
    assert all(type(value) in (str, int, float) for value in flat.values())
    assert NeuronPart.from_flat(part.name, flat) == part


@settings(deadline=None, max_examples=50)
@given(part=neurons())
def test_a_part_through_toml_and_back(part: NeuronPart) -> None:
    text = tomli_w.dumps({"neuron": unstructure(part)})
    assert structure(tomllib.loads(text)["neuron"], NeuronPart, "here") == part


def test_flat_names_what_differs_from_the_defaults_only() -> None:
    assert NeuronPart.named("lif").flat() == {}
    part = NeuronPart.named("lif", tau=3, detach_reset=True, surrogate={"name": "sigmoid", "alpha": 4.0})
    assert part.flat() == {"tau": 3.0, "detach_reset": 1, "surrogate": "sigmoid"}
    assert NeuronPart.named("lif", surrogate={"alpha": 3.0}).flat() == {"surrogate.alpha": 3.0}


FOREIGN: list[dict[str, Any]] = [
    {"tua": 2.0},
    {"name": "if"},
    {"": 1},
    {"tau.x": 1},
    {"surrogate.beta": 1},
    {"detach_reset": 2},
]


@pytest.mark.parametrize("flat", FOREIGN)
def test_from_flat_refuses_what_the_plugin_has_not(flat: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="of a genotype"):
        NeuronPart.from_flat("lif", flat)


@frozen(kw_only=True)
class GateConfig:
    """Settings of a surrogate for these tests."""

    open: bool = False
    width: float = field(default=1.0, validator=ge(0))


@mark.surrogate("test-gate", config=GateConfig)
class Gate:
    """A surrogate that is only configured."""


@pytest.fixture
def offered() -> Iterator[None]:
    registry().offer(Gate)
    yield
    registry().withdraw(Gate)


@pytest.mark.usefixtures("offered")
def test_truths_of_nested_parts_come_back_as_truths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nastk.core.registry.INTERFACES", {})
    part = NeuronPart.named("lif", surrogate={"name": "test-gate", "open": True})
    assert part.flat() == {"surrogate": "test-gate", "surrogate.open": 1}
    assert NeuronPart.from_flat("lif", part.flat()) == part


def choices(parts: list[NeuronPart]) -> dict[str, Any]:
    return {"choices": [unstructure(part) for part in parts]}


@settings(deadline=None, max_examples=30)
@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "strategy": st.sampled_from(
                ["darts", {"name": "random-search", "trials": 3}, {"guard": {"max_skips": 2}, "order": 2}]
            ),
            "space": st.sampled_from(["toy", "darts-cells", {"operations": ["none", "skip_connect"]}, {"nodes": 3}]),
            "dataset": st.sampled_from(["synthetic", {"name": "cifar10", "size": 16, "train_images": 500}]),
            "model": st.fixed_dictionaries(
                {},
                optional={
                    "neuron": neurons().map(unstructure)
                    | st.lists(neurons(), min_size=2, max_size=3, unique=True).map(choices),
                    "attention": st.sampled_from(["none", "se", "cbam", {"choices": ["none", "eca"]}]),
                    "channels": st.integers(1, 64) | st.just({"choices": [4, 8]}),
                    "attention_location": st.sampled_from(["end", {"choices": ["end", "both"]}]),
                },
            ),
            "proxy": st.fixed_dictionaries({}, optional={"channels": st.integers(0, 8), "cells": st.integers(0, 8)}),
            "train": st.fixed_dictionaries({}, optional={"lr": st.floats(1e-6, 10), "nesterov": st.booleans()}),
            "budget": st.fixed_dictionaries({}, optional={"steps": st.integers(1, 9), "minutes": st.floats(0.5, 9)}),
            "seed": st.integers(0, 2**63 - 1),
            "device": st.sampled_from(["auto", "cpu", "cuda:1"]),
        },
    )
)
def test_a_run_through_toml_and_back(document: dict[str, Any]) -> None:
    config = configure(document)
    again = tomllib.loads(tomli_w.dumps(unstructure(config)))
    assert structure(again, RunConfig, "here") == config
    assert configure(again) == config


# Garbage

names = st.sampled_from(
    [
        *("name", "choices", "model", "neuron", "surrogate", "strategy", "space", "dataset", "executor", "attention", "train"),
        *("lif", "atan", "ma-darts", "spiking-cells", "operations", "epochs", "channels", "lr", "seed", "device", "tau", "proxy"),
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | names | st.dates()
keys = names | st.text(max_size=3)
garbage = st.recursive(scalars, lambda g: st.lists(g, max_size=3) | st.dictionaries(keys, g, max_size=4), max_leaves=12)
tables = st.dictionaries(keys, garbage, max_size=4)
model = st.fixed_dictionaries({"neuron": garbage, "channels": garbage})
run = dict.fromkeys(("strategy", "space", "dataset", "train"), garbage | tables)
run_tables = st.fixed_dictionaries({}, optional={"model": garbage | tables | model, **run})
paths = keys | st.lists(names, min_size=2, max_size=3).map(".".join)


def config_error(function: Any, *arguments: Any) -> ConfigError | None:
    """What the call raised; any other exception is not caught."""
    try:
        function(*arguments)
    except ConfigError as error:
        return error
    return None


@settings(deadline=None, max_examples=150)
@given(document=tables | run_tables)
def test_garbage_is_refused_as_configuration(document: dict[str, Any]) -> None:
    error = config_error(configure, document)
    assert error is None or all(": " in fault for fault in error.faults)


@settings(deadline=None, max_examples=100)
@given(value=garbage, cls=st.sampled_from([ModelConfig, NeuronPart, SurrogatePart, Sample, RunConfig]))
def test_garbage_is_no_typed_value(value: Any, cls: type[Any]) -> None:
    config_error(structure, value, cls, "here")


@settings(deadline=None, max_examples=100)
@given(flat=st.dictionaries(paths, scalars, max_size=4))
@example(flat={"surrogate.name": ""})
def test_a_garbage_genotype_is_refused(flat: dict[str, Any]) -> None:
    config_error(NeuronPart.from_flat, "lif", flat)


@settings(deadline=None, max_examples=100)
@given(document=tables, text=st.text(max_size=12) | st.tuples(paths, st.text(max_size=8)).map("=".join))
def test_garbage_assignments(document: dict[str, Any], text: str) -> None:
    error = config_error(assign, document, text)
    assert error is None or "expected path=value" in str(error)
