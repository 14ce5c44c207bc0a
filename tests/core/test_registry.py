"""The registry over third-party distributions made up on the spot: dist-info folders on ``sys.path``, never installed."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from nastk import Neuron, mark
from nastk.core.catalogue import Source
from nastk.core.errors import BrokenPlugin, UnknownName
from nastk.core.hookspecs import INTERFACE
from nastk.core.model.surrogate import Surrogate
from nastk.core.registry import Registry, installed
from nastk.core.types import Kind

LOUD = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\nprint('imported')\n"
GATED = """
from nastk import Surrogate, mark

@mark.surrogate("gated")
class Gated(Surrogate):
    '''A gate with a learned bias.

    The rest is not shown.'''

    def gradient(self, u):
        return u
"""
OTHER = GATED.replace("gated", "other").replace("Gated", "Other")

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """``make(distribution, files, points)`` puts a distribution of version 1.2 on the path; returns its folder."""
    monkeypatch.delenv("NASTK_PLUGINS", raising=False)
    monkeypatch.delenv("NASTK_TRACE", raising=False)
    before = set(sys.modules)

    def make(distribution: str, files: dict[str, str | bytes], points: dict[str, str]) -> Path:
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}-{distribution}"
        info = root / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[nastk]", *lines, ""]))
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        monkeypatch.syspath_prepend(str(root))
        return root

    yield make
    for name in set(sys.modules) - before:
        if name.partition(".")[0].partition("_")[0] in ("acme", "bolt"):
            del sys.modules[name]
    importlib.invalidate_caches()


def broken(registry: Registry, plugin: str) -> str:
    (reason,) = [b.reason for b in registry.broken if b.source.plugin == plugin]
    return reason


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"acme_gated.py": LOUD + GATED}, "acme_gated"),
        ({"acme_gated/__init__.py": LOUD, "acme_gated/deep/gate.py": LOUD + GATED}, "acme_gated"),
        ({"acme_gated/__init__.py": LOUD, "acme_gated/gate.py": LOUD + GATED}, "acme_gated.gate"),
        ({"acme_gated/__init__.py": LOUD, "acme_gated/deep/__init__.py": LOUD + GATED}, "acme_gated.deep"),
        ({"acme_gated/gate.py": LOUD + GATED}, "acme_gated"),  # a namespace package
        ({"acme_gated/gate.py": LOUD + GATED}, "acme_gated.gate"),
        ({"acme_gated.py": LOUD + GATED}, "acme_gated:Gated"),
        ({"acme_gated.py": "\ufeff" + LOUD + GATED}, "acme_gated"),
        ({"acme_gated.py": ("# coding: latin-1\n# \xe9\n" + LOUD + GATED).encode("latin-1")}, "acme_gated"),
    ],
)
def test_a_third_party_plugin_is_listed_unimported_and_loads_when_named(
    make: Make, capsys: pytest.CaptureFixture[str], files: dict[str, str | bytes], value: str
) -> None:
    root = make("acme-gated", files, {"gated": value})
    registry = Registry(installed())
    (entry,) = [e for e in registry.entries(Kind.SURROGATE) if e.name == "gated"]
    assert (entry.source.distribution, entry.source.version, entry.source.plugin) == ("acme-gated", "1.2", "gated")
    assert entry.summary == "A gate with a learned bias."
    assert registry.find(Kind.SURROGATE, "gated") == entry
    assert not list(root.rglob("imported")), "listing imported it"
    assert not [name for name in sys.modules if name.startswith("acme_gated")]
    assert capsys.readouterr().out == ""
    assert not registry.broken

    loaded = registry.load(Kind.SURROGATE, "gated")
    assert issubclass(loaded, Surrogate)
    assert loaded.__name__ == "Gated"
    assert loaded is registry.load(Kind.SURROGATE, "gated")
    assert list(root.rglob("imported"))


@pytest.mark.parametrize(
    "marked",
    [
        "from nastk import mark\n@mark.surrogate('gated')",
        "import nastk\n@nastk.mark.surrogate('gated')",
        "import nastk as n\n@n.mark.surrogate(name='gated')",
        "from nastk.core.mark import surrogate\n@surrogate('gated')",
        "from nastk.core.mark import surrogate as s\n@s('gated', config=None)",
        "import nastk.core.mark\n@nastk.core.mark.surrogate('gated')",
        "import nastk.core.mark as m\n@m.surrogate('gated')",
        "from nastk.core import mark as m\n@print\n@m.surrogate('gated')"
    ],
)
def test_every_way_to_write_the_mark_is_read(make: Make, marked: str) -> None:
    make("acme", {"acme_gated.py": f"{marked}\nclass Gated: pass"}, {"gated": "acme_gated"})
    assert Registry(installed()).find(Kind.SURROGATE, "gated").attribute == "Gated"


@pytest.mark.parametrize(
    "unmarked",
    [
        "from other import mark\n@mark.surrogate('gated')",
        "import nastk\n@nastk.surrogate('gated')",
        "from nastk import mark\n@mark.unheard_of('gated')",
        "mark = None  # nastk\n@mark.surrogate('gated')",
    ],
)
def test_what_is_no_mark_is_not_read(make: Make, unmarked: str) -> None:
    make("acme", {"acme_gated.py": f"{unmarked}\nclass Gated: pass"}, {"gated": "acme_gated"})
    registry = Registry(installed())
    assert "gated" not in registry.names(Kind.SURROGATE)
    assert "offers nothing: no class in acme_gated is marked" in broken(registry, "gated")


def test_an_entry_point_that_is_no_plugin_is_said_so(make: Make) -> None:
    make("acme", {"acme_gated.py": "def gated(): pass"}, {"gated": "acme_gated"})
    assert "offers nothing" in broken(Registry(installed()), "gated")


@pytest.mark.parametrize("version", ["NASTK_INTERFACE = 2", "NASTK_INTERFACE: int = 2", "if True:\n    NASTK_INTERFACE = 2"])
def test_a_plugin_for_another_interface_is_refused_with_both_versions(make: Make, version: str) -> None:
    root = make("acme", {"acme_gated.py": f"{LOUD}{GATED}\n{version}"}, {"gated": "acme_gated"})
    registry = Registry(installed())
    assert "gated" not in registry.names(Kind.SURROGATE)
    assert "acme 1.2" in broken(registry, "gated")
    with pytest.raises(BrokenPlugin, match=r"'gated' \(from model\) cannot be used: .*acme 1\.2.* version 2 .* has version 1"):
        registry.load(Kind.SURROGATE, "gated", "model")
    assert not list(root.rglob("imported"))
    assert registry.load(Kind.SURROGATE, "atan"), "the others still work"


def test_a_plugin_for_this_interface_is_taken(make: Make) -> None:
    make("acme", {"acme_gated.py": f"{GATED}\nNASTK_INTERFACE = {INTERFACE}"}, {"gated": "acme_gated"})
    registry = Registry(installed())
    assert registry.load(Kind.SURROGATE, "gated")
    assert not registry.broken


def test_an_interface_that_is_no_number_is_broken(make: Make) -> None:
    make("acme", {"acme_gated.py": f"{GATED}\nNASTK_INTERFACE = '1'"}, {"gated": "acme_gated"})
    assert "must be a whole number" in broken(Registry(installed()), "gated")


@pytest.mark.parametrize("head", ["if True:", "try:", "with open(__file__):"])
def test_a_mark_inside_a_block_at_the_top_is_read(make: Make, head: str) -> None:
    tail = "\nexcept ImportError:\n    pass" if head == "try:" else ""
    make("acme", {"acme_gated.py": f"{head}\n{textwrap.indent(GATED, '    ')}{tail}"}, {"gated": "acme_gated"})
    assert Registry(installed()).load(Kind.SURROGATE, "gated")



def test_a_name_that_is_computed_is_said_to_be_unreadable(make: Make) -> None:
    text = "from nastk import mark\nNAME = 'gated'\n@mark.surrogate(NAME)\nclass Gated: pass"
    make("acme", {"acme_gated.py": text}, {"gated": "acme_gated"})
    reason = broken(Registry(installed()), "gated")
    assert "acme_gated.py, line 3" in reason
    assert "nastk_classes" in reason


def test_two_distributions_with_one_name_are_an_error_that_names_both(make: Make) -> None:
    make("acme", {"acme_one.py": GATED}, {"one": "acme_one"})
    make("bolt", {"bolt_two.py": GATED}, {"two": "bolt_two"})
    registry = Registry(installed())
    assert registry.names(Kind.SURROGATE).count("gated") == 2
    for ask in (registry.find, registry.load):
        with pytest.raises(BrokenPlugin, match=r"'gated' \(from model\).* acme \(acme_one\).* bolt \(bolt_two\)"):
            ask(Kind.SURROGATE, "gated", "model")
    for preferred, module in ((("bolt",), "bolt_two"), (("none", "acme", "bolt"), "acme_one")):
        registry.prefer = preferred
        assert registry.load(Kind.SURROGATE, "gated").__module__ == module
    assert registry.load(Kind.SURROGATE, "atan"), "other names still work"


def test_two_entry_points_over_one_module_are_no_clash(make: Make) -> None:
    make("acme", {"acme_gated/__init__.py": "", "acme_gated/gate.py": GATED}, {"a": "acme_gated", "b": "acme_gated.gate"})
    registry = Registry(installed())
    assert registry.names(Kind.SURROGATE).count("gated") == 1
    assert registry.load(Kind.SURROGATE, "gated")


@pytest.mark.parametrize("failing", ["import no_such_module", "raise RuntimeError('no luck')", "raise SystemExit(3)", "1 / 0"])
def test_a_plugin_that_fails_at_import_harms_only_who_names_it(make: Make, failing: str) -> None:
    make("acme", {"acme_gated.py": f"{failing}\n{GATED}"}, {"gated": "acme_gated"})
    registry = Registry(installed())
    assert "gated" in registry.names(Kind.SURROGATE)
    assert registry.load(Kind.SURROGATE, "atan")
    with pytest.raises(BrokenPlugin, match=r"'gated' \(acme 1\.2\) cannot be imported: \w+: ") as caught:
        registry.load(Kind.SURROGATE, "gated")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "value", "reason"),
    [
        ({"acme_gated.py": "def nastk(:"}, "acme_gated", "SyntaxError"),
        ({"acme_gated.py": b"nastk\x00"}, "acme_gated", "null bytes"),
        ({}, "acme_gated", "No module named 'acme_gated'"),
        ({"acme_gated/__init__.py": ""}, "acme_gated.gate", "No module named 'acme_gated.gate'"),
        ({"acme_gated.py": ""}, "acme_gated.gate", "No module named 'acme_gated.gate'"),
        ({"acme_gated/__init__.py": "raise RuntimeError"}, "acme_gated.gate", "No module named 'acme_gated.gate'"),
        ({}, "sys", "no Python source"),
    ],
)
def test_a_plugin_that_cannot_be_read_is_listed_as_broken(
    make: Make, files: dict[str, str | bytes], value: str, reason: str
) -> None:
    make("acme", files, {"gated": value})
    registry = Registry(installed())
    assert reason in broken(registry, "gated")
    assert registry.load(Kind.SURROGATE, "atan"), "the others still work"
    with pytest.raises(UnknownName, match=r"Broken plug-ins: gated"):
        registry.load(Kind.SURROGATE, "gated")


def test_a_class_of_the_wrong_interface_is_refused(make: Make) -> None:
    text = "from nastk import mark\n@mark.surrogate('gated')\nclass Gated: pass"
    make("acme", {"acme_gated.py": text}, {"gated": "acme_gated"})
    registry = Registry(installed())
    with pytest.raises(BrokenPlugin, match=r"acme_gated\.Gated is marked as surrogate 'gated' but is no Surrogate"):
        registry.load(Kind.SURROGATE, "gated")


@pytest.mark.parametrize("after", ["del Gated", "Gated = 3"])
def test_a_class_that_is_gone_after_import_is_refused(make: Make, after: str) -> None:
    make("acme", {"acme_gated.py": f"{GATED}\n{after}"}, {"gated": "acme_gated"})
    with pytest.raises(BrokenPlugin, match=r"acme_gated.*Gated"):
        Registry(installed()).load(Kind.SURROGATE, "gated")


@pytest.mark.parametrize(
    ("narrowed", "left"),
    [(None, {"gated", "other"}), ("", set()), ("one", {"gated"}), ("two", {"other"}), ("one, two", {"gated", "other"})],
)
def test_nastk_plugins_narrows_third_parties_only(
    make: Make, monkeypatch: pytest.MonkeyPatch, narrowed: str | None, left: set[str]
) -> None:
    make("acme", {"acme_one.py": GATED, "acme_two.py": OTHER}, {"one": "acme_one", "two": "acme_two"})
    if narrowed is not None:
        monkeypatch.setenv("NASTK_PLUGINS", narrowed)
    names = set(Registry(installed()).names(Kind.SURROGATE))
    assert names & {"gated", "other"} == left
    assert "atan" in names
    if narrowed == "one":
        with pytest.raises(UnknownName, match="NASTK_PLUGINS=one"):
            Registry(installed()).find(Kind.SURROGATE, "other")


def test_the_bundled_folders_are_plugins_like_any_other() -> None:
    mine = [source for source in installed() if source.distribution == "nastk"]
    assert {source.plugin for source in mine} == {"neurons", "attention", "strategies", "plugins"}
    registry = Registry(mine)
    assert not registry.broken
    kinds = [entry.kind for entry in registry.entries()]
    assert kinds == sorted(kinds, key=list(Kind).index)
    for entry in registry.entries():
        assert entry.summary, f"{entry.module}.{entry.attribute} has no summary"
        assert vars(registry.load(entry.kind, entry.name))["__nastk__"].name == entry.name


def test_a_distribution_found_twice_counts_once_and_the_first_wins(make: Make) -> None:
    make("acme", {"acme_gated.py": GATED}, {"gated": "acme_late"})
    make("acme", {"acme_gated.py": GATED}, {"gated": "acme_gated"})
    assert [source.module for source in installed() if source.distribution == "acme"] == ["acme_gated"]


def test_an_unknown_name_lists_near_matches_and_what_is_there() -> None:
    registry = Registry(installed())
    with pytest.raises(UnknownName) as caught:
        registry.load(Kind.NEURON, "pliff", "model.neuron")
    text = str(caught.value)
    assert text.startswith("No neuron named 'pliff' (from model.neuron). Did you mean 'plif'")
    assert "nastk plugins" in text
    assert "relu" in text
    with pytest.raises(UnknownName, match="Installed: none"):
        Registry([]).load(Kind.NEURON, "plif")


def test_a_name_is_looked_up_under_its_kind() -> None:
    with pytest.raises(UnknownName):
        Registry(installed()).find(Kind.ATTENTION, "plif")


def one(name: str, base: type = Surrogate) -> type:
    return mark.surrogate(name)(type("Made", (base,), {"__doc__": "Made here."}))


def test_offer_and_withdraw() -> None:
    registry = Registry(installed())
    made = one("made")
    before = registry.entries()
    registry.offer(made)
    assert registry.load(Kind.SURROGATE, "made") is made
    assert registry.find(Kind.SURROGATE, "made").summary == "Made here."
    again = one("made")
    registry.offer(again)
    assert registry.load(Kind.SURROGATE, "made") is again, "a cell of a notebook run twice"
    registry.withdraw(again)
    assert registry.entries() == before
    with pytest.raises(UnknownName):
        registry.load(Kind.SURROGATE, "made")


def test_an_offer_does_not_override_what_is_installed() -> None:
    registry = Registry(installed())
    registry.offer(one("atan"))
    with pytest.raises(BrokenPlugin, match=r"nastk .* and this process"):
        registry.load(Kind.SURROGATE, "atan")


def test_what_is_not_marked_cannot_be_offered() -> None:
    class Child(one("made")):  # type: ignore[misc]
        """A child does not inherit the mark."""

    registry = Registry([])
    for thing in (Neuron, Child, ModuleType("empty")):
        with pytest.raises(BrokenPlugin, match="no plug-in"):
            registry.offer(thing)


def test_offering_a_module_offers_what_it_defines_not_what_it_imports() -> None:
    registry = Registry(installed())
    module = ModuleType("notebook")
    mine, borrowed = one("mine"), registry.load(Kind.SURROGATE, "atan")
    mine.__module__ = "notebook"
    vars(module).update({"Mine": mine, "Borrowed": borrowed})
    registry.offer(module)
    assert registry.load(Kind.SURROGATE, "mine") is mine
    assert registry.load(Kind.SURROGATE, "atan") is borrowed


MADE_IN_CODE = """
from nastk import Surrogate, hookimpl, mark

def make(name):
    return mark.surrogate(name)(type(name, (Surrogate,), {"__doc__": f"Made for {name}.", "gradient": lambda self, u: u}))

@hookimpl
def nastk_classes():
    return BODY
"""


def test_classes_made_in_code_are_offered_by_the_hook(make: Make) -> None:
    text = LOUD + MADE_IN_CODE.replace("BODY", "[make('left'), make('right')]")
    root = make("acme", {"acme_made.py": text}, {"m": "acme_made"})
    registry = Registry(installed())
    assert registry.find(Kind.SURROGATE, "atan")
    assert registry.load(Kind.SURROGATE, "atan")
    assert not (root / "imported").exists(), "naming another plug-in imported it"
    loaded = registry.load(Kind.SURROGATE, "left")
    assert loaded.__name__ == "left"
    entry = registry.find(Kind.SURROGATE, "right")
    assert (entry.summary, entry.source.distribution) == ("Made for right.", "acme")
    assert {"left", "right"} <= set(registry.names(Kind.SURROGATE))


@pytest.mark.parametrize("body", ["1 / 0", "None", "[int]", "[3]", "[make('atan')]"])
def test_a_hook_that_fails_is_broken_and_the_listing_goes_on(make: Make, body: str) -> None:
    make("acme", {"acme_made.py": MADE_IN_CODE.replace("BODY", body)}, {"m": "acme_made"})
    registry = Registry(installed())
    assert registry.entries()
    assert "acme" in broken(registry, "m")
    assert registry.load(Kind.SURROGATE, "atan")


def test_a_class_both_marked_in_the_source_and_returned_by_the_hook_counts_once(make: Make) -> None:
    text = GATED + "from nastk import hookimpl\n@hookimpl\ndef nastk_classes():\n    return [Gated]\n"
    make("acme", {"acme_gated.py": text}, {"gated": "acme_gated"})
    registry = Registry(installed())
    assert registry.names(Kind.SURROGATE).count("gated") == 1
    assert not registry.broken


def test_a_hook_that_is_not_decorated_is_said_to_be(make: Make) -> None:
    text = MADE_IN_CODE.replace("BODY", "[make('left')]").replace("@hookimpl", "")
    make("acme", {"acme_made.py": text}, {"m": "acme_made"})
    registry = Registry(installed())
    assert "left" not in registry.names(Kind.SURROGATE)
    assert "hookimpl" in broken(registry, "m")


def test_two_hooks_that_make_one_name_are_an_error_that_names_both(make: Make) -> None:
    for distribution in ("acme", "bolt"):
        text = MADE_IN_CODE.replace("BODY", "[make('left')]")
        make(distribution, {f"{distribution}_made.py": text}, {"m": f"{distribution}_made"})
    with pytest.raises(BrokenPlugin, match=r"acme \(acme_made\) and bolt \(bolt_made\)"):
        Registry(installed()).load(Kind.SURROGATE, "left")


EARS = """
from nastk import hookimpl
HEARD = []

@hookimpl
def nastk_event(event):
    HEARD.append(event)
"""


def test_a_module_that_only_listens_is_loaded_for_a_run(make: Make) -> None:
    make("acme", {"acme_ears.py": EARS, "acme_deaf.py": "import nowhere\n" + EARS}, {"ears": "acme_ears", "deaf": "acme_deaf"})
    registry = Registry(installed())
    registry.entries()
    assert "acme_ears" not in sys.modules, "listing imported it"
    registry.load_listeners()
    registry.load_listeners()
    registry.hooks.hook.nastk_event(event="one")
    assert sys.modules["acme_ears"].HEARD == ["one"]
    assert "nowhere" in broken(registry, "deaf")


def test_a_hook_with_wrong_arguments_is_refused_with_the_distribution(make: Make) -> None:
    make("acme", {"acme_gated.py": GATED + EARS.replace("(event)", "(event, more)")}, {"gated": "acme_gated"})
    with pytest.raises(BrokenPlugin, match=r"acme 1\.2"):
        Registry(installed()).load(Kind.SURROGATE, "gated")


def test_trace_prints_hook_calls(make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make("acme", {"acme_ears.py": EARS, "acme_made.py": MADE_IN_CODE.replace("BODY", "[]")}, {"e": "acme_ears", "m": "acme_made"})
    for value, printed in (("1", True), ("0", False)):
        monkeypatch.setenv("NASTK_TRACE", value)
        registry = Registry(installed())
        registry.load_listeners()
        registry.entries()
        registry.hooks.hook.nastk_event(event="said")
        text = capsys.readouterr().err
        assert ("nastk_event" in text) is printed
        assert ("said" in text) is printed
        assert ("nastk_classes" in text) is printed


def test_a_source_is_a_plain_value() -> None:
    source = Source("a", "no_such_module", "acme", "1")
    assert Registry([source]).broken[0].source == Source("a", "no_such_module", "acme", "1")
