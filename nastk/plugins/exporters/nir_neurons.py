"""Spiking neurons in the numbers of NIR's equations, such that a forward Euler step of ``dt`` seconds is a time step."""

from __future__ import annotations

from typing import Any

import numpy as np

from nastk.core.model.neuron import Neuron, ThresholdNeuron
from nastk.core.registry import registry
from nastk.core.types import Kind
from nastk.plugins.exporters.tracing import leak_of


class NoForm(Exception):
    """What NIR has no form for; the message says what, where that is less than the whole layer."""


def form_of(neuron: Neuron[Any], dt: float) -> tuple[str, dict[str, float]]:
    """The class of ``nir`` (IF, LIF, CubaLIF) and its fields, the same for all neurons of the layer.

    A membrane that keeps ``1 - k`` of itself in a time step has ``tau = dt / k``. Raises :class:`NoForm` for a reset that is
    not to ``v_reset``, and for neurons of other equations.
    """
    leak, firing = leak_of(neuron), getattr(neuron, "firing", None)
    if leak is None or not isinstance(neuron, ThresholdNeuron):
        return _current_based(neuron, dt)
    _ensure_hard(firing.reset)
    numbers = _firing(firing)
    if leak.kind == "none":
        return "IF", {**numbers, "r": 1 / dt}
    steps = float(leak.k) if leak.kind == "divide" else 1 / float(leak.k)
    return "LIF", {**numbers, "tau": steps * dt, "r": 1.0 if leak.decay_input else steps, "v_leak": leak.rest}


def _current_based(neuron: Neuron[Any], dt: float) -> tuple[str, dict[str, float]]:
    entries = {entry.name for entry in registry().entries(Kind.NEURON)}
    if "cuba-lif" not in entries or not isinstance(neuron, registry().load(Kind.NEURON, "cuba-lif")):
        raise NoForm  # other equations
    config = neuron.config
    _ensure_hard(config.reset)
    if config.reset_timing == "next":
        raise NoForm("a reset that also deletes the next step's current")
    alpha, beta = (min(max(float(share), 0.0), 1.0) for share in (neuron.alpha, neuron.beta))
    if 1.0 in (alpha, beta):
        raise NoForm("a current or membrane that keeps all of itself")
    synapse, membrane = 1 / (1 - alpha), 1 / (1 - beta)  # in time steps
    scale = 1.0 if config.decay_input else membrane
    times = {"tau_syn": synapse * dt, "tau_mem": membrane * dt, "w_in": synapse, "r": scale, "v_leak": config.v_reset}
    return "CubaLIF", {**_firing(config), **times}


def _ensure_hard(reset: str) -> None:
    if reset != "hard":
        raise NoForm({"soft": "a soft reset", "none": "a membrane without reset"}[reset])


def _firing(firing: Any) -> dict[str, float]:
    """NIR fires above the threshold; at it or above is above the number below, as float32."""
    threshold = np.float32(firing.v_th)
    if firing.compare == ">=":
        threshold = np.nextafter(threshold, np.float32(-np.inf))
    return {"v_threshold": float(threshold), "v_reset": firing.v_reset}
