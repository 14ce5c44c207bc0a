"""The spaces over which the laws are tested, each with a small model."""

from __future__ import annotations

from typing import Any

import pytest

from nastk.core.cell.cells import CellSpace
from nastk.testing import build_space

NEURON = {"name": "plif", "v_th": 0.1}  # fires often enough that a network's answer depends on all of it
SPACES: dict[str, dict[str, Any]] = {
    "toy": {"name": "toy"},
    "toy-searched-parts": {"name": "toy", "model": {"time_steps": {"choices": [1, 2]}, "cells": {"choices": [3, 4]}}},
    "spiking": {"name": "spiking-cells"},
    "spiking-dhs": {"name": "spiking-cells", "preset": "dhs", "nodes": 3, "decode": "dhs"},
    "spiking-snas": {"name": "spiking-cells", "preset": "snas", "sharing": "shared"},
    "spiking-autosnn": {"name": "spiking-cells", "preset": "autosnn", "membrane": "op", "nodes": 3},
    "spiking-darts": {"name": "spiking-cells", "preset": "darts", "degree": 3, "nodes": 3},
    "spiking-per-cell": {"name": "spiking-cells", "sharing": "per_cell", "nodes": 2},
    "spiking-searched": {"name": "spiking-cells", "layer_level": "searched", "nodes": 2, "model": {"cells": 4}},
    "spiking-searched-shared": {
        "name": "spiking-cells",
        "layer_level": "searched",
        "sharing": "shared",
        "nodes": 2,
        "model": {"cells": 4},
    },
    "spiking-edge": {"name": "spiking-cells", "wiring": "edge", "nodes": 2},
    "darts": {"name": "darts-cells"},
    "darts-complete": {
        "name": "darts-cells",
        "sharing": "per_cell",
        "wiring": "complete",
        "operations": ["none", "skip_connect", "max_pool_3x3", "dil_conv_3x3"],
    },
    "nas-bench-201": {"name": "nas-bench-201"},
    "spikenas": {"name": "spikenas"},
    "macro": {"name": "macro", "model": {"cells": 8}},
}


def small(spec: dict[str, Any], **model: Any) -> CellSpace:
    """The space of a specification, its networks narrow and short."""
    settings = {key: value for key, value in spec.items() if key != "model"}
    table = {"channels": 2, "cells": 3, "neuron": NEURON, **spec.get("model", {}), **model}
    found: CellSpace = build_space(**settings, model=table)
    return found


@pytest.fixture(scope="session", params=SPACES.values(), ids=SPACES.keys())
def spec(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The specification of a space."""
    found: dict[str, Any] = request.param
    return found


@pytest.fixture(scope="session")
def space(spec: dict[str, Any]) -> CellSpace:
    """One of the spaces."""
    return small(spec)


@pytest.fixture(scope="session")
def toy() -> CellSpace:
    """The space that is small enough to visit whole: 64 members."""
    return small(SPACES["toy"])


@pytest.fixture(scope="session")
def build() -> Any:
    """:func:`small`, for a test that needs other parts of the model."""
    return small
