"""NSGA-II: evolution towards the front of several objectives."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge, le, min_len

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.config import EstimatorPart
from nastk.core.errors import ConfigError, NastkError
from nastk.core.run.strategy import AskTell, SearchContext
from nastk.core.run.trial import Proposal, Report
from nastk.strategies.best import Best, best_of, heard, progress, untried
from nastk.strategies.pareto import crowding, dominates, fronts, hypervolume

MAXIMISED = ("accuracy",)
"""All other objectives are minimised."""


@frozen(kw_only=True)
class Nsga2Config:
    """Settings of ``nsga2``. ``objectives`` are figures of a trial or names of estimators; accuracy is maximised."""

    objectives: tuple[str, ...] = field(
        default=("accuracy", "parameters"),
        validator=min_len(1),
        metadata={"help": "figures of a trial (nos, seconds) or estimators; accuracy is maximised, all else minimised"},
    )
    trials: int = field(default=40, validator=ge(1), metadata={"help": "candidates that are proposed"})
    epochs: int = field(default=4, validator=ge(1), metadata={"help": "epochs that a candidate is trained"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "candidates a step, at most to the end of the generation"})
    population: int = field(default=10, validator=ge(2), metadata={"help": "parents, and children a generation"})
    crossover: float = field(default=0.9, validator=[ge(0), le(1)], metadata={"help": "probability that a child has two parents"})
    reference: tuple[float, ...] = field(
        default=(), metadata={"help": "a bound for each objective: report the hypervolume up to there"}
    )

    def __attrs_post_init__(self) -> None:
        names = ", ".join(self.objectives)
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: one is named twice: {names}")
        if len(self.reference) not in (0, len(self.objectives)):
            raise ValueError(f"reference: {len(self.reference)} numbers, expected none or one for each of {names}")


@frozen
class Generation(Best):
    """Parents with rank and crowding distance, their children so far, and the front of all that was tried."""

    members: Sequence[Genotype] = ()
    costs: Sequence[Sequence[float]] = ()
    """Objectives as they are minimised: accuracy with a minus."""
    ranks: Sequence[int] = ()
    distances: Sequence[float] = ()
    children: Sequence[Genotype] = ()
    child_costs: Sequence[Sequence[float]] = ()
    born: int = 0
    """Trials of this generation, failed ones too."""
    front: Sequence[Genotype] = ()
    front_costs: Sequence[Sequence[float]] = ()
    front_accuracies: Sequence[float] = ()


@mark.strategy(
    "nsga2",
    config=Nsga2Config,
    paper="Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEVC 2002",
)
class Nsga2(AskTell[Generation]):
    """Several objectives at once: non-dominated sorting, crowding distance, elitism; recommends the front (Deb et al., 2002).

    Parents win binary tournaments by rank, then by crowding distance. A child takes every decision from one of two
    parents with probability ``crossover``, else all from one; then each decision with a choice changes with probability
    one over their number. Children that were tried before are bred again, up to a number of times. Failed trials, and
    those with an objective that is not finite, have no place in the population. The recommended front is that of all
    trials, the most accurate first.
    """

    state = Generation

    def __init__(self, config: Nsga2Config) -> None:
        self.config = config

    @property
    def steps(self) -> int:
        whole, rest = divmod(self.config.trials, self.config.population)
        return whole * -(-self.config.population // self.config.batch) + -(-rest // self.config.batch)

    def begin(self, context: SearchContext) -> Generation:  # noqa: ARG002  the interface's arguments
        return Generation()

    def ask(self, context: SearchContext, state: Generation) -> Sequence[Proposal]:
        rng = context.rng("breed")
        count = min(self.config.batch, self.config.trials - state.trials, self.config.population - state.born)
        found: list[Proposal] = []
        for _ in range(count):
            found.append(untried(context, lambda: self._child(context, state, rng), self.config.epochs, found))
        return found

    def _child(self, context: SearchContext, state: Generation, rng: random.Random) -> Genotype:
        space = context.space
        if not state.members:
            return space.sample(rng)
        child = self._winner(state, rng)
        if rng.random() < self.config.crossover:
            child = space.crossover(child, self._winner(state, rng), rng)
        choice = list(space.encode(child))
        open_ = [(i, len(decision.options)) for i, decision in enumerate(space.decisions) if len(decision.options) > 1]
        for i, options in open_:
            if rng.random() * len(open_) < 1:
                choice[i] = (choice[i] + rng.randrange(1, options)) % options
        return space.decode(choice)

    def _winner(self, state: Generation, rng: random.Random) -> Genotype:
        pair = [rng.randrange(len(state.members)) for _ in range(2)]
        return state.members[min(pair, key=lambda i: (state.ranks[i], -state.distances[i]))]

    def tell(self, context: SearchContext, state: Generation, reports: Sequence[Report]) -> Generation:
        state = heard(state, reports, born=state.born + len(reports))
        for report in reports:
            costs = self._costs(context, report) if report.failure is None else [math.nan]
            if all(map(math.isfinite, costs)):
                state = _with_child(state, report, costs)
        return self._selected(state) if state.born >= self.config.population else state

    def _costs(self, context: SearchContext, report: Report) -> list[float]:
        values = [(name, objective(context, report, name)) for name in self.config.objectives]
        return [-value if name in MAXIMISED else value for name, value in values]

    def _selected(self, state: Generation) -> Generation:
        """The next parents: whole fronts while there is room, of the last one those with the most space around."""
        members, costs = [*state.members, *state.children], [*state.costs, *state.child_costs]
        chosen: list[tuple[int, int, float]] = []
        for rank, front in enumerate(fronts(costs)):
            distances = crowding([costs[i] for i in front])
            ranked = sorted(zip(front, distances, strict=True), key=lambda pair: -pair[1])
            chosen += [(i, rank, distance) for i, distance in ranked[: self.config.population - len(chosen)]]
        return evolve(
            state,
            members=[members[i] for i, _, _ in chosen],
            costs=[costs[i] for i, _, _ in chosen],
            ranks=[rank for _, rank, _ in chosen],
            distances=[distance for _, _, distance in chosen],
            children=[],
            child_costs=[],
            born=0,
        )

    def recommend(self, context: SearchContext, state: Generation) -> Sequence[Genotype]:
        order = sorted(range(len(state.front)), key=lambda i: -state.front_accuracies[i])
        return [state.front[i] for i in order] or best_of(context, state)

    def figures(self, state: Generation) -> dict[str, Any]:
        """``front``: digest and objectives of each candidate, the most accurate first, in the units of the objectives."""
        names, found = self.config.objectives, []
        for genotype, costs, accuracy in zip(state.front, state.front_costs, state.front_accuracies, strict=True):
            values = {name: -cost if name in MAXIMISED else cost for name, cost in zip(names, costs, strict=True)}
            found.append((-accuracy, {"genotype": genotype.digest, **values}))
        figures = {**progress(state), "front": [entry for _, entry in sorted(found, key=lambda pair: pair[0])]}
        if self.config.reference:
            pairs = zip(names, self.config.reference, strict=True)
            bound = [-value if name in MAXIMISED else value for name, value in pairs]
            figures["hypervolume"] = hypervolume(state.front_costs, bound)
        return figures


def _with_child(state: Generation, report: Report, costs: Sequence[float]) -> Generation:
    genotype = report.proposal.genotype
    state = evolve(state, children=[*state.children, genotype], child_costs=[*state.child_costs, costs])
    if any(all(o <= c for o, c in zip(other, costs, strict=True)) for other in state.front_costs):
        return state
    kept = [i for i, other in enumerate(state.front_costs) if not dominates(costs, other)]
    return evolve(
        state,
        front=[*(state.front[i] for i in kept), genotype],
        front_costs=[*(state.front_costs[i] for i in kept), costs],
        front_accuracies=[*(state.front_accuracies[i] for i in kept), report.accuracy],
    )


def objective(context: SearchContext, report: Report, name: str) -> float:
    """A figure of the report; of a table of figures its ``total``; else what the estimator of this name measures.

    Raises :class:`ConfigError` for a name that is neither, and for a figure that is no number.
    """
    value = report.figures.get(name)
    if isinstance(value, Mapping):
        value = value.get("total")
    if isinstance(value, (int, float)):
        return float(value)
    if name in report.figures:
        raise ConfigError([f"objectives: the figure {name!r} of a trial is {value!r} here, no number"], "strategy.objectives")
    try:
        estimator: Any = EstimatorPart.named(name)
    except NastkError as error:
        figures = ", ".join(sorted(report.figures))
        why = "; ".join(error.faults) if isinstance(error, ConfigError) else str(error)
        fault = f"objectives: {name!r} is no figure of a trial ({figures}), and as an estimator it is refused: {why}"
        raise ConfigError([fault], "strategy.objectives") from None
    return context.measure(estimator, report.proposal.genotype)
