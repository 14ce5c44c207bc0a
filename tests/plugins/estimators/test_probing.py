"""What a score at initialisation depends on: the seed, the repeat and the question; and where its images come from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings

from nastk.core.cell.graph import Edge, canonical
from nastk.core.config import EstimatorPart
from nastk.core.errors import ConfigError, DataError, NastkError, ShapeError
from nastk.core.types import Shape
from nastk.plugins.datasets.digits import Digits
from nastk.plugins.estimators.probing import Question
from nastk.testing import build_space, genotypes

SAMPLE, CLASSES = Shape(1, 1, 8, 8), 10
SPACE = build_space("nas-bench-201", {"channels": 4, "cells": 2, "neuron": "lif", "time_steps": 2})
ON_BATCH = ("snip", "grad-norm", "jacobian-covariance", "naswot", "sahd", "rdm")
SCORES = (*ON_BATCH, "zen", "synflow")


def estimator(name: str, **given_: Any) -> Any:
    return EstimatorPart.named(name, **({} if name == "synflow" else {"batch": 6}), **given_).build()


def member(*codes: int) -> Any:
    return SPACE.decode([*codes, *[0] * (len(SPACE.decisions) - 6)])


def value(found: Any, genotype: Any, sample: Shape = SAMPLE, classes: int = CLASSES) -> float:
    return found.estimate(genotype, sample, classes).value


@pytest.mark.parametrize("name", SCORES)
def test_the_score_is_the_mean_over_initialisations(name: str) -> None:
    genotype = member(3, 2, 1, 3, 4, 2)
    whole = estimator(name, repeats=3)
    each = [
        whole.score(whole.network(genotype, question), question)
        for question in (Question(SAMPLE, CLASSES, repeat) for repeat in range(3))
    ]
    assert len(set(each)) == 3, "every repeat is another initialisation"
    assert value(whole, genotype) == pytest.approx(sum(each) / 3, rel=1e-12)
    assert value(estimator(name), genotype) == each[0]
    assert value(estimator(name, seed=1), genotype) != each[0]


@settings(deadline=None, max_examples=8)
@given(genotypes(SPACE))
def test_what_reaches_no_output_has_no_say(genotype: Any) -> None:
    """Genotypes of one digest have one score: here a cell, and the same one with a dead branch."""
    cell = genotype.cell("shared")
    branch = Edge(0, cell.nodes, "conv_3x3")
    dead = evolve(genotype, cells={"shared": evolve(cell, edges=(*cell.edges, branch))})
    reduced = evolve(genotype, cells={"shared": canonical(cell)})
    assert genotype.digest == dead.digest == reduced.digest
    for name in ("naswot", "grad-norm", "synflow"):
        found = estimator(name)
        assert value(found, genotype) == value(found, dead) == value(found, reduced)


def test_noise_is_the_same_for_every_network_and_another_in_every_repeat() -> None:
    found = estimator("naswot")
    x, y = found.images(Question(Shape(3, 2, 5, 4), 7, 0))
    assert x.shape == (3, 6, 2, 5, 4)
    assert y.shape == (6,)
    assert set(y.tolist()) <= set(range(7))
    assert torch.equal(x, estimator("rdm").images(Question(Shape(3, 2, 5, 4), 7, 0))[0])
    assert not torch.equal(x, found.images(Question(Shape(3, 2, 5, 4), 7, 1))[0])
    many = estimator("naswot", seed=3)
    many.config = evolve(many.config, batch=400)
    drawn = many.images(Question(SAMPLE, CLASSES, 0))[0]
    assert abs(float(drawn.mean())) < 0.03
    assert abs(float(drawn.std()) - 1) < 0.03


def test_a_data_set_lends_validation_samples_and_never_test_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise AssertionError("the test samples were read")

    monkeypatch.setattr(Digits, "test", refuse)
    found = estimator("naswot", dataset="digits", repeats=2)
    first, second = (found.images(Question(SAMPLE, CLASSES, repeat)) for repeat in range(2))
    assert first[0].shape == (1, 6, 1, 8, 8)
    assert not torch.equal(first[0], second[0])
    valid = torch.cat([x for x, _ in found._data.unaugmented("valid")], dim=1)
    for x, _ in (first, second):
        assert all(any(torch.equal(x[:, b], valid[:, i]) for i in range(valid.shape[1])) for b in range(6))
    genotype = member(3, 2, 1, 3, 4, 2)
    assert value(found, genotype) == value(estimator("naswot", dataset="digits", repeats=2), genotype)
    assert value(found, genotype) != value(estimator("naswot", repeats=2), genotype)


def test_a_data_set_of_another_shape_or_too_small_is_refused() -> None:
    found = estimator("naswot", dataset="digits")
    with pytest.raises(ShapeError, match=r"'digits' of the estimator has samples \(1, 1, 8, 8\) of 10 classes.*\(1, 3, 8, 8\)"):
        value(found, member(3, 2, 1, 3, 4, 2), Shape(1, 3, 8, 8))
    with pytest.raises(ShapeError, match="of 9"):
        value(found, member(3, 2, 1, 3, 4, 2), classes=9)
    large = EstimatorPart.named("naswot", dataset="digits", batch=100_000).build()
    with pytest.raises(DataError, match="too few for 1 repeats of 100000"):
        value(large, member(3, 2, 1, 3, 4, 2))


@pytest.mark.parametrize(
    ("name", "settings_"),
    [("naswot", {"batch": 1}), ("synflow", {"repeats": 0}), ("synflow", {"batch": 4}), ("zen", {"gamma": 0})],
)
def test_impossible_settings_are_refused(name: str, settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EstimatorPart.named(name, **settings_)


def test_a_score_that_is_no_finite_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = estimator("synflow")
    monkeypatch.setattr(type(found), "score", lambda *_: float("inf"))
    with pytest.raises(NastkError, match="no finite number"):
        value(found, member(3, 2, 1, 3, 4, 2))
