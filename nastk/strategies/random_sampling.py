"""Random sampling with weight sharing (Li and Talwalkar, UAI 2019): the baseline of all one-shot methods."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.strategy import SearchContext
from nastk.strategies.uniform_supernet import Candidate, Draw, UniformSupernet, UniformSupernetConfig


@frozen(kw_only=True)
class RandomSamplingConfig(UniformSupernetConfig):
    """Settings of ``random-sampling-with-weight-sharing``."""

    candidates: int = field(default=64, validator=ge(1), metadata={"help": "members that are ranked by inherited weights"})
    per_step: int = field(default=16, validator=ge(1), metadata={"help": "members that are ranked in a step"})


@mark.strategy(
    "random-sampling-with-weight-sharing",
    config=RandomSamplingConfig,
    paper="Li and Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019",
)
class RandomSamplingWithWeightSharing(UniformSupernet):
    """Uniform draws train one supernet; then drawn members are ranked by the weights they inherit (Li and Talwalkar, 2019)."""

    config: RandomSamplingConfig

    @property
    def rounds(self) -> int:
        return -(-self.config.candidates // self.config.per_step)

    def propose(self, context: SearchContext, ranked: Sequence[Candidate], draw: Draw) -> Sequence[Genotype]:
        del ranked
        rng = context.rng("candidates")
        done = (context.step - self.config.epochs) * self.config.per_step
        return [draw(rng) for _ in range(min(self.config.per_step, self.config.candidates - done))]
