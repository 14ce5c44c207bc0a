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
VERSION = "NASTK_INTERFACE"


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
    """What one module file offers: marked classes, the hooks it implements (functions named ``nastk_...``), and the
    version of the interfaces that it was written for, where it says so (``NASTK_INTERFACE = 1``)."""

    module: str
    entries: tuple[Entry, ...]
    hooks: frozenset[str]
    interface: int | None = None


def read(source: Source) -> list[Offer]:
    """The offers of the source's module and, for a package, of every module below it.

    Raises ``ImportError`` when there is no such module or no source of it, ``SyntaxError`` when a file is not Python,
    and ``ValueError`` when a mark's name is not written out.
    """
    return [_read_file(source, module, path) for module, path in _files(source.module)]


def _files(module: str) -> Iterator[tuple[str, Path]]:
    """Names and paths of the module and all below it. ``find_spec`` of a dotted name would import the parent."""
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    roots = [Path(folder) for folder in spec.submodule_search_locations or ()]
    file = Path(spec.origin or "")
    for part in below:
        file = next((f for folder in roots if (f := folder / f"{part}.py").is_file()), Path())
        roots = [inner for folder in roots if (inner := folder / part).is_dir()]
        if any((root / "__init__.py").is_file() for root in roots):
            file = Path()
        if not roots and not file.name:
            raise ModuleNotFoundError(f"No module named {module!r}")
    if roots and (not below or not file.name):
        for root in roots:
            for path in sorted(root.rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                yield ".".join([module, *(p for p in parts if p != "__init__")]), path
    elif file.suffix == ".py":
        yield module, file
    else:
        raise ImportError(f"The module {module!r} has no Python source to read")


def _read_file(source: Source, module: str, path: Path) -> Offer:
    text = path.read_bytes()  # the parser knows byte order marks and coding lines
    if b"nastk" not in text and VERSION.encode() not in text:
        return Offer(module, (), frozenset())
    tree = ast.parse(text, filename=str(path))
    names = _imported_from_nastk(tree)
    entries = []
    statements = list(_statements(tree.body))
    for node in statements:
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if kind := _kind(decorator, names):
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                entries.append(Entry(kind, _name(decorator, path), summary, module, node.name, source))
    functions = {node.name for node in statements if isinstance(node, ast.FunctionDef)}
    hooks = frozenset(name for name in functions if name.startswith("nastk_"))
    return Offer(module, tuple(entries), hooks, _interface(statements))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import, those inside ``if``, ``try`` and ``with`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            inner = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            inner += [handler.body for handler in getattr(node, "handlers", [])]
            for block in inner:
                yield from _statements(block)


def _interface(statements: list[ast.stmt]) -> int | None:
    """The number that ``NASTK_INTERFACE = N`` gives; None where nothing is said."""
    for node in statements:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == VERSION:
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, int):
                return node.value.value
            raise ValueError(f"line {node.lineno}: {VERSION} must be a whole number")
    return None


def _imported_from_nastk(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted origin, for what the module imports from nastk."""
    names: dict[str, str] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nastk":
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.partition(".")[0] == "nastk"]
            names |= {alias.asname or "nastk": alias.name if alias.asname else "nastk" for alias in ours}
    return names


def _kind(decorator: ast.expr, names: dict[str, str]) -> Kind | None:
    """The kind that a decorator marks; None when it is no mark of nastk's."""
    dotted = _dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    root, dot, rest = dotted.partition(".")
    module, _, last = f"{names.get(root, '')}{dot}{rest}".rpartition(".")
    return Kind(last) if last in _KINDS and module in ("nastk.mark", "nastk.core.mark") else None


def _name(decorator: ast.expr, path: Path) -> str:
    """The name that a mark gives; it has to be a plain string, for the source is read and not run."""
    if isinstance(decorator, ast.Call):
        given = [*decorator.args[:1], *(k.value for k in decorator.keywords if k.arg == "name")]
        if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            return given[0].value
    raise ValueError(
        f"{path.name}, line {decorator.lineno}: the name in @{ast.unparse(decorator)} must be written out as a string; "
        "offer classes that are made in code by the hook nastk_classes"
    )


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
