"""Everything that is bundled keeps the laws of its kind, or says which it breaks and why."""

from __future__ import annotations

import pytest

from nastk import registry
from nastk.core.catalogue import Entry
from nastk.core.laws.check import check

BUNDLED = [entry for entry in registry().entries() if entry.source.distribution == "nastk"]
FROM_DISK = {
    *("cifar10", "cifar100", "fashion-mnist", "nmnist", "cifar10-dvs", "dvs128-gesture"),
    *("latency-table", "spikenas-bench", "nas-bench-macro"),
}
"""Plug-ins whose files are not bundled: without them no law of theirs can be tried."""
ON_A_CLUSTER = {"slurm"}
"""Executors that need one, as their own tests do not."""


SLOW = {"processes", *ON_A_CLUSTER, "onnx", "torch-export"}
"""Executors whose every law starts processes anew; exporters that have torch record the network for every file."""
ENTRIES = [
    pytest.param(entry, id=f"{entry.kind}-{entry.name}", marks=pytest.mark.slow if entry.name in SLOW else ())
    for entry in BUNDLED
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_keeps_the_laws_of_its_kind(entry: Entry) -> None:
    verdicts = check(entry.kind, entry.name)
    assert verdicts
    for verdict in verdicts:
        assert verdict.outcome != "fails", f"{verdict.law}: {verdict.text} {verdict.detail}"
    if entry.name not in FROM_DISK | ON_A_CLUSTER and not all("pip install" in verdict.detail for verdict in verdicts):
        assert any(verdict.outcome == "holds" for verdict in verdicts)
