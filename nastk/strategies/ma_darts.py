"""MA-DARTS (Man et al., arXiv 2411.00902): differentiable search of spiking cells with attention in the space."""

from __future__ import annotations

from typing import ClassVar

from nastk.core import mark
from nastk.strategies.bilevel import Bilevel
from nastk.strategies.bilevel_config import BilevelConfig


@mark.strategy(
    "ma-darts",
    config=BilevelConfig,
    paper="Man et al., Differentiable architecture search with multi-dimensional attention for spiking neural networks, "
    "arXiv 2411.00902",
)
class MaDarts(Bilevel):
    """Multi-attention differentiable search of spiking cells (Man et al., arXiv 2411.00902).

    The bilevel rule of DARTS on a space whose edges carry attention: CBAM on the mixed current of every edge unless
    the run says otherwise. That the paper's gates are CBAM- and ECA-based is stated there; placement, neuron,
    candidates and optimiser settings are nastk's reading, marked so in the manual.
    """

    defaults: ClassVar = {"model": {"attention": "cbam"}}
