"""Finds plug-ins by kind and name: entry points of the group ``nastk``, the bundled folders among them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import pluggy
from attrs import evolve, frozen

from nastk.core import catalogue, hookspecs
from nastk.core.catalogue import Entry, Offer, Source
from nastk.core.errors import BrokenPlugin, UnknownName, near
from nastk.core.mark import Mark
from nastk.core.types import Kind

INTERFACES: Mapping[Kind, str] = {
    Kind.NEURON: "nastk.core.model.neuron:Neuron",
    Kind.SURROGATE: "nastk.core.model.surrogate:Surrogate",
    Kind.ATTENTION: "nastk.core.model.attention:Attention",
    Kind.OPERATION: "nastk.core.model.operation:Operation",
    Kind.SPACE: "nastk.core.cell.space:SearchSpace",
    Kind.STRATEGY: "nastk.core.run.strategy:Strategy",
    Kind.DATASET: "nastk.core.data.dataset:Dataset",
    Kind.TASK: "nastk.core.data.task:Task",
    Kind.ESTIMATOR: "nastk.core.model.estimator:Estimator",
    Kind.EXECUTOR: "nastk.core.run.executor:Executor",
    Kind.REPORTER: "nastk.core.events:Reporter",
    Kind.EXPORTER: "nastk.core.run.exporter:Exporter",
    Kind.BENCHMARK: "nastk.core.run.benchmark:Benchmark",
}


@frozen
class Broken:
    """A plug-in that cannot be read, with the reason."""

    source: Source
    reason: str


def installed() -> list[Source]:
    """Every entry point of the group; ``NASTK_PLUGINS=a,b`` keeps only these third-party ones (empty: none)."""
    narrowed = os.environ.get("NASTK_PLUGINS")
    wanted = None if narrowed is None else [name.strip() for name in narrowed.split(",")]
    found: dict[tuple[str, str], Source] = {}
    for point in entry_points(group=hookspecs.GROUP):
        name, version = (point.dist.name or "unknown", point.dist.version or "") if point.dist else ("unknown", "")
        if name == "nastk" or wanted is None or point.name in wanted:
            module = point.value.partition(":")[0].partition("[")[0].strip()
            found[name, point.name] = Source(point.name, module, name, version)
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
        self.prefer: tuple[str, ...] = ()
        """Distributions that win, in this order, where several offer one name; a run file sets it."""
        self._entries: list[Entry] = []
        self._refused: dict[tuple[Kind, str], Broken] = {}
        self._hooked: dict[str, list[tuple[Source, str]]] = {}
        for source in sources:
            self._read(source)

    def _read(self, source: Source) -> None:
        try:
            offers = catalogue.read(source)
        except (ImportError, SyntaxError, OSError, ValueError) as error:
            self.broken.append(Broken(source, f"{type(error).__name__}: {error}"))
            return
        if reason := _refusal(source, offers):
            self.broken.append(Broken(source, reason))
            self._refused |= {(e.kind, e.name): self.broken[-1] for offer in offers for e in offer.entries}
            return
        for offer in offers:
            self._entries += [entry for entry in offer.entries if not self._has(entry)]
            for hook in offer.hooks:
                self._hooked.setdefault(hook, []).append((source, offer.module))

    def _has(self, entry: Entry) -> bool:
        """Whether this very class is there already, by another entry point or by its mark."""
        place = (entry.kind, entry.name, entry.module, entry.attribute)
        return any((e.kind, e.name, e.module, e.attribute) == place for e in self._entries)

    def offer(self, *things: type | ModuleType) -> None:
        """Offer marked classes, or those that a module defines, to this process; for scripts and notebooks.

        A class offered again, as when a notebook's cell is run twice, takes the place of its predecessor. Raises
        :class:`BrokenPlugin` when nothing is marked.
        """
        for thing in things:
            classes = vars(thing).values() if isinstance(thing, ModuleType) else [thing]
            marked = [c for c in classes if isinstance(c, type) and "__nastk__" in vars(c)]
            if isinstance(thing, ModuleType):
                marked = [c for c in marked if c.__module__ == thing.__name__]  # not what it imported
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
        if not found and (kind, name) in self._refused:
            refused = self._refused[kind, name]
            what = f"The {kind} {name!r}{origin} cannot be used"
            raise BrokenPlugin(f"{what}: the plug-in {refused.source.plugin!r} {refused.reason}.")
        if not found:
            names = self.names(kind)
            hint = "" if not self.broken else f" Broken plug-ins: {', '.join(b.source.plugin for b in self.broken)}."
            narrowed = os.environ.get("NASTK_PLUGINS")
            hint += "" if narrowed is None else f" NASTK_PLUGINS={narrowed} leaves other packages out."
            raise UnknownName(
                f"No {kind} named {name!r}{origin}.{near(name, names)} Installed: {', '.join(names) or 'none'}.{hint} "
                "A plug-in package may be missing: see `nastk plugins`."
            )
        preferred = [[e for e in found if e.source.distribution == wanted] for wanted in self.prefer]
        found = next((chosen for chosen in preferred if chosen), found)
        if len(found) > 1:
            both = " and ".join(f"{e.source.distribution} ({e.module})" for e in found)
            raise BrokenPlugin(
                f"The {kind} {name!r}{origin} is offered by {both}: uninstall one, or say which in the run file, "
                f'prefer = ["{found[-1].source.distribution}"].'
            )
        return found[0]

    def load(self, kind: Kind, name: str, where: str = "") -> type[Any]:
        """The class of a plug-in, imported now if need be; raises as :meth:`find`, or :class:`BrokenPlugin`."""
        entry = self.find(kind, name, where)
        cls = entry.loaded or getattr(self._import(entry.source, entry.module), entry.attribute, None)
        if not isinstance(cls, type) or "__nastk__" not in vars(cls):
            raise BrokenPlugin(f"{entry.module} marks {entry.attribute} as {kind} {name!r}, but does not keep it once imported.")
        if kind in INTERFACES and not issubclass(cls, interface(kind)):
            wanted = interface(kind).__name__
            raise BrokenPlugin(f"{entry.module}.{entry.attribute} is marked as {kind} {name!r} but is no {wanted}.")
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

    def load_listeners(self) -> None:
        """Import the modules that implement ``nastk_event``, so that a run's events reach them; who fails is broken."""
        for source, module in self._hooked.pop("nastk_event", []):
            try:
                self._import(source, module)
            except BrokenPlugin as error:
                self.broken.append(Broken(source, str(error)))

    def _load_dynamic(self) -> None:
        made: list[Entry] = []
        for source, module in self._hooked.pop("nastk_classes", []):
            try:
                made += self._made(source, self._import(source, module))
            except BrokenPlugin as error:
                self.broken.append(Broken(source, str(error)))
        self._entries += made

    def _made(self, source: Source, module: ModuleType) -> list[Entry]:
        """What the hook ``nastk_classes`` of one module offers beyond what is written in the sources."""
        others = [plugin for plugin in self.hooks.get_plugins() if plugin is not module]
        origin = f"The hook nastk_classes of {module.__name__} ({source.distribution} {source.version})"
        try:
            answers = self.hooks.subset_hook_caller("nastk_classes", others)()
            entries = [_entry_of(cls, source) for answer in answers for cls in answer]
        except Exception as error:
            raise BrokenPlugin(f"{origin} failed: {type(error).__name__}: {error}") from error
        if not answers:
            raise BrokenPlugin(f"{origin} answers nothing: decorate it with nastk.hookimpl, and return marked classes.")
        new = [entry for entry in entries if not self._has(entry)]
        for entry in new:
            for old in self._entries:
                if (old.kind, old.name) == (entry.kind, entry.name):
                    theirs = f"{old.source.distribution} ({old.module})"
                    raise BrokenPlugin(f"{origin} makes the {entry.kind} {entry.name!r}, which {theirs} offers already.")
        return [evolve(entry, module=module.__name__) for entry in new]


def _refusal(source: Source, offers: Sequence[Offer]) -> str:
    """Why what was read is not taken; empty when it is."""
    if not any(offer.entries or offer.hooks for offer in offers):
        return f"offers nothing: no class in {source.module} is marked (see nastk.mark), and it implements no hook"
    other = next((o.interface for o in offers if o.interface not in (None, hookspecs.INTERFACE)), None)
    if other is not None:
        return (
            f"({source.distribution} {source.version}) is written for version {other} of nastk's plug-in interfaces, "
            f"and this nastk has version {hookspecs.INTERFACE}: install a release of one that fits the other"
        )
    return ""


def _entry_of(cls: type, source: Source) -> Entry:
    if not isinstance(cls, type) or "__nastk__" not in vars(cls):
        raise TypeError(f"{cls!r} is not a marked class")
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
