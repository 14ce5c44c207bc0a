"""The hooks a plug-in module may implement beside offering its marked classes. Arguments may only be added."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

GROUP = "nastk"

INTERFACE = 1
"""Version of the interfaces. A plug-in that says ``NASTK_INTERFACE = N`` at the top of a module is refused by another."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def nastk_classes() -> Iterable[type]:  # type: ignore[empty-body]
    """Marked classes that are made in code, not written in the module's source (a bridge to another library)."""


@hookspec
def nastk_event(event: object) -> None:
    """Called with every event of a run, after the reporters. Must not raise."""
