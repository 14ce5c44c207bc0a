"""Evolution over the inherited weights of a supernet, with a fitness that counts spikes (AutoSNN)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.run.epoch import Scores
from nastk.core.run.strategy import SearchContext
from nastk.strategies.uniform_supernet import Candidate, Draw, UniformSupernet, UniformSupernetConfig


@frozen(kw_only=True)
class OneShotEvolutionConfig(UniformSupernetConfig):
    """Settings of ``one-shot-evolution``."""

    generations: int = field(default=6, validator=ge(1), metadata={"help": "rounds of candidates; the first one is drawn"})
    population: int = field(default=16, validator=ge(1), metadata={"help": "candidates a generation"})
    crossover: float = field(
        default=0.5, validator=and_(ge(0), le(1)), metadata={"help": "share of children with two parents; the rest are mutated"}
    )
    nos_exponent: float = field(
        default=-0.08, validator=le(0), metadata={"help": "fitness is accuracy * (NoS / nos_target) ** this; 0: accuracy alone"}
    )
    nos_target: float = field(default=110_000.0, validator=gt(0), metadata={"help": "spikes an image that cost nothing"})


@mark.strategy(
    "one-shot-evolution",
    config=OneShotEvolutionConfig,
    paper="Na et al., AutoSNN: Towards Energy-Efficient Spiking Neural Networks, ICML 2022",
)
class OneShotEvolution(UniformSupernet):
    """Uniform draws train one supernet; evolution searches it by accuracy and spikes (AutoSNN, Na et al., 2022).

    The supernet and the inherited weights are those of Guo et al. (ECCV 2020). Parents are drawn from the ``kept`` best
    of all generations. Without spiking neurons the fitness is the accuracy.
    """

    config: OneShotEvolutionConfig

    @property
    def rounds(self) -> int:
        return self.config.generations

    def fitness(self, scores: Scores) -> float:
        if scores.nos is None:
            return scores.accuracy
        return float(scores.accuracy * (max(scores.nos["total"], 1.0) / self.config.nos_target) ** self.config.nos_exponent)

    def propose(self, context: SearchContext, ranked: Sequence[Candidate], draw: Draw) -> Sequence[Genotype]:
        rng = context.rng("children")
        if not ranked:
            return [draw(rng) for _ in range(self.config.population)]
        parents = [candidate.genotype for candidate in ranked]
        children = []
        for _ in range(self.config.population):
            if rng.random() < self.config.crossover:
                child = context.space.crossover(rng.choice(parents), rng.choice(parents), rng)
            else:
                child = context.space.mutate(rng.choice(parents), rng)
            children.append(child if draw.fits(child) else draw(rng))
        return children
