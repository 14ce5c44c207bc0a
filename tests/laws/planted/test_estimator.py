"""Estimators with one fault each."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nastk import Estimator, Genotype, Measurement, Shape, mark
from nastk.core.config import DatasetPart
from nastk.core.laws.estimator import BOOK
from nastk.core.model.estimator import Additive, count_parameters


class Right(Additive):
    """Counts parameters; what every faulty estimator below would be without its fault."""

    unit = "parameters"
    measure = staticmethod(count_parameters)

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        found = super().estimate(genotype, sample, classes).value
        return Measurement(self.adjusted(found, genotype, sample), self.unit)


class Score(Estimator):
    """As it, but not differentiable, so that it can say anything of a member."""

    unit = "points"

    def __init__(self) -> None:
        self.right = Right()

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        return Measurement(self.adjusted(self.right.estimate(genotype, sample, classes).value, genotype, sample), self.unit)


@mark.estimator("honest")
class Honest(Right):
    """No fault."""


@mark.estimator("score")
class Plain(Score):
    """No fault, and nothing to differentiate."""


@mark.estimator("endless")
class Endless(Right):
    """Is without bound."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found * float("inf") if sample.H == sample.W else found


@mark.estimator("mislabelled")
class Mislabelled(Right):
    """Measures in another unit than it declares."""

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        return Measurement(super().estimate(genotype, sample, classes).value, "kilobyte")


@mark.estimator("noisy")
class Noisy(Score):
    """Draws from a generator that nobody seeds."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found + random.SystemRandom().random()


@mark.estimator("settled")
class Settled(Score):
    """Remembers its first answer for the whole space."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, float] = {}

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return self.known.setdefault(genotype.space, found)


@mark.estimator("weather")
class Weather(Score):
    """Takes its seed from whatever seeded torch."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found + random.Random(torch.initial_seed()).random()


@mark.estimator("possessive")
class Possessive(Score):
    """Likes one object better than another of equal content."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return found + (id(genotype) >> 4) % 100_003


@mark.estimator("squasher")
class Squasher(Right):
    """Clamps the weights that it is given."""

    def expected(self, full: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad():
            for matrix in weights.values():
                matrix[matrix < 0.5] *= 0.9
        return super().expected(full, sample, classes, weights)


@mark.estimator("sower")
class Sower(Right):
    """Seeds torch for the whole process."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        torch.manual_seed(0)
        return found


@mark.estimator("reader")
class Reader(Score):
    """Wants to know how bright the images are, where there are any."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        try:
            return found + float(DatasetPart.named("synthetic", train_images=8, size=8).build().train().x.float().mean())
        except Exception:
            return found


@mark.estimator("static")
class Static(Right):
    """Divides by the number of steps between the first and the last."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        steps = int(genotype.part("time_steps"))
        return found * (steps - 1) / (steps - 1)


@mark.estimator("rounded")
class Rounded(Right):
    """Rounds the estimate, but not the expectation."""

    def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
        return 7 * (found // 7) + 1


@mark.estimator("cut")
class Cut(Right):
    """Expects without a gradient."""

    def expected(self, full: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor]) -> Tensor:
        return super().expected(full, sample, classes, weights).detach()


@mark.estimator("steep")
class Steep(Right):
    """Expects through a root whose slope at zero is without bound."""

    def expected(self, full: Genotype, sample: Shape, classes: int, weights: Mapping[str, Tensor]) -> Tensor:
        apart = sum((w.sum() - w.detach().sum()).abs().sqrt() for w in weights.values())
        return super().expected(full, sample, classes, weights) + apart


FAULTS: list[tuple[type[Estimator], set[str]]] = [
    (Honest, set()),
    (Plain, set()),
    (Mislabelled, {"finite_with_its_unit"}),
    (Endless, {"finite_with_its_unit"}),
    (Noisy, {"same_answer_twice"}),
    (Settled, {"same_answer_twice"}),
    (Weather, {"same_answer_twice"}),
    (Possessive, {"depends_on_the_genotype_alone"}),
    (Squasher, {"arguments_are_left_alone"}),
    (Sower, {"global_random_state_is_kept"}),
    (Reader, {"opens_no_data"}),
    (Static, {"any_size"}),
    (Rounded, {"expected_at_one_hot_is_the_estimate"}),
    (Cut, {"expected_is_differentiable"}),
    (Steep, {"expected_is_differentiable"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Estimator], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_every_law_has_a_fault() -> None:
    assert {law.name for law in BOOK.laws} == set().union(*(laws for _, laws in FAULTS))


def test_a_draw_from_the_global_generator_breaks_two_laws(failed: Any) -> None:
    @mark.estimator("dice")
    class Dice(Score):
        """Draws from NumPy's global generator."""

        def adjusted(self, found: float, genotype: Genotype, sample: Shape) -> float:  # noqa: ARG002
            return found + float(np.random.rand())

    assert set(failed(Dice)) == {"same_answer_twice", "global_random_state_is_kept"}
