"""Who may import whom, which modules stay free of torch, and what no file may contain. Read from the source alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nastk"
SIBLINGS = ("neurons", "attention", "strategies", "plugins")
ABOVE_CORE = (*SIBLINGS, "cli", "testing", "__main__")
TORCH_FREE = (
    *("cell.graph", "cell.attended", "cell.relax", "cell.space", "cell.wiring", "cell.cells", "cell.layout", "cell.resize"),
    *("settings", "document", "catalogue", "config", "registry", "seeds", "errors", "types", "mark", "hookspecs", "events"),
)
MOST_LINES = 350
VAGUE = {"utils", "util", "helper", "helpers", "common", "base", "manager"}
RESTRICTED_READER = "nastk.plugins.datasets.python_batches"
CARRIER = "nastk.plugins.executors.carried"
EXECUTING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_bytes(), filename=str(FILES[module]))


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: no function bodies, nothing under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def imports(nodes: Iterator[ast.AST], package: str = "") -> set[str]:
    """Dotted names that these nodes import; of ``from a import b`` it is ``a.b``, relative ones made absolute."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            origin = ".".join([*outer, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def imported(module: str, *, lazily: bool = True) -> set[str]:
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    tree = tree_of(module)
    return imports(ast.walk(tree) if lazily else at_import(tree), package)


def inside(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def modules(*roots: str) -> list[str]:
    found = [module for module in FILES if inside(module, *roots)]
    assert found, f"there is nothing under {roots}"
    return found


def imported_modules(module: str) -> set[str]:
    """What importing the module runs, of this package or not: the modules named, and the packages they lie in."""
    found: set[str] = set()
    for name in imported(module, lazily=False):
        own = name if name in FILES else name.rpartition(".")[0]
        parts = (own if own in FILES else name).split(".")
        found |= {".".join(parts[: n + 1]) for n in range(len(parts))}
    return found


def way_to_torch(module: str, seen: set[str] | None = None) -> list[str]:
    """The chain of imports by which importing this module imports torch; empty when it does not."""
    seen = set() if seen is None else seen
    seen.add(module)
    reached = imported_modules(module)
    if torch := next((name for name in sorted(reached) if inside(name, "torch", "torchvision")), None):
        return [module, torch]
    for name in sorted(reached):
        if name in FILES and name not in seen and (rest := way_to_torch(name, seen)):
            return [module, *rest]
    return []


def executes(tree: ast.AST) -> list[str]:
    """What in this source could run what it reads from disk."""
    found = [name for name in imports(ast.walk(tree)) if name.partition(".")[0] in EXECUTING]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        pickled = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
        unsafe = called in {"eval", "exec", "compile", "__import__", "torch.load", "torch.hub.load"}
        loads = called in {"np.load", "numpy.load"} and not any(k.arg == "allow_pickle" for k in node.keywords)
        if unsafe or pickled or loads:
            found.append(f"{ast.unparse(node)[:60]} (line {node.lineno})")
    return found


@pytest.mark.parametrize("module", modules("nastk.core"))
def test_core_imports_nothing_above_it(module: str) -> None:
    above = [f"nastk.{name}" for name in ABOVE_CORE]
    assert not [name for name in imported(module) if inside(name, *above)]


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_a_sibling_imports_only_core_and_itself(sibling: str) -> None:
    for module in modules(f"nastk.{sibling}"):
        others = [f"nastk.{name}" for name in ABOVE_CORE if name != sibling]
        strangers = [name for name in imported(module) if inside(name, *others)]
        assert not strangers, f"{module} imports {strangers}"


def test_nobody_imports_the_face() -> None:
    face = ("nastk.cli", "nastk.__main__", "nastk.testing")
    for module in FILES:
        if not inside(module, *face):
            assert not [name for name in imported(module) if inside(name, *face)], module


@pytest.mark.parametrize("module", [*(f"nastk.core.{n}" for n in TORCH_FREE), *modules("nastk.plugins.spaces"), "nastk"])
def test_importing_it_imports_no_torch(module: str) -> None:
    chain = way_to_torch(module)
    assert not chain, " -> ".join(chain)


def test_test_tools_are_only_in_testing() -> None:
    for module in FILES:
        tools = [n for n in imported(module) if inside(n, "pytest", "_pytest", "hypothesis", "unittest")]
        assert not tools or module == "nastk.testing", f"{module} imports {tools}"


def test_torchvision_is_only_in_its_bridge_and_never_at_import() -> None:
    for module in FILES:
        bridged = [n for n in imported(module) if inside(n, "torchvision")]
        assert not bridged or module.rpartition(".")[2] == "torchvision_compat", f"{module} imports {bridged}"
        peers = [n for n in imported(module, lazily=False) if inside(n, "torchvision", "spikingjelly", "snntorch")]
        assert not peers, f"{module} imports {peers} at import"


@pytest.mark.parametrize("module", [m for m in FILES if m not in (RESTRICTED_READER, CARRIER)])
def test_nothing_read_from_disk_is_executed(module: str) -> None:
    assert not executes(tree_of(module))


def test_the_restricted_reader_only_sub_classes_the_unpickler() -> None:
    tree = tree_of(RESTRICTED_READER)
    used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pickle"}
    assert used <= {"pickle.Unpickler", "pickle.UnpicklingError"}
    assert executes(tree) == ["pickle"], "and it runs nothing else"


def test_the_carrier_touches_no_file() -> None:
    tree = tree_of(CARRIER)
    used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pickle"}
    assert used == {"pickle.dumps", "pickle.loads"}, "bytes of this run, never a file"
    assert executes(tree) == ["pickle"]


def test_files_are_short_and_named_for_what_they_are() -> None:
    long = {m: n for m, path in FILES.items() if (n := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines: {long}"
    vague = [str(p) for p in PACKAGE.rglob("*") if VAGUE & set(p.stem.lower().split("_")) and p.suffix in {"", ".py"}]
    assert not vague, vague


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f(p):\n    from marshal import loads",
        "x = eval(text)",
        "exec(text)",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_search_for_execution_finds_it(source: str) -> None:
    assert executes(ast.parse(source))


def test_the_search_for_execution_lets_plain_reading_pass() -> None:
    assert not executes(ast.parse("model.eval()\nnp.load(path, allow_pickle=False)\nre.compile(x)\njson.load(f)"))


def test_the_search_for_imports_tells_import_from_call() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "try:\n    import a.b\nexcept ImportError:\n    pass\nclass C:\n    import c\ndef f():\n    import d\nfrom .. import e"
    )
    assert imports(at_import(tree), "nastk.x.y") == {"typing.TYPE_CHECKING", "a.b", "c", "nastk.x.e"}
    assert imports(ast.walk(tree), "nastk.x.y") == {"typing.TYPE_CHECKING", "torch", "a.b", "c", "d", "nastk.x.e"}


def test_the_way_to_torch_is_found_through_other_modules() -> None:
    assert way_to_torch("nastk.neurons.lif")[-1].startswith("torch")
    assert way_to_torch("nastk.plugins.datasets.digits")
