"""Wrong plug-ins, one fault each: the law that the fault breaks fails, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nastk import registry
from nastk.core.laws.check import check

Failed = Callable[..., dict[str, str]]


@pytest.fixture
def failed() -> Iterator[Failed]:
    """``failed(cls, **settings)``: offers a marked class and names the laws it breaks, each with the counter-example."""
    offered: list[type[Any]] = []

    def failed(cls: type[Any], **settings: Any) -> dict[str, str]:
        registry().offer(cls)
        offered.append(cls)
        mark = vars(cls)["__nastk__"]
        return {v.law: v.detail for v in check(mark.kind, mark.name, **settings) if v.outcome == "fails"}

    yield failed
    registry().withdraw(*offered)
