"""Descriptions of plug-ins: every bundled one, a stranger's, and those that cannot be described."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import pytest
from attrs import Factory, field, fields, frozen, make_class
from attrs.validators import and_, ge, lt, optional
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nastk
from nastk import Attention, Shape, Surrogate, mark, registry
from nastk.core import describe as module
from nastk.core.config import AttentionPart, Options, Part, SurrogatePart, default_part
from nastk.core.describe import Description, default_words, describe
from nastk.core.errors import BrokenPlugin, UnknownName
from nastk.core.events import Reporter
from nastk.core.mark import NoConfig
from nastk.core.model.neuron import Neuron
from nastk.core.types import Kind
from nastk.core.words import toml

BUNDLED = [e for e in registry().entries() if e.source.distribution == "nastk"]
WITHOUT_PAPER = {
    *("neuron if", "neuron lif", "neuron relu", "neuron cuba-lif", "neuron synaptic", "attention none"),
    *(f"surrogate {name}" for name in ("sigmoid", "piecewise-quadratic", "piecewise-exp", "erf", "soft-sign")),
    "surrogate nonzero-sign-log-abs",
    *(f"operation {name}" for name in ("conv_1x1", "conv_3x3", "conv_5x5", "dws_conv_3x3", "none", "skip_connect", "attention")),
    *("operation avg_pool_3x3", "operation max_pool_3x3", "space spiking-cells", "space toy", "dataset synthetic"),
    *("estimator parameters", "estimator macs", "estimator latency", "executor inline", "executor processes", "executor slurm"),
    *("reporter console", "reporter jsonl", "reporter mlflow", "reporter tensorboard"),
    *("task classification", "task rate-mse", "exporter safetensors"),
    *("exporter python", "exporter torch-export", "exporter onnx"),
}
"""What is older than papers, plain engineering, or nastk's own."""
ELSEWHERE = ("nastk.neurons.bridges.",)


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


@frozen(kw_only=True)
class DecayConfig:
    """A table inside a configuration."""

    rate: float = field(default=0.5, validator=ge(0), metadata={"help": "how fast"})
    shape: Literal["step", "line"] = "step"


@frozen(kw_only=True)
class GatedConfig:
    """One field of every sort."""

    width: int = field(validator=ge(1), metadata={"help": "hidden units"})
    bias: float = field(default=1.0, validator=and_(ge(0), lt(4)), metadata={"help": "first bias"})
    top: int | None = field(default=None, validator=optional(lt(9)))
    mode: Literal["soft", "hard"] = "soft"
    mood: Mood = Mood.WILD
    names: tuple[str, ...] = ("a", "b")
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "atan"))
    sharper: SurrogatePart = field(factory=lambda: SurrogatePart.named("atan", alpha=5.0))
    outer: Options[AttentionPart] = field(factory=lambda: Options((AttentionPart("none"), AttentionPart("gated"))))
    decay: DecayConfig = Factory(DecayConfig)
    twice: int = field(default=Factory(lambda self: 2 * self.width, takes_self=True))
    limit: float = float("inf")
    folder: Path = Path("here")


@mark.attention("gated", config=GatedConfig, paper="Author et al., Gates, NeurIPS 2030")
class Gated(Attention):
    """Channel gate with a learned bias.

    The rest.
    """

    def __init__(self, shape: Shape, config: GatedConfig, *extra: dict[str, int], quick=False, slow: bool = True) -> None:
        super().__init__()
        self.given = (shape, config, extra, quick, slow)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW


@mark.surrogate("bare")
class Bare(Surrogate):
    def gradient(self, u: Tensor) -> Tensor:
        return u


@pytest.fixture
def offered() -> Iterator[Callable[..., Description]]:
    """Offers a class, and describes it."""
    added: list[type] = []

    def offer(cls: type) -> Description:
        registry().offer(cls)
        added.append(cls)
        marked = vars(cls)["__nastk__"]
        return describe(marked.kind, marked.name)

    yield offer
    registry().withdraw(*added)


def surrogate(config: Any = NoConfig, **members: Any) -> type[Surrogate]:
    """A surrogate with this configuration, made in code."""
    return mark.surrogate("made", config=config)(type("Made", (Surrogate,), {"gradient": lambda _self, u: u, **members}))


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda e: f"{e.kind} {e.name}")
def test_every_bundled_plugin_describes(entry: Any) -> None:
    found = describe(entry.kind, entry.name)
    assert (found.kind, found.name, found.summary) == (entry.kind, entry.name, entry.summary)
    assert found.text.partition("\n")[0] == found.summary != ""
    assert (found.distribution, found.version) == ("nastk", nastk.__version__)
    assert found.signature.startswith(f"{found.attribute}(")
    assert "self" not in found.signature
    assert "..." not in found.signature
    assert found.source is not None
    lines = Path(found.source.file).read_text(encoding="utf-8").splitlines()[found.source.line - 1 :]
    assert next(line for line in lines if line.startswith("class ")).startswith(f"class {found.attribute}")
    config = vars(registry().load(entry.kind, entry.name))["__nastk__"].config
    assert [s.name for s in found.settings] == [a.name for a in fields(config)]
    assert ("config" in found.signature) == (config is not NoConfig)
    for setting in found.settings:
        assert setting.help, setting.name
        assert setting.type
        assert default_words(setting)
    document = found.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda e: f"{e.kind} {e.name}")
def test_defaults_are_what_a_run_file_may_say(entry: Any) -> None:
    """Every default, written down, gives the configuration that leaving it out gives."""
    part = type("AnyPart", (Part,), {"kind": entry.kind})
    found = describe(entry.kind, entry.name)
    required = {s.name: s.choices[0] for s in found.settings if s.required and s.choices}
    if any(s.required and not s.choices for s in found.settings):
        pytest.skip("it has no configuration by default")
    usual = part.named(entry.name, **required)
    given = {s.name: s.default for s in found.settings if not s.required and s.default is not None}
    assert part.named(entry.name, **required, **given) == usual


def test_every_bundled_plugin_has_a_paper_or_is_known_to_have_none() -> None:
    papers = {f"{e.kind} {e.name}": describe(e.kind, e.name).paper for e in BUNDLED if not e.module.startswith(ELSEWHERE)}
    assert {name for name, paper in papers.items() if not paper} == WITHOUT_PAPER
    for name, paper in papers.items():
        assert not paper or re.fullmatch(r"[A-Z][\w. -]+, \w.+, .+ (\d{4}|\d{4}\.\d{5})", paper), f"{name}: {paper}"


def test_what_a_plugin_changes_in_a_run() -> None:
    assert describe("strategy", "ma-darts").defaults == {"model": {"attention": "cbam"}}
    assert describe("space", "darts-cells").defaults == {"model": {"neuron": "relu", "time_steps": 1}}
    assert describe("neuron", "plif").defaults == {}


def test_a_third_party_class(offered: Callable[..., Description]) -> None:
    found = offered(Gated)
    assert found.summary == "Channel gate with a learned bias."
    assert found.text == "Channel gate with a learned bias.\n\nThe rest."
    assert found.paper == "Author et al., Gates, NeurIPS 2030"
    assert (found.distribution, found.module, found.attribute) == ("this process", __name__, "Gated")
    assert found.interface == "nastk.core.model.attention.Attention"
    wanted = "Gated(shape: Shape, config: GatedConfig, *extra: dict[str, int], quick=False, slow: bool = True)"
    assert found.signature == wanted
    assert found.source is not None
    assert Path(found.source.file).name == Path(__file__).name
    rows = {s.name: s for s in found.settings}
    seen = {s.name: (s.type, s.default, default_words(s), s.bounds) for s in found.settings}
    assert seen == {
        "width": ("whole number", None, "required", "at least 1"),
        "bias": ("number", 1.0, "1.0", "at least 0, below 4"),
        "top": ("whole number or unset", None, "unset", "below 9"),
        "mode": ('"soft", "hard"', "soft", '"soft"', ""),
        "mood": ('"calm", "wild"', "wild", '"wild"', ""),
        "names": ("list of text", ["a", "b"], '["a", "b"]', ""),
        "surrogate": ("surrogate", "atan", '"atan"', ""),
        "sharper": ("surrogate", {"name": "atan", "alpha": 5.0}, '{ name = "atan", alpha = 5.0 }', ""),
        "outer": ("attention, or choices", {"choices": ["none", "gated"]}, '{ choices = ["none", "gated"] }', ""),
        "decay": ("table [decay]", {"rate": 0.5, "shape": "step"}, "see below", ""),
        "twice": ("whole number", None, "unset", ""),
        "limit": ("number", float("inf"), "inf", ""),
        "folder": ("Path", "here", '"here"', ""),
    }
    assert [name for name, row in rows.items() if row.required] == ["width"]
    assert rows["bias"].help == "first bias"
    assert rows["top"].help == ""
    assert {name: row.choices for name, row in rows.items() if row.choices} == {
        "mode": ("soft", "hard"),
        "mood": ("calm", "wild"),
    }
    parts = {name: row.part for name, row in rows.items() if row.part}
    assert parts == {"surrogate": Kind.SURROGATE, "sharper": Kind.SURROGATE, "outer": Kind.ATTENTION}
    assert [(s.name, s.type, s.default, s.help) for s in rows["decay"].settings] == [
        ("rate", "number", 0.5, "how fast"),
        ("shape", '"step", "line"', "step", ""),
    ]
    document = found.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert next(s for s in document["settings"] if s["name"] == "limit")["default"] == "inf"


def test_a_class_without_a_docstring_or_settings_has_words_nonetheless(offered: Callable[..., Description]) -> None:
    found = offered(Bare)
    assert (found.summary, found.text, found.paper, found.settings) == ("", "", "", ())
    assert found.signature == "Bare()"


def test_a_class_made_in_code_has_no_source(offered: Callable[..., Description]) -> None:
    found = offered(surrogate())
    assert found.source is None
    assert found.document()["source"] is None


def test_a_network_module_of_its_own_without_init_is_built_without_arguments(offered: Callable[..., Description]) -> None:
    made = mark.neuron("plain")(type("Plain", (Neuron,), {"__module__": __name__}))
    assert offered(made).signature == "Plain()"


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.from_regex("[a-z]{1,6}", fullmatch=True).filter(lambda n: n != "name" and not keyword.iskeyword(n)),
        st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers()).map(tuple)),
        max_size=5,
    )
)
def test_defaults_come_back_as_they_are(values: dict[str, Any]) -> None:
    def typed(value: Any) -> Any:
        return tuple[int, ...] if isinstance(value, tuple) else type(value)

    config = make_class("MadeConfig", {n: field(default=v, type=typed(v)) for n, v in values.items()}, frozen=True)
    config.__annotations__ = {n: typed(v) for n, v in values.items()}
    cls = surrogate(config)
    registry().offer(cls)
    try:
        found = describe("surrogate", "made")
    finally:
        registry().withdraw(cls)
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}
    assert {s.name: s.default for s in found.settings} == plain
    assert {s.name: default_words(s) for s in found.settings} == {n: toml(v) for n, v in plain.items()}
    document = found.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@frozen(kw_only=True)
class LostConfig:
    width: Nowhere = 3  # type: ignore[name-defined]  # noqa: F821


@frozen(kw_only=True)
class UntypedConfig:
    inner: LostConfig = field(factory=lambda: LostConfig())


@frozen(kw_only=True)
class MissingPartConfig:
    surrogate: SurrogatePart = field(default=default_part(SurrogatePart, "atam"))


@frozen(kw_only=True)
class FailingConfig:
    x: int = field(factory=lambda: 1 // 0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LostConfig, "LostConfig cannot be looked up (NameError: name 'Nowhere' is not defined)"),
        (UntypedConfig, "LostConfig cannot be looked up"),
        (make_class("Bald", ["width"]), "Bald has settings without a type: width"),
        (MissingPartConfig, "'atam'"),
        (FailingConfig, "the default of x in"),
        (None, "must be a frozen attrs class, got None"),
        (int, "must be a frozen attrs class, got <class 'int'>"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_one_sentence(offered: Callable[..., Description], config: Any, said: str) -> None:
    with pytest.raises(BrokenPlugin) as caught:
        offered(surrogate(config))
    assert str(caught.value).startswith("The surrogate 'made' (this process) cannot be described: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defaults_of_a_run_that_are_no_table_are_said(
    offered: Callable[..., Description], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGES_RUNS", (Kind.SURROGATE,))
    with pytest.raises(BrokenPlugin, match="its defaults must be a table of run settings, got 3"):
        offered(surrogate(defaults=3))
    assert offered(surrogate(defaults=MappingProxyType({"model": {"x": (1, 2)}}))).defaults == {"model": {"x": [1, 2]}}


def test_what_another_kind_calls_defaults_is_its_own_matter(offered: Callable[..., Description]) -> None:
    class Loud(Reporter):
        defaults: ClassVar = 3

        def hear(self, event: Any) -> None:
            pass

    assert offered(mark.reporter("loud")(Loud)).defaults == {}


def test_an_unknown_kind_or_name_is_one_sentence() -> None:
    with pytest.raises(UnknownName, match=r"no kind of plug-in named 'nuron'\. Did you mean 'neuron'"):
        describe("nuron", "plif")
    with pytest.raises(UnknownName, match="No neuron named 'plift'"):
        describe(Kind.NEURON, "plift")


def test_the_public_face_has_it() -> None:
    assert nastk.describe("attention", "cbam") == describe(Kind.ATTENTION, "cbam")
