"""A supernet trained by uniform draws: what a step trains, what a candidate inherits, how candidates are ranked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import nastk
from nastk.core.run.epoch import Scores
from nastk.core.run.run import Run
from nastk.core.run.search import search
from nastk.core.types import Split
from nastk.strategies.inherited import inherited_scores
from nastk.strategies.one_shot_evolution import OneShotEvolution, OneShotEvolutionConfig
from nastk.strategies.uniform_supernet import ONE_PATH, Draw, SupernetState

Prepare = Callable[..., Run]
SMALL: dict[str, dict[str, Any]] = {
    "random-sampling-with-weight-sharing": {"epochs": 2, "candidates": 5, "per_step": 3},
    "one-shot-evolution": {"epochs": 2, "generations": 2, "population": 4},
}
every = pytest.mark.parametrize("strategy", SMALL)


def states(run: Run) -> list[SupernetState]:
    """The states before and after each step."""
    found = [run.strategy.begin(run.context)]
    for step in range(run.strategy.steps):
        run.context.step = step
        found.append(run.strategy.step(run.context, found[-1]))
    return found


@every
def test_epochs_train_and_rounds_only_rank(prepare: Prepare, strategy: str) -> None:
    run = prepare(strategy, **SMALL[strategy])
    assert run.strategy.steps == 4
    zero, one, two, three, four = states(run)
    pairs = [(zero, one), (one, two), (two, three), (three, four)]
    moved = [any(not torch.equal(a.weights[n], b.weights[n]) for n in a.weights) for a, b in pairs]
    assert moved == [True, True, False, False]
    assert one.candidates == two.candidates == []
    assert 0 < len(three.seen) < len(four.seen) or run.space.size <= len(three.seen)
    fitness = [candidate["fitness"] for candidate in four.candidates]
    assert fitness == sorted(fitness, reverse=True)
    assert run.strategy.recommend(run.context, four)[0] == four.candidates[0]["genotype"]
    assert four.figures["best_accuracy"] == four.candidates[0]["accuracy"]
    assert 0 <= four.figures["skip_share"] <= 1


def test_a_step_trains_the_drawn_member_and_nothing_else(prepare: Prepare) -> None:
    """One step an epoch: the operations that moved are those of one member, on every edge."""
    tables = {"dataset": {"train_images": 80}, "split": {"weights": 0.4, "alpha": 0.4}}
    run = prepare("random-sampling-with-weight-sharing", tables=tables, batch=64, epochs=2, weight_decay=0.0)
    before, after = run.strategy.begin(run.context), states(run)[1]
    changed = [name for name in before.weights if not torch.equal(before.weights[name], after.weights[name])]
    moved = {f"{found[1]}/{found[2]}" for name in changed if (found := re.search(r"edges\.(\w+)\.ops\.(\w+)\.", name))}
    drawn = Draw(run.context, run.context.supernet(ONE_PATH))(_rng_of_first_epoch(run))
    wanted = {f"{e.src}_{e.dst}/{e.op}" for e in drawn.cell("shared").edges if e.op.startswith("conv") or "pool" in e.op}
    assert moved == wanted
    assert wanted, "this seed draws an operation with something to learn"


def _rng_of_first_epoch(run: Run) -> Any:
    run.context.step = 0
    return run.context.rng("paths")


def test_the_supernet_at_a_drawn_member_is_the_member(prepare: Prepare) -> None:
    run = prepare("random-sampling-with-weight-sharing")
    supernet = run.context.supernet(ONE_PATH).double()
    draw, rng = Draw(run.context, supernet), run.context.rng("any")
    x = next(iter(run.task.data.unaugmented(Split.VALID)))[0].double()
    for _ in range(4):
        genotype = draw(rng)
        alone = run.context.network(genotype, affine=False).double()
        alone.inherit(supernet)
        weights = {name: w.double() for name, w in draw.weights(genotype).items()}
        torch.testing.assert_close(supernet.train()(x, weights), alone.train()(x), rtol=0, atol=1e-9)


def test_what_a_candidate_inherits_is_measured_with_statistics_of_its_own(prepare: Prepare) -> None:
    """Whatever the running statistics of the supernet are: the candidate's norms look for themselves."""
    run = prepare("random-sampling-with-weight-sharing", tables={"dataset": {"train_images": 320}})
    supernet = run.context.supernet(ONE_PATH)
    genotype = run.space.sample(run.context.rng("any"))
    scores = []
    for shift in (0.0, 50.0):
        for name, buffer in supernet.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(shift)
        scores.append(inherited_scores(run.context, supernet, genotype, [Split.WEIGHTS], 32, 2))
    assert scores[0].loss == scores[1].loss
    assert inherited_scores(run.context, supernet, genotype, [Split.WEIGHTS], 32, 1).loss != scores[0].loss


@pytest.mark.parametrize(
    ("accuracy", "total", "wanted"),
    [(0.8, 110_000.0, 0.8), (0.8, 220_000.0, 0.8 * 2**-0.08), (0.8, 27_500.0, 0.8 * 4**0.08), (0.5, 0.0, 0.5 * 110_000**0.08)],
)
def test_the_fitness_of_autosnn(accuracy: float, total: float, wanted: float) -> None:
    scores = Scores(1.0, accuracy, 10, {"total": total, "cells": []})
    assert OneShotEvolution(OneShotEvolutionConfig()).fitness(scores) == pytest.approx(wanted)
    assert OneShotEvolution(OneShotEvolutionConfig(nos_exponent=0.0)).fitness(scores) == pytest.approx(accuracy)
    assert OneShotEvolution(OneShotEvolutionConfig()).fitness(Scores(1.0, accuracy, 10)) == accuracy


def test_children_come_from_the_best(prepare: Prepare) -> None:
    """Without crossover every child is one decision away from a candidate that was kept."""
    run = prepare("one-shot-evolution", epochs=1, generations=2, population=6, kept=2, crossover=0.0)
    _, _, first, second = states(run)
    parents = [run.space.encode(candidate["genotype"]) for candidate in first.candidates]
    assert len(parents) == 2
    children = set(second.seen) - set(first.seen)
    near = {g.digest for candidate in first.candidates for g in run.space.neighbours(candidate["genotype"])}
    assert children
    assert children <= near


def test_paths_of_layers_stay_within_the_images(prepare: Prepare) -> None:
    """Images of 8 x 8 cannot be halved four times: such members are drawn anew."""
    tables = {
        "space": {"name": "spiking-cells", "nodes": 2, "layer_level": "searched"},
        "model": {"time_steps": 1, "cells": 4},
        "dataset": {"size": 8},
    }
    run = prepare("one-shot-evolution", tables=tables, epochs=1, generations=2, population=4)
    assert search(run.strategy, run.context, run.store).genotype in run.space
    draw = Draw(run.context, run.context.supernet(ONE_PATH))
    rng = run.context.rng("any")
    assert all(draw.fits(draw(rng)) for _ in range(20))


@every
def test_the_laws_hold_in_the_rounds(strategy: str) -> None:
    """With one epoch: the small searches of the laws get as far as the ranking."""
    wanted = ["seeded_repeatable", "state_survives_a_checkpoint", "given_state_is_left_alone", "recommends_members"]
    for verdict in nastk.check("strategy", strategy, only=wanted, **{**SMALL[strategy], "epochs": 1}):
        assert verdict.outcome == "holds", verdict
