"""A supernet that is trained by uniform draws of members, and then ranks candidates by the weights they inherit from it.

The search has two phases in one state: epochs of the supernet, in which every batch trains one drawn member (Li and
Talwalkar, UAI 2019; Guo et al., ECCV 2020), and rounds of candidates, which a strategy proposes. A candidate inherits,
its norms look at a few batches, and its fitness comes from the validation part. Nothing is trained in a round.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import torch
from attrs import evolve, field, frozen
from attrs.validators import and_, ge, gt, lt
from torch import Tensor, nn

from nastk.core.cell.cells import LAYERS
from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable
from nastk.core.data.splits import Batch
from nastk.core.errors import ConfigError, Diverged
from nastk.core.events import Progress
from nastk.core.model.network import Network
from nastk.core.model.relaxation import RelaxationConfig
from nastk.core.model.trellis import Trellis
from nastk.core.run.capture import Answer
from nastk.core.run.diagnosis import find
from nastk.core.run.epoch import Keeping, Pass, Scores, run_epoch
from nastk.core.run.optim import OptimizerState, cosine, restore, set_lr, state_of, weights_of
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial import TRIAL_SPLITS
from nastk.core.run.within import Tree
from nastk.core.seeds import seeded
from nastk.strategies.guard import History, Look, remembered
from nastk.strategies.health import Health, skip_lead
from nastk.strategies.inherited import inherited_scores
from nastk.strategies.mixing import skip_share

ONE_PATH = RelaxationConfig(paths=1)
"""Candidates without a weight are not computed."""
GUARDS = "more strategy.epochs, or a space with fewer skips to choose"
TRIES = 1000


@frozen(kw_only=True)
class UniformSupernetConfig:
    """Settings of a supernet that is trained by uniform draws."""

    epochs: int = field(default=8, validator=ge(1), metadata={"help": "epochs of the supernet"})
    batch: int = field(default=32, validator=ge(2), metadata={"help": "samples a step; each step trains one drawn member"})
    lr: float = field(default=0.1, validator=gt(0), metadata={"help": "first learning rate of the weights"})
    lr_min: float = field(default=0.001, validator=ge(0), metadata={"help": "last learning rate of the weights"})
    momentum: float = field(default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum of the weights"})
    weight_decay: float = field(default=3e-4, validator=ge(0), metadata={"help": "L2 penalty of the weights"})
    clip: float = field(default=5.0, validator=gt(0), metadata={"help": "largest gradient norm of the weights"})
    recalibration: int = field(default=4, validator=ge(1), metadata={"help": "batches a candidate's norms look at"})
    kept: int = field(default=8, validator=ge(1), metadata={"help": "best candidates that are remembered"})


@frozen
class Candidate:
    """A member that inherited, and what came of it."""

    genotype: Genotype
    fitness: float
    accuracy: float
    nos: float | None


@frozen
class SupernetState:
    """The search between two steps; ``candidates`` are tables of :class:`Candidate`, best first."""

    step: int
    weights: dict[str, Tensor]
    optimizer: OptimizerState
    candidates: list[dict[str, Any]] = field(factory=list)
    seen: list[str] = field(factory=list)
    figures: dict[str, Any] = field(factory=dict)
    history: History = field(factory=dict)


class UniformSupernet(Strategy[SupernetState]):
    """The two phases; a strategy says how many rounds there are, which candidates one has, and how fit one is."""

    requires = Relaxable
    state: ClassVar[type] = SupernetState

    def __init__(self, config: UniformSupernetConfig) -> None:
        self.config = config

    @property
    @abstractmethod
    def rounds(self) -> int:
        """How many steps rank candidates."""

    @abstractmethod
    def propose(self, context: SearchContext, ranked: Sequence[Candidate], draw: Draw) -> Sequence[Genotype]:
        """The candidates of this round, from those of the rounds before, best first."""

    def fitness(self, scores: Scores) -> float:
        """What candidates are ranked by: the validation accuracy."""
        return scores.accuracy

    @property
    def steps(self) -> int:
        return self.config.epochs + self.rounds

    def check(self, context: SearchContext) -> None:
        Draw(context, context.supernet(ONE_PATH))
        context.task.data.steps(self.config.batch, *TRIAL_SPLITS)

    def begin(self, context: SearchContext) -> SupernetState:
        return SupernetState(0, weights_of(context.supernet(ONE_PATH)), {})

    def step(self, context: SearchContext, state: SupernetState) -> SupernetState:
        supernet = context.supernet(ONE_PATH)
        supernet.load_state_dict(state.weights)
        phase = self._train if state.step < self.config.epochs else self._rank
        return phase(context, state, supernet)

    def recommend(self, context: SearchContext, state: SupernetState) -> Sequence[Genotype]:
        """Before the first round there is nothing to choose by: a draw."""
        ranked = [candidate["genotype"] for candidate in state.candidates]
        return ranked or [Draw(context, context.supernet(ONE_PATH))(context.rng("no candidate yet"))]

    def landmarks(self, state: SupernetState) -> Mapping[int, SupernetState]:
        """Behind the epochs, candidates are ranked."""
        return {0: state, self.config.epochs: evolve(state, step=self.config.epochs)}

    def figures(self, state: SupernetState) -> dict[str, Any]:
        return state.figures

    def _train(self, context: SearchContext, state: SupernetState, supernet: Network) -> SupernetState:
        """One epoch on the samples that a trial is trained on. Raises :class:`Diverged`, located."""
        work, parameters, optimizer = self._pass(context, state, supernet)
        try:
            with seeded(context.seed, "supernet", context.step):
                scores = run_epoch(work, context.emit, context.alert)
        except Diverged as error:
            supernet.load_state_dict(state.weights)
            with seeded(context.seed, "supernet", context.step):
                where = find(self._pass(context, state, supernet)[0], error, context.emit)
            raise error.adding(where) from None
        return evolve(
            state,
            step=state.step + 1,
            weights=weights_of(supernet),
            optimizer=state_of(optimizer, parameters),
            figures={"loss": scores.loss, "accuracy": scores.accuracy},
        )

    def _pass(
        self, context: SearchContext, state: SupernetState, supernet: Network
    ) -> tuple[Pass, dict[str, nn.Parameter], torch.optim.Optimizer]:
        """The epoch from its beginning, and what it changes."""
        config, data = self.config, context.task.data
        parameters = dict(supernet.named_parameters())
        optimizer = torch.optim.SGD(
            parameters.values(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True
        )
        restore(optimizer, parameters, state.optimizer)
        set_lr(optimizer, cosine(state.step, config.epochs, config.lr, config.lr_min) * context.rate)
        draw, rng, drawn = Draw(context, supernet), context.rng("paths"), 0

        def path() -> Genotype:
            nonlocal drawn
            drawn += 1
            return draw(rng)

        def tree() -> Tree:
            return {"weights": weights_of(supernet), "optimizer": state_of(optimizer, parameters), "drawn": drawn}

        def put(tree: Tree) -> None:
            supernet.load_state_dict(tree["weights"])
            restore(optimizer, parameters, tree["optimizer"])
            for _ in range(tree["drawn"]):
                path()

        def update(batch: Batch) -> Answer:
            x_TBCHW, y_B = batch
            logits = supernet(x_TBCHW, draw.weights(path()))
            loss = context.task.loss(logits, y_B)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters.values(), config.clip)
            optimizer.step()
            return loss.detach(), context.task.correct(logits.detach(), y_B), norm

        supernet.train()
        batches = data.batches(config.batch, context.seed, context.step, "weights", splits=TRIAL_SPLITS)
        keeping = Keeping(context.within, context.step, tree, put)
        steps = data.steps(config.batch, *TRIAL_SPLITS)
        return Pass(supernet, batches, steps, update, "search", state.step, keeping), parameters, optimizer

    def _rank(self, context: SearchContext, state: SupernetState, supernet: Network) -> SupernetState:
        """Score what is proposed and not known; the best stay."""
        ranked = [Candidate(**candidate) for candidate in state.candidates]
        seen = list(state.seen)
        proposed = {genotype.digest: genotype for genotype in self.propose(context, ranked, Draw(context, supernet))}
        fresh = [genotype for digest, genotype in proposed.items() if digest not in seen]
        kept = context.within.kept(context.step)
        scored: list[Any] = [] if kept is None else list(kept["scored"])
        for genotype in fresh[len(scored) :]:
            config = self.config
            scores = inherited_scores(context, supernet, genotype, TRIAL_SPLITS, config.batch, config.recalibration)
            scored.append([self.fitness(scores), scores.accuracy, None if scores.nos is None else float(scores.nos["total"])])
            context.within.offer(context.step, lambda: {"scored": scored})
            context.emit(Progress("search", len(scored) / len(fresh)))
        ranked += [Candidate(genotype, *found) for genotype, found in zip(fresh, scored, strict=True)]
        seen += [genotype.digest for genotype in fresh]
        ranked = sorted(ranked, key=lambda candidate: -candidate.fitness)[: self.config.kept]
        figures, history = self._health(context, state, ranked[0], len(seen), Draw(context, supernet))
        return evolve(
            state,
            step=state.step + 1,
            candidates=[{f: getattr(c, f) for f in ("genotype", "fitness", "accuracy", "nos")} for c in ranked],
            seen=seen,
            figures=figures,
            history=history,
        )

    def _health(
        self, context: SearchContext, state: SupernetState, best: Candidate, count: int, draw: Draw
    ) -> tuple[dict[str, Any], History]:
        """Figures of the best candidate; the signs of :mod:`nastk.strategies.health` that a member can show."""
        supernet_accuracy = state.figures.get("supernet_accuracy", state.figures.get("accuracy", best.accuracy))
        look = Look(
            epoch=state.step + 1,
            genotype=best.genotype,
            candidates={name: cell.edges[0].candidates for name, cell in draw.space.full().cells},
            weights=draw.weights(best.genotype),
            entropy=1.0,  # a uniform draw decides nothing
            accuracy=supernet_accuracy,
            valid_accuracy=best.accuracy,
        )
        history = remembered(state.history, look)
        if look.epoch == self.steps:  # the best of the first rounds are draws
            history = Health(self.steps, GUARDS).watch(look, history, context.emit)
        figures = {
            "candidates": count,
            "best_fitness": best.fitness,
            "best_accuracy": best.accuracy,
            "best_nos": best.nos,
            "supernet_accuracy": supernet_accuracy,
            "generalisation_gap": supernet_accuracy - best.accuracy,
            "skip_share": skip_share(best.genotype),
            "skip_lead": skip_lead(look),
            "genotype": best.genotype.digest,
        }
        return figures, history


class Draw:
    """Uniform draws of members that exist for this size of image, and the mixing weights at which the supernet is one."""

    def __init__(self, context: SearchContext, supernet: Network) -> None:
        space = context.space
        assert isinstance(space, Relaxable)  # the search has checked it
        self.space, self.device = space, context.task.data.device
        self.allowed = supernet.body.allowed() if isinstance(supernet.body, Trellis) else None

    def __call__(self, rng: Random) -> Genotype:
        """Raises :class:`ConfigError` where next to no member fits the images."""
        found = (self.space.sample(rng) for _ in range(TRIES))
        genotype = next((member for member in found if self.fits(member)), None)
        if genotype is None:
            raise ConfigError([f"space: none of {TRIES} drawn members fits images of this size"], "space")
        return genotype

    def fits(self, genotype: Genotype) -> bool:
        """Whether the path of layers, where it is searched, stays within what the images can be halved to."""
        if self.allowed is None:
            return True
        taken = torch.from_numpy(self.space.one_hot(genotype)[LAYERS]) > 0
        return not bool((taken & ~self.allowed).any())

    def weights(self, genotype: Genotype) -> Mapping[str, Tensor]:
        """One-hot mixing weights."""
        hot = self.space.one_hot(genotype)
        return {name: torch.from_numpy(w).to(self.device, torch.float32) for name, w in hot.items()}
