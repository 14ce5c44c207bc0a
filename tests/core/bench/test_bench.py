"""``nastk.bench`` from Python: what it reports, what it refuses, its document and its picture."""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

import pytest
from attrs import evolve

import nastk
from nastk import NastkError
from nastk.core.bench.bench import bench
from nastk.core.bench.draw import draw_regret
from nastk.core.bench.outcome import BenchResult
from nastk.core.bench.statistics import against, summarise

MADE_UP = {"name": "counted-table"}


@pytest.fixture(scope="module")
def result() -> BenchResult:
    return bench("nats-bench", "regularized-evolution", budget=30, seeds=6, workers=1, set=["strategy.population=5"])


def test_random_search_is_always_beside_the_method(result: BenchResult) -> None:
    assert [score.strategy for score in result.scores] == ["regularized-evolution", "random-search"]
    assert result.baseline == "random-search"
    assert result.score("random-search").against is None
    assert nastk.bench is bench


def test_a_score_sums_up_the_last_incumbents(result: BenchResult) -> None:
    evolution, random = result.scores
    for score in result.scores:
        assert [run.seed for run in score.runs] == list(range(6))
        assert score.value == summarise(score.finals)
        assert all(0 < value <= result.optimum.value == 0.943733 for value in score.finals)
    assert evolution.against == against(random.finals, [evolution.finals])[0]
    assert evolution.config["strategy"]["population"] == 5
    assert evolution.config["strategy"]["trials"] == random.config["strategy"]["trials"] == 30


def test_the_document_has_all_of_it_and_is_json(result: BenchResult) -> None:
    document = json.loads(json.dumps(result.document(), allow_nan=False))
    assert document["versions"]["nastk"]
    assert document["command"]
    assert document["wall_seconds"] > 0
    assert document["budget"] == {"evaluations": 30, "seconds": None}
    assert document["optimum"] == {"value": 0.943733, "source": "table"}
    for plain, score in zip(document["strategies"], result.scores, strict=True):
        assert [run["final"] for run in plain["runs"]] == score.finals
        assert plain["mean_regret"] == pytest.approx(0.943733 - score.value.mean)
        assert plain["config"]["benchmark"]["name"] == "nats-bench"
        assert "seed" not in plain["config"]
        for run, one in zip(plain["runs"], score.runs, strict=True):
            assert [tuple(change) for change in run["changes"]] == list(one.changes)
            assert run["regret"] == pytest.approx(0.943733 - one.final)


def test_random_search_alone_is_compared_with_nothing() -> None:
    found = bench("nats-bench", ["random-search"], budget=5, seeds=2, workers=1, dataset="cifar100")
    assert len(found.scores) == 1
    assert found.baseline is None
    assert found.dataset == "cifar100"


def test_one_seed_needs_neither_interval_nor_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    found = bench("nats-bench", "regularized-evolution", budget=5, seeds=1, workers=1)
    assert found.scores[0].against is None
    assert found.scores[0].value.low is None
    draw_regret(found, "png")
    with pytest.raises(NastkError, match=r"nastk\[bench\]"):
        bench("nats-bench", "random-search", budget=5, seeds=2, workers=1)


@pytest.mark.usefixtures("counted")
def test_estimators_alone_need_no_strategy() -> None:
    found = bench(MADE_UP, estimators="parameters,macs", cells=20, workers=1)
    assert [row.estimator for row in found.estimators] == ["parameters", "macs"]
    assert found.scores == ()
    (plain, _) = found.document()["estimators"]
    assert plain["n"] == 20
    assert plain["spearman"] == pytest.approx(found.estimators[0].spearman)


@pytest.mark.usefixtures("counted")
def test_a_setting_is_for_all_that_have_it_or_for_the_one_that_is_named() -> None:
    both = ["regularized-evolution", "random-search"]
    sets = ["strategy.batch=2", "strategy.population=4", "random-search.trials=3", "strategy.epochs=10", "benchmark.broken=2"]
    evolution, random = bench(MADE_UP, both, budget=12, seeds=2, workers=1, set=sets).scores
    wanted = {"batch": 2, "population": 4, "trials": 12, "epochs": 10}
    assert evolution.config["strategy"] == {**evolution.config["strategy"], **wanted}
    assert random.config["strategy"] == {"name": "random-search", "batch": 2, "trials": 3, "epochs": 10}
    assert evolution.config["benchmark"]["broken"] == random.config["benchmark"]["broken"] == 2
    assert all(run.evaluations <= 3 for run in random.runs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategies": ()}, "Name what to compare"),
        ({"strategies": "regularised-evolution"}, "Did you mean 'regularized-evolution'"),
        ({"strategies": "random-search,random-search"}, "'random-search' is named twice"),
        ({"strategies": "darts"}, "no data to train on"),
        ({"benchmark": "nats-bech"}, "Did you mean 'nats-bench'"),
        ({"benchmark": {"name": "nats-bench", "path": "nowhere.npz"}}, "nowhere.npz"),
        ({"dataset": "cifar11"}, "dataset"),
        ({"budget": 0}, "--budget must be above 0, got 0"),
        ({"seeds": -1}, "--seeds must be above 0, got -1"),
        ({"workers": 0}, "--workers must be above 0, got 0"),
        ({"seconds": float("nan")}, "--seconds must be above 0"),
        ({"seconds": 10.0}, "no seconds of training"),
        ({"objective": "tests"}, "Did you mean 'test'"),
        ({"estimators": "parameter"}, "Did you mean 'parameters'"),
        ({"set": ["strategy.populatoin=3"]}, "no strategy here has a setting 'populatoin'. Did you mean 'population'"),
        ({"set": ["strategy=darts"]}, "named by --strategy"),
        ({"set": ["seed=3"]}, "decided by --seeds"),
        ({"set": ["budget.minutes=3"]}, "decided by --budget"),
        ({"set": ["random-search.population=3"]}, "strategy.population: unknown setting"),
        ({"set": ["strategy.population=0"]}, "strategy.population"),
        ({"set": ["modle.channels=3"]}, "Did you mean 'model'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_played(changes: dict[str, Any], said: str) -> None:
    given = {"benchmark": "nats-bench", "strategies": "regularized-evolution", "workers": 1, **changes}
    told: list[tuple[int, ...]] = []
    with pytest.raises(NastkError) as caught:
        bench(**given, progress=lambda *numbers: told.append(numbers))
    assert said in str(caught.value)
    assert not told


def test_a_picture_in_both_forms(result: BenchResult) -> None:
    png, svg = draw_regret(result, "png"), draw_regret(result, "svg")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1280, 800)
    text = svg.decode()
    for said in ("nats-bench, cifar10", "regularized-evolution", "random-search", "mean of 6 seeds", "evaluations"):
        assert f">{said}" in text
    assert draw_regret(result, "svg") == svg
    assert draw_regret(result, "png") == png


def test_a_picture_of_seeds_that_all_end_at_the_optimum(result: BenchResult) -> None:
    """A regret of zero has no place on a logarithmic axis: the line ends, and nothing breaks."""
    value, runs = result.optimum.value, result.scores[0].runs
    best = [evolve(run, changes=tuple(change._replace(value=value) for change in run.changes)) for run in runs]
    perfect = evolve(result.scores[0], runs=tuple(best))
    for scores in ((perfect, result.scores[1]), (perfect,)):
        assert draw_regret(evolve(result, scores=scores), "png")


@pytest.mark.usefixtures("counted")
def test_over_simulated_seconds() -> None:
    found = bench(MADE_UP, "regularized-evolution", budget=40, seeds=3, seconds=150.0, workers=1)
    assert all(run.seconds is not None and run.seconds <= 150.001 for score in found.scores for run in score.runs)
    assert b"simulated training, seconds" in draw_regret(found, "svg")


def test_settings_of_an_estimator() -> None:
    from nastk.core.bench.entering import asked_estimators

    asked, others = asked_estimators(["synflow", "parameters"], ["synflow.repeats=2", "model.cells=1", "parameter.x=1"])
    assert [part.name for part in asked] == ["synflow", "parameters"]
    assert asked[0].config.repeats == 2
    assert others == ["model.cells=1", "parameter.x=1"]
    with pytest.raises(nastk.NastkError, match="repeat"):
        asked_estimators(["synflow"], ["synflow.repeat=2"])
