"""GDAS (Dong and Yang, CVPR 2019): one drawn operation on each edge for every half step."""

from __future__ import annotations

from attrs import field, frozen

from nastk.core import mark
from nastk.core.model.relaxation import RelaxationConfig
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig, instead


@frozen(kw_only=True)
class OnePath(RelaxationConfig):
    """One candidate is drawn on every edge."""

    paths: int = instead(RelaxationConfig, "paths", 1)


@frozen(kw_only=True)
class GdasConfig(BilevelConfig):
    """Settings of ``gdas``: those of the bilevel rule, with one drawn path."""

    relaxation: OnePath = field(factory=OnePath, metadata={"help": "how the supernet computes its mixtures"})


@mark.strategy(
    "gdas", config=GdasConfig, paper="Dong and Yang, Searching for a Robust Neural Architecture in Four GPU Hours, CVPR 2019"
)
class Gdas(Bilevel):
    """Differentiable search by hard Gumbel draws: one operation an edge is computed at a time (Dong and Yang, 2019)."""
