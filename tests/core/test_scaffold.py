"""``nastk new``: what it writes works at once, for every kind, and what it refuses leaves nothing behind."""

from __future__ import annotations

import ast
import builtins
import contextlib
import errno
import importlib
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import nastk
from nastk import Kind, registry
from nastk.cli.app import app
from nastk.core import hookspecs, scaffold
from nastk.core.catalogue import Source, read
from nastk.core.config import unstructure
from nastk.core.errors import NastkError, OutputError, UnknownName
from nastk.core.laws.law import book
from nastk.core.run.runfile import FLAGS, configure

ROOT = Path(__file__).parents[2]
KINDS = list(Kind)
BROKEN = {
    Kind.NEURON: ("self.decay * (v_BF - self.rest)", "(v_BF - self.rest)"),
    Kind.SURROGATE: ("config.area / ", "1.0 / "),
    Kind.ATTENTION: ("mean(dim=(-2, -1))", "mean(dim=(-3, -2, -1))[..., None]"),
    Kind.OPERATION: ("gcd(channels, self.groups)", "1"),
    Kind.SPACE: ("node + 1, mixture", "config.length, mixture"),
    Kind.STRATEGY: ("space.mutate(state.best, rng) if state.best else space.sample(rng)", "space.sample(rng)"),
    Kind.DATASET: ("angle_N.cos()", "angle_N.sin()"),
    Kind.TASK: ("** self.gamma", "** 1.0"),
    Kind.ESTIMATOR: ("edge.op not in self.free", "edge.op in self.free"),
    Kind.EXECUTOR: ("1 + self.config.retries", "1"),
    Kind.REPORTER: ("delimiter=self.config.separator", 'delimiter=","'),
    Kind.EXPORTER: ("np.array(trained.std)", "np.array(trained.mean)"),
    Kind.BENCHMARK: ('"conv_3x3": 4.0', '"conv_3x3": 0.5'),
}
"""A change in the module of each kind that the package's own test of its meaning has to see."""


def called(kind: Kind, first: str) -> str:
    return f"{first}_operation" if kind is Kind.OPERATION else f"{first}-{kind}"


@contextlib.contextmanager
def offered(package: Path) -> Iterator[str]:
    """The package as if it were installed; gives the name of its module."""
    module = next(package.glob("nastk_*.py")).stem
    sys.path.insert(0, str(package))
    loaded = importlib.import_module(module)
    registry().offer(loaded)
    yield module
    registry().withdraw(*vars(loaded).values())
    sys.path.remove(str(package))
    del sys.modules[module]


def own_tests(package: Path, *options: str) -> tuple[int, str]:
    """Exit code and output of pytest on the package, in this process."""
    out = io.StringIO()
    place = ["--rootdir", str(package), "-c", str(package / "pyproject.toml"), str(package / "tests")]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", *options, *place])
    return int(code), out.getvalue()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A package of every kind."""
    folder = tmp_path_factory.mktemp("packages")
    return {kind: nastk.new(kind.value, called(kind, "own"), folder / kind.value) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_its_tests_pass_at_once(packages: dict[Kind, Path], kind: Kind) -> None:
    with offered(packages[kind]):
        code, told = own_tests(packages[kind])
    assert code == 0, told
    passed, skipped = (int(found[1]) if (found := re.search(rf"(\d+) {word}", told)) else 0 for word in ("passed", "skipped"))
    assert passed + skipped == len(book(kind).laws) + 1
    assert passed > len(book(kind).laws) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_checks_and_describes_it(packages: dict[Kind, Path], kind: Kind) -> None:
    name = called(kind, "own")
    with offered(packages[kind]) as module:
        checked = CliRunner().invoke(app, ["check", kind.value, name, "--law", book(kind).laws[0].name])
        described = nastk.describe(kind, name)
    assert checked.exit_code == 0, checked.output
    assert "holds" in checked.output
    assert described.summary.endswith(".")
    assert described.module == module
    assert all(setting.help for setting in described.settings)
    assert bool(described.settings) == (kind is not Kind.OPERATION)


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_test_sees_another_meaning(tmp_path: Path, kind: Kind) -> None:
    package = nastk.new(kind, called(kind, "broken"), tmp_path / "package")
    (path,) = package.glob("nastk_*.py")
    source = path.read_text()
    old, new = BROKEN[kind]
    assert old in source
    path.write_text(source.replace(old, new))
    with offered(package):
        code, told = own_tests(package, "-k", "not test_laws")
    assert (code, "1 failed" in told) == (1, True), told


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_by_its_entry_point(
    packages: dict[Kind, Path], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, package = called(kind, "own"), packages[kind]
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == (f"nastk-{name.replace('_', '-')}", "0.1.0")
    assert project["optional-dependencies"] == {"test": ["nastk[test]"]}
    ((point, module),) = project["entry-points"]["nastk"].items()
    assert point == name
    monkeypatch.syspath_prepend(str(package))
    (offer,) = read(Source(point, module, project["name"], project["version"]))
    assert [(entry.kind, entry.name) for entry in offer.entries] == [(kind, name)]
    assert offer.interface == hookspecs.INTERFACE


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_says_how_to_use_it(packages: dict[Kind, Path], kind: Kind) -> None:
    name = called(kind, "own")
    readme = (packages[kind] / "README.md").read_text()
    assert f"nastk check {kind} {name}\n" in readme
    (command,) = re.findall(r"^nastk (?:run|export) .*$", readme, re.MULTILINE)
    _, verb, *words = shlex.split(command)
    if verb == "export":
        assert (kind, words) == (Kind.EXPORTER, ["RUN_DIR", "--to", name])
        return
    given_ = list(zip(words[::2], words[1::2], strict=True))
    flags = {option.removeprefix("--"): value for option, value in given_ if option != "--set"}
    assert set(flags) <= set(FLAGS)
    with offered(packages[kind]):
        config = configure(None, [value for option, value in given_ if option == "--set"], **flags)
    assert f"'{name}'" in str(unstructure(config))


def test_ruff_finds_nothing(packages: dict[Kind, Path]) -> None:
    pytest.importorskip("ruff")
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    words = ["--isolated", "--line-length=130", "--target-version=py311", f"--ignore={','.join(rules['ignore'])}"]
    for package in packages.values():
        command = [sys.executable, "-m", "ruff", "check", *words, f"--select={','.join(rules['select'])}", "."]
        done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


MOVING = 4
"""All four files are written, and two are in their place."""
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,6}){0,2}", fullmatch=True)


@given(NAMES)
@example("none")
@example("z" * scaffold.LONGEST)
@example("import")
@example("threshold-neuron")
@example("attention")
@example("task")
@example("search-context")
@example("exception")
@settings(deadline=None, max_examples=30)
def test_every_name_gives_python_that_says_what_it_means(name: str) -> None:
    for kind in KINDS:
        for path, text in scaffold.package(kind, name).items():
            assert "$" not in text
            assert path == "README.md" or max(map(len, text.splitlines())) <= 130
            if path.endswith(".toml"):
                assert list(tomllib.loads(text)["project"]["entry-points"]["nastk"]) == [name]
            elif path.endswith(".py"):
                tree = ast.parse(text)
                made = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
                origins = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
                taken = {alias.name for node in origins for alias in node.names} | set(dir(builtins))
                assert len(made) == len(set(made) - taken)


def test_a_class_that_would_hide_an_import_is_named_otherwise(tmp_path: Path) -> None:
    package = nastk.new("executor", "exception", tmp_path / "package")
    with offered(package):
        assert own_tests(package)[0] == 0


@pytest.mark.parametrize("name", ["", "Two", "2d", "a b", "a_b", "a--b", "-a", "a-", "a.b", "../a", "ä", "a\n", "a" * 41, "a|b"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NastkError, match="is no name for a plug-in"):
        nastk.new("neuron", name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


def test_other_refusals_are_sentences(tmp_path: Path) -> None:
    target = tmp_path / "package"
    with pytest.raises(UnknownName, match="Did you mean 'neuron'"):
        nastk.new("neurone", "own", target)
    with pytest.raises(NastkError, match="There is neuron 'plif' already, from nastk "):
        nastk.new("neuron", "plif", target)
    assert nastk.new("attention", "plif", tmp_path / "other").is_dir(), "the name is taken for neurons only"
    with pytest.raises(NastkError, match="choose another name"):
        nastk.new("operation", "skip_connect", target)
    result = CliRunner().invoke(app, ["new", "neuron", "Plif", str(target)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert not target.exists()


def test_a_package_of_that_name_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "nastk_own_thing-3.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nastk-own-thing\nVersion: 3.2\n")
    monkeypatch.syspath_prepend(str(info.parent))
    with pytest.raises(NastkError, match=r"A package nastk-own-thing 3\.2 is installed already"):
        nastk.new("operation", "own_thing", tmp_path / "package")


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "kept.txt").write_text("kept")
    file.write_text("kept")
    for place, reason in ((full, "is not empty"), (file, "is no directory"), (file / "below", "cannot be written")):
        with pytest.raises(OutputError, match=reason):
            nastk.new("neuron", "own", place)
    assert {path.name for path in tmp_path.rglob("*")} == {"full", "kept.txt", "file"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("place", "after"), [*((place, n) for place in ("empty", "new", "one/two/three") for n in range(3)), ("empty", MOVING)]
)
def test_a_full_disk_or_an_interrupt_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str, after: int
) -> None:
    (tmp_path / "empty").mkdir()
    write, replace, calls = Path.write_text, Path.replace, []

    def fails(self: Path, *args: str, **options: str) -> int:
        calls.append(self)
        if len(calls) > after:
            raise error
        return write(self, *args, **options)

    def moves(self: Path, target: Path) -> Path:
        if len(list(target.parent.glob("[!.]*"))) == 2:
            raise error
        return replace(self, target)

    if after == MOVING:
        monkeypatch.setattr(Path, "replace", moves)
    else:
        monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises((OutputError, KeyboardInterrupt)) as raised:
        nastk.new("neuron", "own", tmp_path / place)
    if isinstance(error, OSError):
        assert "No space left on device" in str(raised.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_an_empty_directory_is_filled_and_stays_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tmp_path.stat().st_ino
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new", "surrogate", "own", "."])
    assert result.exit_code == 0, result.output
    assert "nastk check surrogate own" in result.stdout
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {"pyproject.toml", "README.md", "nastk_own.py", "tests/test_own.py"}
    assert all(name in result.stdout for name in made)
    assert tmp_path.stat().st_ino == before


def test_templates_are_no_plugins() -> None:
    assert not [entry for entry in registry().entries() if "$" in entry.name]
    assert not [broken for broken in registry().broken if broken.source.distribution == "nastk"]
    templates = {path.name for path in (ROOT / "nastk" / "core" / "templates").iterdir()}
    wanted = {f"{first}{kind}.py.template" for kind in KINDS for first in ("", "test_")}
    assert templates == wanted | {"pyproject.toml.template", "README.md.template"}
