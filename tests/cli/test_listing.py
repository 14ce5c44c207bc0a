"""What ``nastk plugins`` and ``nastk describe`` print, in a narrow terminal, into a pipe and as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from attrs import field, frozen
from torch import Tensor
from typer.testing import CliRunner

from nastk import Surrogate, mark, registry
from nastk.cli.app import app
from nastk.core import registry as registry_module
from nastk.core.catalogue import Source
from nastk.core.config import SurrogatePart
from nastk.core.describe import describe
from nastk.core.registry import Registry, installed

HELP = "a [bold]help[/] with brackets, and a sentence so long that no terminal of eighty columns holds it in one of its lines"


@frozen(kw_only=True)
class InnerConfig:
    rate: float = 0.25


@frozen(kw_only=True)
class WideConfig:
    a_setting_with_a_name_that_takes_half_of_a_terminal: int = field(metadata={"help": HELP})
    inner: InnerConfig = field(factory=InnerConfig)
    other: SurrogatePart | None = None


@mark.surrogate("wide", config=WideConfig, paper="Author et al., [Brackets], ICML 2030")
class Wide(Surrogate):
    """A summary with [red]brackets[/red] in it. See :class:`~nastk.core.model.surrogate.Surrogate`."""

    def gradient(self, u: Tensor) -> Tensor:
        return u


def printed(*words: str, columns: int = 80) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture
def _wide() -> Iterator[None]:
    registry().offer(Wide)
    yield
    registry().withdraw(Wide)


def test_describe_says_everything() -> None:
    text = printed("describe", "strategy", "ma-darts")
    found = describe("strategy", "ma-darts")
    for said in (found.text, found.paper, "nastk 0.", found.signature, found.interface, f"{found.module}.{found.attribute}"):
        assert said in text
    assert f"{found.source.file}:{found.source.line}" in text
    assert 'model.attention = "cbam"' in text
    for setting in found.settings:
        assert f"\n{setting.name} " in text
        assert squeezed(setting.help.split()[0]) in squeezed(text)
    assert "at least" in text
    assert "unset" in text


@pytest.mark.usefixtures("_wide")
@pytest.mark.parametrize("columns", [40, 80, 240])
def test_a_table_fits_the_terminal_and_loses_nothing(columns: int) -> None:
    text = printed("describe", "surrogate", "wide", columns=columns)
    table = text[text.index("setting ") :]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= columns
    assert "…" not in text
    said = squeezed("".join((HELP, "required", "see below", "0.25", "a_setting_with_a_name_that_takes_half_of_a_terminal")))
    assert not Counter(said) - Counter(table), "something is cut off"
    assert "[red]brackets[/red]" in text
    assert "[Brackets]" in text
    assert "See Surrogate." in text
    if columns == 240:
        for said in (HELP, "required", "see below", "0.25", "\ninner.rate "):
            assert said in text
    if columns >= 80:
        for word in HELP.split():
            assert word in text  # brackets are no markup, and no word is broken that has room


def test_describe_without_settings_says_so() -> None:
    assert "It takes no settings." in printed("describe", "attention", "none")
    assert "paper" not in printed("describe", "attention", "none")


@pytest.mark.usefixtures("_wide")
def test_describe_as_json_is_the_python_face() -> None:
    for kind, name in (("neuron", "plif"), ("surrogate", "wide"), ("operation", "none")):
        assert json.loads(printed("describe", kind, name, "--json")) == describe(kind, name).document()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("describe", "nuron", "plif"), "There is no kind of plug-in named 'nuron'. Did you mean 'neuron'"),
        (("describe", "neuron", "plift"), "No neuron named 'plift'. Did you mean 'plif'"),
        (("plugins", "--kind", "nuron"), "There is no kind of plug-in named 'nuron'. Did you mean 'neuron'"),
    ],
)
def test_what_is_not_there_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"nastk: {said}")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def _with_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Source("lost", "no_module_of_this_name", "acme-lost", "1.2")
    monkeypatch.setattr(registry_module, "_shared", Registry([*installed(), lost]))


@pytest.mark.usefixtures("_with_a_broken_one")
def test_plugins_lists_all_and_the_broken_ones_with_their_reason() -> None:
    text = printed("plugins")
    for entry in registry().entries():
        assert re.search(rf"^{entry.kind} +{re.escape(entry.name)} ", text, re.MULTILINE), entry.name
    assert "nastk 0." in text
    assert "broken: lost (acme-lost 1.2): ModuleNotFoundError: No module named 'no_module_of_this_name'" in text


@pytest.mark.usefixtures("_with_a_broken_one")
def test_plugins_of_a_kind_shows_broken_ones_all_the_same() -> None:
    text = printed("plugins", "--kind", "attention")
    assert "cbam" in text
    assert "plif" not in text
    assert "broken: lost" in text
    assert "strategy" not in text


@pytest.mark.usefixtures("_with_a_broken_one")
def test_plugins_as_json() -> None:
    document = json.loads(printed("plugins", "--json"))
    assert [(p["kind"], p["name"]) for p in document["plugins"]] == [(e.kind, e.name) for e in registry().entries()]
    plif = next(p for p in document["plugins"] if p["name"] == "plif")
    assert plif["distribution"] == "nastk"
    assert plif["module"] == "nastk.neurons.plif"
    assert plif["version"]
    assert plif["summary"].startswith("Leaky")
    (broken,) = [b for b in document["broken"] if b["plugin"] == "lost"]
    assert (broken["distribution"], broken["version"], broken["module"]) == ("acme-lost", "1.2", "no_module_of_this_name")
    assert "ModuleNotFoundError" in broken["reason"]
    kinds = {p["kind"] for p in json.loads(printed("plugins", "--kind", "task", "--json"))["plugins"]}
    assert kinds == {"task"}
    assert json.loads(printed("plugins", "--kind", "task", "--json"))["broken"] == document["broken"]
