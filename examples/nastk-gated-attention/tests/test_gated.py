"""The laws of attention, and what makes this one: it starts nearly open."""

from __future__ import annotations

import torch
from nastk_gated_attention import Gated, GatedConfig

from nastk import Shape
from nastk.testing import conformance

test_gated_obeys_the_laws = conformance("attention", "gated")
test_a_closed_gate_obeys_them_too = conformance("attention", "gated", bias=-3.0)


def test_it_starts_nearly_open() -> None:
    gated = Gated(Shape(2, 3, 4, 4), GatedConfig(bias=5.0))
    torch.nn.init.zeros_(gated.gate.weight)
    x = torch.randn(2, 1, 3, 4, 4)
    torch.testing.assert_close(gated(x), x * torch.sigmoid(torch.tensor(5.0)))
