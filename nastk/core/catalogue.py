"""Reads which plug-ins a module offers from its source, without running it.

So listing every plug-in takes milliseconds, imports no torch, and a plug-in that hangs, prints or fails at import
harms only the run that names it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from nastk.core.types import Kind

_KINDS = {kind.value for kind in Kind}


@frozen
class Source:
    """One entry point of the group ``nastk``: a plug-in's name, its module, and the distribution that brings it."""

    plugin: str
    module: str
    distribution: str
    version: str


@frozen
class Entry:
    """One plug-in as listed: enough to show it, and to load it when it is named."""

    kind: Kind
    name: str
    summary: str
    module: str
    attribute: str
    source: Source
    loaded: type | None = field(default=None, eq=False, repr=False)


@frozen
class Offer:
    """What one module file offers; ``dynamic`` when it also makes classes in code (hook ``nastk_classes``)."""

    module: str
    entries: tuple[Entry, ...]
    dynamic: bool


def read(source: Source) -> list[Offer]:
    """The offers of the source's module and, for a package, of every module below it.

    Raises ``ModuleNotFoundError`` when there is no such module and ``SyntaxError`` when a file is not Python.
    """
    return [_read_file(source, module, path) for module, path in _files(source.module)]


def _files(module: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    if not spec.submodule_search_locations:
        yield module, Path(spec.origin)
        return
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join([module, *(p for p in parts if p != "__init__")]), path


def _read_file(source: Source, module: str, path: Path) -> Offer:
    text = path.read_text(encoding="utf-8")
    if "nastk" not in text:
        return Offer(module, (), dynamic=False)
    tree = ast.parse(text, filename=str(path))
    names = _imported_from_nastk(tree)
    entries = []
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if found := _marked(decorator, names):
                kind, name = found
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                entries.append(Entry(kind, name, summary, module, node.name, source))
    dynamic = any(isinstance(node, ast.FunctionDef) and node.name == "nastk_classes" for node in tree.body)
    return Offer(module, tuple(entries), dynamic)


def _imported_from_nastk(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted origin, for what the module imports from nastk."""
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nastk":
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.asname or "nastk": a.name for a in node.names if a.name.partition(".")[0] == "nastk"}
    return names


def _marked(decorator: ast.expr, names: dict[str, str]) -> tuple[Kind, str] | None:
    if not isinstance(decorator, ast.Call) or not decorator.args:
        return None
    dotted = _dotted(decorator.func)
    first = decorator.args[0]
    if not dotted or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    root, _, rest = dotted.partition(".")
    origin = f"{names[root]}.{rest}" if root in names and rest else names.get(root, "")
    *path, last = origin.split(".")
    return (Kind(last), first.value) if last in _KINDS and "mark" in path else None


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
