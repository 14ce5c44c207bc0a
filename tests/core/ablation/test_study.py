"""Study files: what they mean, and every fault at once, before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import nastk
from nastk.core.ablation.plan import RANDOM, _departures, planned
from nastk.core.ablation.study import read_study
from nastk.core.errors import ConfigError
from nastk.core.run.runfile import configure
from nastk.core.settings import RunConfig

ROOT = Path(__file__).parents[3]
Tiny = Callable[..., dict[str, Any]]


def faults(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        planned(read_study(document))
    return str(refused.value)


def test_all_faults_of_the_file_at_once(tiny: Tiny, tmp_path: Path) -> None:
    wrong = tiny(
        vary={"model": {"attention": "se"}, "train.epochs": [1, 1], "seed": [1, 2]},
        seed=3,
        seeds=[1, 1],
        metrics=["test.acuracy"],
        design="grids",
        stage="retrian",
        random_search={"trials": 0},
        cells=[{"name": 3}],
    )
    (tmp_path / "s.toml").write_text(tomli_w.dumps(wrong))
    with pytest.raises(ConfigError) as refused:
        nastk.ablate(tmp_path / "s.toml", out=tmp_path / "out")
    text = str(refused.value)
    for part in (
        *("vary.model.attention: ", "vary.train.epochs: has a value twice", "vary.seed: ", "seed: a study has seeds", "seeds: "),
        *("metrics.test.acuracy: ", "Did you mean 'test.accuracy'", "design: ", "Did you mean 'grid'", "stage: "),
        *("random_search.trials: ", "cells[0].name: ", str(tmp_path / "s.toml")),
    ):
        assert part in text, part
    assert not (tmp_path / "out").exists()


def test_faults_of_cells_are_told_once_with_the_cell(tiny: Tiny) -> None:
    text = faults(tiny(vary={"model.atention": ["se", "eca"], "model.neuron": ["lif", "plof"]}))
    assert text.count("unknown setting") == 1
    assert text.count("plof") == 2, "in the label, and in the sentence"
    assert "No neuron named 'plof'" in text


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"vary": None}, "vary: say what to vary"),
        ({"baseline": {"model.neuron": "lif"}}, "baseline.model.neuron: is not varied"),
        ({"baseline": "nobody"}, "baseline: no cell is named 'nobody'"),
        ({"design": "leave-one-out", "vary": {"train.epochs": [1, 2, 3]}}, "vary.train.epochs: leave-one-out needs two"),
        ({"cells": [{"model.attention": "none"}]}, "are the same run"),
        ({"metrics": {"parameters": "smaller"}}, "metrics.parameters: expected"),
        ({"seeds": 0}, "seeds: "),
    ],
)
def test_single_faults(tiny: Tiny, entries: dict[str, Any], part: str) -> None:
    assert part in faults(tiny(**entries))


def test_paths_may_be_written_as_tables_and_parts_keep_their_settings(tiny: Tiny) -> None:
    nested = tiny(
        vary={"model": {"neuron": ["lif", {"name": "plif", "tau": 3.0}]}}, metrics={"nos": {"test": {"total": "higher"}}}
    )
    plan = planned(read_study(nested))
    assert [cell.label for cell in plan.cells] == ["lif", "plif"]
    assert plan.cells[1].config.model.neuron.values[0].config.tau == 3.0
    assert plan.study.metrics[0].better == "higher"


def test_seeds_are_shared_and_digests_do_not_depend_on_them(tiny: Tiny) -> None:
    one, two = planned(read_study(tiny(seeds=[0]))), planned(read_study(tiny(seeds=3)))
    assert [cell.digest for cell in one.cells] == [cell.digest for cell in two.cells]
    assert {job.config.seed for job in two.jobs} == {0, 1, 2}
    assert {job.key for job in one.jobs} < {job.key for job in two.jobs}
    reported = planned(read_study(tiny(seeds=[0], checkpoint_minutes=1.0)))
    assert [cell.digest for cell in one.cells] == [cell.digest for cell in reported.cells], "nothing of it changes a run"


def test_the_baseline_may_be_any_cell(tiny: Tiny) -> None:
    cells = [{"name": "big", "model.channels": 4}]
    for baseline, label in (("big", "big"), ({"model.channels": 4}, "big"), ({"model.attention": "eca"}, "eca"), (None, "none")):
        plan = planned(read_study(tiny(cells=cells, baseline=baseline)))
        assert (plan.baseline.label, plan.cells[0].label) == (label, label)
        assert len(plan.cells) == 3


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ({"name": "darts", "epochs": 8, "batch": 16}, {"trials": 2, "epochs": 4}),
        ({"name": "darts", "epochs": 9, "batch": 16}, {"trials": 3, "epochs": 4}),
        ({"name": "darts", "epochs": 3, "batch": 16}, {"trials": 1, "epochs": 3}),
        ({"name": "regularized-evolution", "trials": 12, "epochs": 2}, {"trials": 12, "epochs": 2}),
    ],
)
def test_random_search_costs_as_much(tiny: Tiny, strategy: dict[str, Any], wanted: dict[str, int]) -> None:
    row = planned(read_study(tiny(random_search=True, strategy=strategy))).cells[-1]
    assert row.label == RANDOM
    assert (row.config.strategy.config.trials, row.config.strategy.config.epochs) == tuple(wanted.values())
    assert row.config.model == planned(read_study(tiny(strategy=strategy))).baseline.config.model


def test_random_search_is_no_row_where_a_cell_is_one_and_may_be_refused(tiny: Tiny) -> None:
    searched = tiny(random_search=True, vary={"strategy": ["darts", {"name": "random-search", "trials": 2}]}, strategy=None)
    assert RANDOM not in [cell.label for cell in planned(read_study(searched)).cells]
    assert RANDOM not in [cell.label for cell in planned(read_study(tiny())).cells]
    given = planned(read_study(tiny(random_search={"trials": 5, "epochs": 1}))).cells[-1]
    assert (given.config.strategy.config.trials, given.config.strategy.config.epochs) == (5, 1)


def test_cost_by_parameters_counts_what_an_epoch_updates(tiny: Tiny) -> None:
    strategy = {"name": "darts", "epochs": 8, "batch": 16}
    by_steps, by_parameters = (
        planned(read_study(tiny(random_search=True, strategy=strategy, match=match))).cells[-1].config.strategy.config
        for match in ("steps", "parameters")
    )
    assert by_parameters.trials > by_steps.trials, "a supernet has more to update than any member"


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "studies").glob("*.toml")), ids=lambda path: path.name)
def test_the_example_studies_are_whole(path: Path) -> None:
    plan = planned(read_study(path))
    assert len(plan.cells) > 2
    assert len(plan.study.seeds) >= 3


def test_what_a_digest_names_is_what_differs_from_the_defaults(tiny: Tiny) -> None:
    # So a nastk with one more setting takes up the runs of a study that began before it.
    assert _departures(RunConfig()) == {}
    tables = {"model": {"channels": 8}, "strategy": {"name": "darts", "batch": 7}, "train": {"epochs": 3}}
    differs = _departures(configure(tables))
    assert differs["model"] == {"channels": {"values": [8]}}
    assert differs["strategy"] == {"name": "darts", "batch": 7}
    assert differs["train"] == {"epochs": 3}
    one, two = (planned(read_study(tiny(train={"epochs": epochs, "batch": 16}))).baseline.digest for epochs in (1, 2))
    assert one != two
