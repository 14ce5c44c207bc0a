"""PC-DARTS (Xu et al., ICLR 2020): a share of the channels is mixed, edges have weights of their own."""

from __future__ import annotations

from attrs import field, frozen

from nastk.core import mark
from nastk.core.model.relaxation import RelaxationConfig
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig, instead


@frozen(kw_only=True)
class PartialChannels(RelaxationConfig):
    """One channel of four is mixed."""

    partial: int = instead(RelaxationConfig, "partial", 4)


@frozen(kw_only=True)
class PcDartsConfig(BilevelConfig):
    """Settings of ``pc-darts``: those of the bilevel rule, with partial channels and a warm-up of 15 epochs in 50."""

    epochs: int = instead(BilevelConfig, "epochs", 10)
    warmup: int = instead(BilevelConfig, "warmup", 3)
    relaxation: PartialChannels = field(factory=PartialChannels, metadata={"help": "how the supernet computes its mixtures"})


@mark.strategy(
    "pc-darts",
    config=PcDartsConfig,
    paper="Xu et al., PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search, ICLR 2020",
)
class PcDarts(Bilevel):
    """Differentiable search with partial channels and edge normalisation (Xu et al., 2020)."""
