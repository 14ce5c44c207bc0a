"""DARTS (Liu, Simonyan, Yang, ICLR 2019), first and second order."""

from __future__ import annotations

from nastk.core import mark
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig


@mark.strategy("darts", config=BilevelConfig, paper="Liu et al., DARTS: Differentiable Architecture Search, ICLR 2019")
class Darts(Bilevel):
    """Differentiable search of cells by bilevel optimisation (Liu, Simonyan, Yang, 2019)."""
