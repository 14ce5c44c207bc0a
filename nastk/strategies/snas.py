"""SNAS (Xie et al., ICLR 2019): relaxed draws, and one level for weights and architecture."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from nastk.core import mark
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig, instead
from nastk.strategies.weighting import WeightingConfig


@frozen(kw_only=True)
class Concrete(WeightingConfig):
    """Relaxed draws of one operation an edge."""

    kind: Literal["softmax", "sigmoid", "gumbel-softmax"] = instead(WeightingConfig, "kind", "gumbel-softmax")


@frozen(kw_only=True)
class SnasConfig(BilevelConfig):
    """Settings of ``snas``: those of the bilevel rule with one level and a relaxed draw."""

    levels: Literal[1, 2] = instead(BilevelConfig, "levels", 1)
    weighting: Concrete = field(factory=Concrete, metadata={"help": "how alpha becomes the weights of an edge's candidates"})


@mark.strategy("snas", config=SnasConfig, paper="Xie et al., SNAS: Stochastic Neural Architecture Search, ICLR 2019")
class Snas(Bilevel):
    """Stochastic search by the Gumbel-softmax: weights and architecture descend one loss together (Xie et al., 2019).

    Both learn on all training samples (WEIGHTS and ALPHA), as in the paper; its constraint on resources is ``penalty``.
    """
