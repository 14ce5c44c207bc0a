"""The documentation says what the code does: names, settings, commands, files, links; and its examples run."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
import typer

import nastk
from nastk.cli.app import app
from nastk.core import errors, events, hookspecs
from nastk.core.describe import settings
from nastk.core.run.metrics import read
from nastk.core.types import Kind

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [*sorted(DOCS.glob("*.md")), *([README] if README.is_file() and README.read_text(encoding="utf-8").strip() else [])]
IDS = [page.name for page in PAGES]
BLOCK = re.compile(r"^```(\S*)[^\S\n]*([^\n]*)\n(.*?)^```[^\S\n]*$", re.MULTILINE | re.DOTALL)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
PAGES_OF_KINDS = (
    *("neurons", "attention", "operations", "spaces", "strategies"),
    *("datasets", "estimators", "executors", "reporters", "plugins"),
)
WARM = """
import os, runpy, signal, sys, traceback
import matplotlib.backends.backend_agg, torch._dynamo, nastk.core.run.run
for line in sys.stdin:
    path = line.strip()
    child = os.fork()
    if not child:
        signal.alarm(60)
        os.chdir(os.path.dirname(path))
        sys.stdout = sys.stderr = open(path + ".log", "w")
        try:
            runpy.run_path(path, run_name="__main__")
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""A process that has imported torch and forks once a program: the imports alone take longer than most pages."""


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def python_of(page: Path) -> str:
    """A page's blocks in one program; each keeps its line numbers, so that a failure names the line of the page."""
    source = page.read_text(encoding="utf-8")
    program: list[str] = []
    for block in BLOCK.finditer(source):
        if block[1] == "python" and "no-run" not in block[2]:
            line = source.count("\n", 0, block.start(3))
            program += [""] * (line - len(program)) + block[3].splitlines()
    return "\n".join(program) + "\n" if program else ""


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def program(name: str) -> ModuleType:
    """A program of the documentation, which writes the page of its name."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return program("reference")


@pytest.fixture(scope="module")
def execute() -> Iterator[Callable[[Path], str]]:
    """Runs a program in a process and a folder of its own; gives what went wrong, or nothing."""
    if sys.platform != "linux":  # torch does not survive a fork everywhere

        def alone(program: Path) -> str:
            command = [sys.executable, program]
            done = subprocess.run(command, cwd=program.parent, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
            return "" if done.returncode == 0 else done.stderr

        yield alone
        return
    with subprocess.Popen([sys.executable, "-c", WARM], env=ENVIRONMENT, stdin=-1, stdout=-1, text=True, bufsize=1) as warm:
        assert warm.stdin is not None
        assert warm.stdout is not None

        def forked(program: Path) -> str:
            warm.stdin.write(f"{program}\n")  # type: ignore[union-attr]
            status = warm.stdout.readline().strip()  # type: ignore[union-attr]
            return "" if status == "0" else f"status {status}: {program.with_name(program.name + '.log').read_text()}"

        yield forked
        warm.stdin.close()


@pytest.mark.parametrize("page", [p for p in PAGES if python_of(p)], ids=lambda p: p.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, execute: Callable[[Path], str]) -> None:
    program = tmp_path / page.with_suffix(".py").name
    program.write_text(python_of(page), encoding="utf-8")
    fault = execute(program)
    assert not fault, f"{page.name}: {fault}"


def test_every_page_of_a_kind_has_a_whole_example() -> None:
    for name in PAGES_OF_KINDS:
        assert re.search(r"^@mark\.\w+\(", python_of(DOCS / f"{name}.md"), re.MULTILINE), name
        assert f"({name}.md)" in text("index.md")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_fences_are_closed(page: Path) -> None:
    assert len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)) % 2 == 0


def test_reference_is_up_to_date(reference: ModuleType) -> None:
    assert text("reference.md") == reference.page(), "run: python docs/reference.py"


@pytest.mark.slow
def test_pairs_are_up_to_date() -> None:
    assert text("pairs.md") == program("pairs").page(), "run: python docs/pairs.py"


def test_reference_has_every_setting_with_its_help(reference: ModuleType) -> None:
    sections = dict(re.findall(r"^###? ([^\n]+)\n(.*?)(?=^##|\Z)", text("reference.md"), re.MULTILINE | re.DOTALL))
    configs: dict[str, Any] = {"The run file": nastk.RunConfig}
    configs |= {f"`[{name}]`": attrs.fields_dict(nastk.RunConfig)[name].default.factory for name in reference.TABLES}
    assert list(reference.TABLES) == [setting.name for setting in settings(nastk.RunConfig) if setting.settings]
    seen: dict[type, str] = {}
    for kind, name, cls in reference.bundled():
        config = vars(cls)["__nastk__"].config
        assert f"`{name}`" in text("reference.md"), name
        if config in seen:
            assert f"The same settings as `{seen[config]}`" in sections[f"{kind} `{name}`"]
        elif attrs.fields(config):
            seen[config] = name
            configs[f"{kind} `{name}`"] = config
    for heading, config in configs.items():
        for field in attrs.fields(config):
            assert field.metadata.get("help"), f"{heading}: {field.name} has no help"
            assert f"| `{field.name}` |" in sections[heading], f"{heading}: {field.name}"


def test_every_bundled_plugin_is_on_the_page_of_its_kind(reference: ModuleType) -> None:
    pages = {"neuron": "neurons", "surrogate": "neurons", "attention": "attention", "strategy": "strategies"}
    for kind, name, _ in reference.bundled():
        page = pages.get(kind, f"{kind}s")
        assert f"`{name}`" in text(f"{page}.md"), f"{kind} {name} is not in {page}.md"


def test_every_kind_and_every_hook_with_its_arguments() -> None:
    page = text("plugins.md")
    for kind in Kind:
        assert f"`{kind}`" in page, kind
    hooks = {name: f for name, f in vars(hookspecs).items() if inspect.isfunction(f) and name.startswith("nastk_")}
    assert hooks
    for name, hook in hooks.items():
        assert f"`{name}({', '.join(inspect.signature(hook).parameters)})`" in page, name


def test_every_command_and_option_is_in_the_manual() -> None:
    manual = text("manual.md")
    group: Any = typer.main.get_command(app)
    assert group.commands
    for name, command in group.commands.items():
        section = re.search(rf"^### nastk {name}\n(.*?)(?=^##)", manual, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        for parameter in command.params:
            options = [o for o in parameter.opts if o.startswith("-")]
            shown = options or [parameter.metavar or parameter.name.upper()]
            for option in shown:
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", section[1]), f"nastk {name}: {option}"
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section[1])) - {"--resume"}
        assert named <= {o for p in command.params for o in p.opts}, f"nastk {name} has no {named}"


def test_environment_variables_and_exit_codes() -> None:
    manual = text("manual.md")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nastk").rglob("*.py"))
    for variable in set(re.findall(r"""environ(?:\.get\(|\[)"(NASTK_[A-Z_]+)""", sources)):
        assert f"| `{variable}` |" in manual, variable
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, nastk.NastkError):
            assert f"\n| {error.exit_code} |" in manual


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small run."""
    directory = tmp_path_factory.mktemp("docs") / "run"
    small = {"channels": 4, "cells": 2}
    nastk.run(
        strategy={"name": "ma-darts", "epochs": 1, "warmup": 0},
        space="toy",
        dataset={"name": "synthetic", "train_images": 160, "test_images": 32},
        model=small,
        proxy=small,
        train={"epochs": 1},
        out=directory,
    )
    return directory


def test_every_field_of_a_result_is_in_the_manual(finished: Path) -> None:
    table = re.search(r"^## result.json\n(.*?)(?=^## )", text("manual.md"), re.MULTILINE | re.DOTALL)
    assert table is not None
    fields = [line.split("|")[1] for line in table[1].splitlines() if line.startswith("| `")]
    documented = set(re.findall(r"`([\w.]+)`", "\n".join(fields)))
    assert documented == set(_paths(json.loads((finished / "result.json").read_text())))


def _paths(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_file_of_a_run_is_in_the_manual(finished: Path) -> None:
    manual = text("manual.md")
    for path in finished.rglob("*"):
        if path.is_file():
            name = re.sub(r"-\d{6}", "-NNNNNN", str(path.relative_to(finished)))
            assert f"`{re.sub(r'^cell_[^.]+', 'cell_NAME', name)}`" in manual, name


def test_every_figure_of_a_search_and_every_event_is_documented(finished: Path) -> None:
    lines = read(finished / "metrics.jsonl")
    (step,) = [line for line in lines if line["event"] == "step" and line["stage"] == "search"]
    for figure in step["figures"]:
        assert f"`{figure}`" in text("strategies.md"), figure
    page = text("reporters.md")
    for line in lines:
        for name in (line["event"], *line):
            assert f"`{name}`" in page, name
    for event in vars(events).values():
        if inspect.isclass(event) and attrs.has(event):
            row = re.search(rf"^\| `{event.__name__}` \|([^|]*)\|", page, re.MULTILINE)
            assert row is not None, event
            assert re.findall(r"`(\w+)`", row[1]) == [a.name for a in attrs.fields(event)]


def _core_table() -> dict[str, tuple[str, bool]]:
    """File of nastk/core -> (floor, whether importing it may load torch), as architecture.md has it."""
    floor, found = "", {}
    for line in text("architecture.md").splitlines():
        if heading := re.match(r"\| \*\*(floor [^*]+)\*\* ", line):
            floor = heading[1]
        elif row := re.match(r"\| `([\w/]+)\.py` \| [^|]+ \|([^|]*)\|$", line):
            found[row[1].replace("/", ".")] = (floor, row[2].strip() == "yes")
    return found


def test_every_core_file_stands_on_its_floor() -> None:
    table = _core_table()
    core = ROOT / "nastk" / "core"
    paths = [path for path in core.rglob("*.py") if path.stem != "__init__"]
    files = {".".join(path.relative_to(core).with_suffix("").parts): path for path in paths}
    assert set(table) == set(files)
    order = list(dict.fromkeys(floor for floor, _ in table.values()))
    for name, path in files.items():
        for other in _imported_core(path) & set(files):
            assert order.index(table[other][0]) <= order.index(table[name][0]), f"{name} imports {other} from above"


def _imported_core(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("nastk.core."):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {name.removeprefix("nastk.core.") for name in names}
    return found


def test_torch_free_files_load_no_torch() -> None:
    free = [name for name, (_, with_torch) in _core_table().items() if not with_torch]
    imports = "; ".join(f"import nastk.core.{name}" for name in free)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was loaded"
