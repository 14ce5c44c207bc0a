"""Every bundled neuron and surrogate keeps the laws of its kind, but for those that it says it breaks."""

from __future__ import annotations

import pytest

from nastk.core.laws.check import check
from nastk.core.registry import registry
from nastk.core.types import Kind

OURS = [e for e in registry().entries() if e.source.distribution == "nastk" and ".bridges." not in e.module]
NEURONS = [e.name for e in OURS if e.kind is Kind.NEURON]
SURROGATES = [e.name for e in OURS if e.kind is Kind.SURROGATE]
BROKEN = {
    "eif": {"silent_at_rest"},
    "gated-lif": {"silent_at_rest"},
    "psn": {"causal", "splittable", "fused_equals_scan", "binary"},
    "sliding-psn": {"binary"},
}
"""The laws that a neuron breaks, in some setting."""


@pytest.mark.parametrize("name", NEURONS)
def test_neuron(name: str) -> None:
    verdicts = {v.law: v for v in check(Kind.NEURON, name)}
    assert {law for law, v in verdicts.items() if v.outcome == "fails as declared"} == BROKEN.get(name, set())
    strange = [v for v in verdicts.values() if v.outcome not in ("holds", "fails as declared")]
    assert all((v.outcome, v.law, name) == ("does not apply", "binary", "relu") for v in strange), strange


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogate(name: str) -> None:
    assert {v.outcome for v in check(Kind.SURROGATE, name)} == {"holds"}
