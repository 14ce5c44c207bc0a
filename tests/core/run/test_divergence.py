"""What counts as divergence, and what a retry is, without any training."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.errors import Diverged
from nastk.core.run.divergence import WINDOW, Alert, check
from nastk.core.run.retry import Retries
from nastk.core.settings import DivergenceConfig

BAD = [math.nan, math.inf, -math.inf]
numbers = st.lists(st.floats(0, 100, width=32), min_size=1, max_size=200)


@settings(deadline=None, max_examples=50)
@given(numbers, st.floats(150, 1e6))
def test_what_is_finite_and_of_usual_size_passes(norms: list[float], explosion: float) -> None:
    check(torch.tensor(norms), torch.tensor(norms), explosion, "train", 0)


@settings(deadline=None, max_examples=50)
@given(numbers, st.data())
def test_the_first_bad_step_is_named(norms: list[float], data: st.DataObject) -> None:
    losses, gradients = torch.ones(len(norms)), torch.tensor(norms)
    step = data.draw(st.integers(0, len(norms) - 1))
    value = data.draw(st.sampled_from(BAD))
    if which := data.draw(st.sampled_from(["loss", "gradient", "both"])):
        losses[step] = value if which != "gradient" else 1.0
        gradients[step] = value if which != "loss" else 1.0
    gradients[step + 1 :] = math.nan  # whatever follows is a consequence
    named = "gradient" if which == "gradient" else "loss"
    with pytest.raises(Diverged, match=rf"^The {named} became {value} in search, epoch 3, step {step + 1}: lower") as caught:
        check(losses, gradients, 1e6, "search", 2)
    assert caught.value.step == step


def exploded(norms: list[float], explosion: float) -> int | None:
    """The step that is told, if one is."""
    try:
        check(torch.ones(len(norms)), torch.tensor(norms), explosion, "train", 0)
    except Diverged as error:
        return error.step if "exploded" in str(error) else -1
    return None


def test_an_explosion_is_measured_by_the_median_of_the_steps_before() -> None:
    assert exploded([10.0] * 20 + [999.0], 100.0) is None
    assert exploded([10.0] * 20 + [1001.0], 100.0) == 20
    assert exploded([1e-6] * 20 + [99.0], 100.0) is None, "next to nothing may grow"
    assert exploded([101.0], 100.0) == 0, "with nothing before, 1 is usual"
    assert exploded([90.0] * 3 + [8000.0] * 9, 100.0) is None
    assert exploded([50.0] * 200 + [1.0] * WINDOW + [200.0], 100.0) == 200 + WINDOW, "what is long ago counts no more"


def test_more_is_said_without_losing_the_step() -> None:
    error = Diverged("It became nan.", 7).adding("In cell 2.")
    assert (str(error), error.step, error.exit_code) == ("It became nan. In cell 2.", 7, 2)
    travelled = pickle.loads(pickle.dumps(error))
    assert (str(travelled), travelled.step) == (str(error), 7)


def test_alerts_do_not_share_what_they_told() -> None:
    Alert().told.add("cell 0")
    assert Alert().told == set()
    assert Alert().explosion == DivergenceConfig().explosion


def test_rates_fall_from_the_step_on_that_diverged() -> None:
    retries = Retries(DivergenceConfig(retries=3, factor=0.5))
    assert [retries.rate(step) for step in range(6)] == [1.0] * 6
    assert "0.5 times the rate (retry 1 of 3)" in retries.again(2, Diverged("a"))
    assert "0.25 times the rate (retry 2 of 3)" in retries.again(4, Diverged("b"))
    assert [retries.rate(step) for step in range(6)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert retries.made == [{"after": 2, "rate": 0.5, "reason": "a"}, {"after": 4, "rate": 0.25, "reason": "b"}]
    again = Retries(retries.config, retries.made)
    again.again(4, Diverged("c"))
    assert len(retries.made) == 2, "what was read is not changed"
    with pytest.raises(Diverged, match=r"^d 3 tries at lower rates did not help\. The last good checkpoint is kept\.$"):
        again.again(5, Diverged("d"))


def test_without_retries_nothing_is_tried() -> None:
    with pytest.raises(Diverged, match=r"^a The last good checkpoint is kept\.$"):
        Retries(DivergenceConfig()).again(0, Diverged("a"))
