"""NSGA-II: its front is the front of all trials, it finds the true one, and it reads objectives where they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nastk.core.cell.graph import Genotype
from nastk.core.config import EstimatorPart
from nastk.core.errors import ConfigError
from nastk.core.seeds import rng
from nastk.strategies.pareto import crowding, fronts

NAME = "nsga2"
Make = Callable[..., Any]


def noise(genotype: Genotype, purpose: str) -> float:
    return rng(3, purpose, genotype.to_json()).random()


def figures(genotype: Genotype, epochs: int) -> dict[str, Any]:
    del epochs
    return {"accuracy": noise(genotype, "accuracy"), "cost": noise(genotype, "cost"), "nos": {"total": noise(genotype, "nos")}}


def costs(genotype: Genotype) -> tuple[float, float]:
    return -noise(genotype, "accuracy"), noise(genotype, "cost")


def front_of(genotypes: list[Genotype]) -> list[Genotype]:
    """Of different costs, the most accurate first."""
    found = [genotypes[i] for i in fronts([costs(genotype) for genotype in genotypes])[0]]
    return sorted(found, key=costs)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=st.integers(2, 8), batch=st.integers(1, 5), trials=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_front_is_that_of_all_trials(landscape: Make, population: int, batch: int, trials: int, seed: int) -> None:
    spec = {"name": NAME, "objectives": ["accuracy", "cost"], "population": population, "batch": batch, "trials": trials}
    context = landscape(spec, figures, space="nas-bench-201", seed=seed)
    for state in context.states():
        seen = [report.proposal.genotype for report in context.trials.values()]
        if seen:
            assert context.strategy.recommend(context, state) == front_of(seen)
        assert len(state.members) <= population
        assert len(state.children) < population
    assert state.trials == trials
    assert context.step == context.strategy.steps
    reported = context.strategy.figures(state)["front"]
    assert [entry["genotype"] for entry in reported] == [genotype.digest for genotype in front_of(seen)]
    assert [(-entry["accuracy"], entry["cost"]) for entry in reported] == [costs(genotype) for genotype in front_of(seen)]


def test_parents_are_chosen_by_front_and_then_by_space_around(landscape: Make) -> None:
    context = landscape(
        {"name": NAME, "objectives": ["accuracy", "cost"], "population": 6, "trials": 60, "batch": 6},
        figures,
        space="nas-bench-201",
    )
    before: Any = None
    for state in context.states():
        if before is not None:
            pool = [*before.members, *(proposal.genotype for proposal in context.asked[-1])]
            wanted: list[Genotype] = []
            for front in fronts([costs(genotype) for genotype in pool]):
                distances = crowding([costs(pool[i]) for i in front])
                order = sorted(range(len(front)), key=lambda k: -distances[k])
                wanted += [pool[front[k]] for k in order][: 6 - len(wanted)]
            assert list(state.members) == wanted
            assert list(state.ranks) == sorted(state.ranks)
        before = state


def test_a_small_space_is_searched_to_its_true_front(landscape: Make) -> None:
    context = landscape({"name": NAME, "objectives": ["accuracy", "cost"], "trials": 300, "population": 10}, figures)
    every = [context.space.decode(choice) for choice in product(*(range(len(d.options)) for d in context.space.decisions))]
    state = context.end()
    assert context.strategy.recommend(context, state) == front_of(every)
    assert state.trials == 300, "it ends though there is nothing new to try"


def test_tournaments_prefer_the_lower_rank_and_then_more_space(landscape: Make) -> None:
    context = landscape({"name": NAME, "objectives": ["accuracy", "cost"], "population": 2, "trials": 2, "batch": 2}, figures)
    state = context.end()
    from attrs import evolve

    for ranks, distances in (([0, 1], [0.0, 9.0]), ([0, 0], [2.0, 1.0])):
        judged = evolve(state, ranks=ranks, distances=distances)
        winners = [context.strategy._winner(judged, rng(seed)) for seed in range(400)]
        assert 260 < winners.count(state.members[0]) < 340, "it wins unless the other meets itself: three in four"


def test_the_hypervolume_grows_and_beats_random_search(landscape: Make) -> None:
    """A trade-off that can be learned: convolutions are accurate and dear, skips are free. Means over 15 seeds."""

    def traded(genotype: Genotype, epochs: int) -> dict[str, float]:
        del epochs
        ops = [edge.op for edge in genotype.cell("shared").edges]
        pays = sum((3 - i % 3) * (op == "conv_3x3") for i, op in enumerate(ops)) / 12
        return {"accuracy": pays - 0.05 * ops.count("avg_pool_3x3"), "cost": float(ops.count("conv_3x3") + 2 * ops.count("none"))}

    found = []
    for population in (10, 100):  # with all trials in the first generation, it is random search
        volumes = []
        for seed in range(15):
            spec = {
                "name": NAME,
                "objectives": ["accuracy", "cost"],
                "trials": 100,
                "population": population,
                "reference": [-1, 13],
            }
            context = landscape(spec, traded, space="nas-bench-201", seed=seed)
            history = [context.strategy.figures(state)["hypervolume"] for state in context.states()]
            assert history == sorted(history)
            volumes.append(history[-1])
        found.append(sum(volumes) / len(volumes))
    assert found[0] > found[1] + 0.3, found


def test_where_objectives_come_from(landscape: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure first, of a table its total, then the estimator of that name."""
    context = landscape({"name": NAME, "objectives": ["nos", "parameters", "accuracy"], "trials": 5}, figures)
    asked = []

    def measure(estimator: EstimatorPart, genotype: Genotype) -> float:
        asked.append(estimator.name)
        return noise(genotype, "parameters")

    monkeypatch.setattr(context, "measure", measure)
    state = context.end()
    for genotype, found in zip(state.front, state.front_costs, strict=True):
        assert list(found) == [noise(genotype, "nos"), noise(genotype, "parameters"), -noise(genotype, "accuracy")]
    assert set(asked) == {"parameters"}


def test_the_bundled_estimator_counts_parameters(landscape: Make) -> None:
    context = landscape({"name": NAME, "trials": 4, "batch": 4}, figures)
    state = context.end()
    entries = context.strategy.figures(state)["front"]
    assert entries
    assert all(entry["parameters"] > 0 for entry in entries)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"objectives": ["accuracy", "speed"]},
            "'speed' is no figure of a trial .accuracy, cost, nos., and as an estimator it is refused: .*No estimator",
        ),
        ({"objectives": ["accuracy", "accuracy"]}, "named twice"),
        ({"objectives": []}, "objectives"),
        ({"reference": [0.5]}, "reference: 1 numbers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(landscape: Make, settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        landscape({"name": NAME, **settings_}, figures).end()


def test_a_figure_that_is_no_number_is_refused(landscape: Make) -> None:
    context = landscape({"name": NAME, "objectives": ["accuracy", "nos"]}, lambda *_: {"accuracy": 0.5, "nos": None})
    with pytest.raises(ConfigError, match="the figure 'nos' of a trial is None here"):
        context.end()


def test_failed_trials_have_no_children(landscape: Make) -> None:
    spec = {"name": NAME, "objectives": ["accuracy", "cost"], "trials": 60, "population": 5}
    context = landscape(spec, lambda g, n: None if noise(g, "fails") < 0.5 else figures(g, n), space="nas-bench-201")
    for state in context.states():
        assert all(noise(genotype, "fails") >= 0.5 for genotype in [*state.members, *state.children, *state.front])
    assert 0 < state.failed < 60
    assert state.trials == 60
