"""Finds plug-ins by kind and name: entry points of the group ``nastk``, the bundled folders among them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen

from nastk.core import catalogue, hookspecs
from nastk.core.catalogue import Entry, Source
from nastk.core.errors import BrokenPlugin, UnknownName, near
from nastk.core.mark import Mark
from nastk.core.types import Kind

INTERFACES: Mapping[Kind, str] = {
    Kind.NEURON: "nastk.core.neuron:Neuron",
    Kind.SURROGATE: "nastk.core.surrogate:Surrogate",
    Kind.ATTENTION: "nastk.core.attention:Attention",
    Kind.OPERATION: "nastk.core.operation:Operation",
    Kind.SPACE: "nastk.core.space:SearchSpace",
    Kind.STRATEGY: "nastk.core.strategy:Strategy",
    Kind.DATASET: "nastk.core.dataset:Dataset",
    Kind.ESTIMATOR: "nastk.core.estimator:Estimator",
    Kind.EXECUTOR: "nastk.core.executor:Executor",
    Kind.REPORTER: "nastk.core.events:Reporter",
}


@frozen
class Broken:
    """A plug-in that cannot be read, with the reason."""

    source: Source
    reason: str


def installed() -> list[Source]:
    """Every entry point of the group; ``NASTK_PLUGINS=a,b`` keeps only these third-party ones (empty: none)."""
    wanted = os.environ.get("NASTK_PLUGINS")
    found = {}
    for point in entry_points(group=hookspecs.GROUP):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
        if name == "nastk" or wanted is None or point.name in wanted.split(","):
            found[name, point.name] = Source(point.name, point.value, name, version)
    return [found[key] for key in sorted(found, key=lambda k: (k[0] != "nastk", k))]


class Registry:
    """The plug-ins of a list of sources. Listing reads source files; only what is named gets imported."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.hooks = pluggy.PluginManager(hookspecs.GROUP)
        self.hooks.add_hookspecs(hookspecs)
        if os.environ.get("NASTK_TRACE") == "1":
            self.hooks.trace.root.setwriter(lambda text: sys.stderr.write(text))
            self.hooks.enable_tracing()
        self.broken: list[Broken] = []
        self._entries: list[Entry] = []
        self._dynamic: list[tuple[Source, str]] = []
        for source in sources:
            self._read(source)

    def _read(self, source: Source) -> None:
        try:
            offers = catalogue.read(source)
        except (ImportError, SyntaxError, OSError, ValueError) as error:
            self.broken.append(Broken(source, f"{type(error).__name__}: {error}"))
            return
        for offer in offers:
            self._entries += offer.entries
            if offer.dynamic:
                self._dynamic.append((source, offer.module))

    def offer(self, *things: type | ModuleType) -> None:
        """Offer marked classes, or all marked classes of a module, to this process; for scripts and notebooks."""
        for thing in things:
            classes = vars(thing).values() if isinstance(thing, ModuleType) else [thing]
            marked = [c for c in classes if isinstance(c, type) and "__nastk__" in vars(c)]
            if not marked:
                raise BrokenPlugin(f"{thing!r} is no plug-in: no class in it is marked (see nastk.mark).")
            source = Source("offered", marked[0].__module__, "this process", "")
            for entry in (_entry_of(c, source) for c in marked):
                self._entries = [e for e in self._entries if (e.source, e.kind, e.name) != (source, entry.kind, entry.name)]
                self._entries.append(entry)

    def withdraw(self, *classes: type) -> None:
        """Take back what :meth:`offer` offered."""
        self._entries = [e for e in self._entries if e.loaded not in classes]

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        """All plug-ins, or those of a kind, sorted by kind and name."""
        self._load_dynamic()
        chosen = [e for e in self._entries if kind in (None, e.kind)]
        return sorted(chosen, key=lambda e: (list(Kind).index(e.kind), e.name))

    def names(self, kind: Kind) -> list[str]:
        """The names of a kind, sorted."""
        return [e.name for e in self.entries(kind)]

    def find(self, kind: Kind, name: str, where: str = "") -> Entry:
        """The one plug-in of this kind and name; ``where`` says which setting asked for it.

        Raises :class:`UnknownName` (near matches named) or :class:`BrokenPlugin` (two distributions offer the name).
        """
        found = [e for e in self._entries if (e.kind, e.name) == (kind, name)]
        if not found:
            found = [e for e in self.entries(kind) if e.name == name]
        origin = f" (from {where})" if where else ""
        if not found:
            names = self.names(kind)
            hint = "" if not self.broken else f" Broken plug-ins: {', '.join(b.source.plugin for b in self.broken)}."
            raise UnknownName(
                f"No {kind} named {name!r}{origin}.{near(name, names)} Installed: {', '.join(names) or 'none'}.{hint} "
                "A plug-in package may be missing: see `nastk plugins`."
            )
        if len(found) > 1:
            both = " and ".join(f"{e.source.distribution} ({e.module})" for e in found)
            raise BrokenPlugin(f"The {kind} {name!r}{origin} is offered by {both}: uninstall one, or narrow NASTK_PLUGINS.")
        return found[0]

    def load(self, kind: Kind, name: str, where: str = "") -> type[Any]:
        """The class of a plug-in, imported now if need be; raises as :meth:`find`, or :class:`BrokenPlugin`."""
        entry = self.find(kind, name, where)
        cls = entry.loaded or getattr(self._import(entry.source, entry.module), entry.attribute)
        if kind in INTERFACES and not issubclass(cls, interface(kind)):
            raise BrokenPlugin(f"{entry.module}.{entry.attribute} is marked as {kind} {name!r} but is no {interface(kind).__name__}.")
        return cls

    def _import(self, source: Source, module: str) -> ModuleType:
        try:
            loaded = importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise BrokenPlugin(
                f"The plug-in {source.plugin!r} ({source.distribution} {source.version}) cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not self.hooks.is_registered(loaded):
            try:
                self.hooks.register(loaded, name=module)
            except pluggy.PluginValidationError as error:
                raise BrokenPlugin(f"The plug-in {source.plugin!r} ({source.distribution} {source.version}): {error}") from error
        return loaded

    def _load_dynamic(self) -> None:
        waiting, self._dynamic = self._dynamic, []
        for source, module in waiting:
            try:
                for cls in self._import(source, module).nastk_classes():
                    self._entries.append(_entry_of(cls, source))
            except BrokenPlugin as error:
                self.broken.append(Broken(source, str(error)))


def _entry_of(cls: type, source: Source) -> Entry:
    mark: Mark = vars(cls)["__nastk__"]
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return Entry(mark.kind, mark.name, summary, cls.__module__, cls.__qualname__, source, cls)


def interface(kind: Kind) -> type[Any]:
    """The class that every plug-in of the kind derives from. Imports torch for most kinds."""
    module, _, name = INTERFACES[kind].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


_shared: Registry | None = None


def registry() -> Registry:
    """The process's registry, read from the installed entry points on first use."""
    global _shared
    if _shared is None:
        _shared = Registry(installed())
    return _shared
