"""What holds for every strategy in the one search loop: seeds, resuming, budgets, and no look at the test data."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.events import Event, Progress, StepDone
from nastk.core.model.operation import Operation, Site
from nastk.core.registry import registry
from nastk.core.run.run import Run
from nastk.core.run.search import STAGE, SearchResult, search
from nastk.core.run.store import RunDirectory
from nastk.core.run.trials import Trials
from nastk.plugins.datasets.synthetic import Synthetic, SyntheticConfig

Prepare = Callable[..., Run]

FAST: dict[str, Any] = {"warmup": 1, "epochs": 3, "batch": 32, "alpha_lr": 0.3}
STRATEGIES: dict[str, dict[str, Any]] = {
    "darts-1": {"strategy": "darts", "order": 1, **FAST, "guard": {"skip_dropout": 0.3}},
    "darts-2": {"strategy": "darts", "order": 2, **FAST},
    "gdas": {"strategy": "gdas", **FAST},
    "snas": {"strategy": "snas", **FAST, "perturbation": {"kind": "random"}},
    "one-shot-evolution": {"strategy": "one-shot-evolution", "epochs": 1, "generations": 2, "population": 3},
    "ma-darts": {
        "strategy": "ma-darts",
        "warmup": 1,
        "epochs": 3,
        "batch": 32,
        "alpha_lr": 0.3,
        "tables": {"model": {"neuron": "plif", "time_steps": 2, "attention": "cbam"}},
    },
    "random-search": {"strategy": "random-search", "trials": 5, "batch": 2, "epochs": 1},
}
STEPS = 3


@pytest.fixture(params=STRATEGIES.values(), ids=STRATEGIES.keys())
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One strategy at tiny size; each plans three steps."""
    found: dict[str, Any] = request.param
    return found


def go(run: Run) -> SearchResult:
    """Search to the end, with a checkpoint after every step."""
    return search(run.strategy, run.context, run.store, every=0)


def end_state(run: Run) -> dict[str, Any]:
    """The last checkpoint without what a clock wrote into it."""
    saved = run.store.load(STAGE)
    assert saved is not None
    reports = [
        (r.proposal.digest, {k: v for k, v in r.figures.items() if k != "seconds"}, r.failure)
        for r in run.context.trials.values()
    ]
    assert saved["trials"] == len(reports)
    return {"step": saved["step"], "reports": reports, "state": saved["state"]}


def same(a: Any, b: Any) -> bool:
    """Equal bit by bit, through all tables and lists."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


class Killed(BaseException):
    """The process ends here."""


def killing(at: Callable[[Event], bool]) -> Callable[[Event], None]:
    """An emit that ends the run at the first event of a kind."""

    def emit(event: Event) -> None:
        if at(event):
            raise Killed

    return emit


def test_seeded_repeats_bit_by_bit(prepare: Prepare, settings: dict[str, Any]) -> None:
    first, second, other = prepare(**settings), prepare(**settings), prepare(seed=1, **settings)
    one = go(first)
    torch.rand(7), random.random(), np.random.rand(3)  # other work in the process must not matter
    two = go(second)
    assert one.genotype == two.genotype
    assert same(end_state(first), end_state(second))
    go(other)
    assert not same(end_state(first), end_state(other))


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("moment", ["after", "within"])
def test_killed_and_resumed_is_the_uninterrupted_run(prepare: Prepare, settings: dict[str, Any], step: int, moment: str) -> None:
    whole = prepare(**settings)
    wanted = go(whole)

    part = prepare(**settings)
    seen = 0

    def at(event: Event) -> bool:
        nonlocal seen
        seen += isinstance(event, StepDone)
        return seen == step and isinstance(event, StepDone if moment == "after" else Progress)

    part.context.emit = killing(at)
    with pytest.raises(Killed):
        go(part)
    torch.rand(5), random.random()
    again = prepare(into=part.store.path, **settings)
    heard: list[Event] = []
    again.context.emit = heard.append
    found = go(again)
    assert [e.step for e in heard if isinstance(e, StepDone)] == list(range(step + 1, STEPS + 1)), "no step twice"
    assert found.genotype == wanted.genotype
    assert same(end_state(again), end_state(whole))


def test_step_after_save_and_load_is_the_step(prepare: Prepare, settings: dict[str, Any]) -> None:
    """A state survives its checkpoint without loss, and a step leaves the state it is given alone."""
    run = prepare(**settings)
    state = run.strategy.begin(run.context)
    for step in range(STEPS):
        run.context.step = step
        tree = {f.name: getattr(state, f.name) for f in attrs.fields(type(state))}
        run.store.save("a", step, tree)
        loaded = run.strategy.state(**run.store.load("a"))  # type: ignore[arg-type]
        after = run.strategy.step(run.context, state)
        copy = {f.name: getattr(state, f.name) for f in attrs.fields(type(state))}
        run.store.save("b", step, copy)
        assert same(run.store.load("a"), run.store.load("b")), "the step changed the state it was given"
        run.context.trials = Trials(run.config.budget)
        assert same(attrs.asdict(run.strategy.step(run.context, loaded), recurse=False), attrs.asdict(after, recurse=False))
        state = after


def test_budget_of_steps(prepare: Prepare, settings: dict[str, Any]) -> None:
    for steps in (1, 2, 99):
        found = prepare(**{**settings, "tables": {**settings.get("tables", {}), "budget": {"steps": steps}}})
        assert go(found).steps == min(steps, STEPS)


@pytest.mark.parametrize(("trials", "batch", "limit"), [(6, 2, 3), (6, 4, 4), (6, 1, 5), (3, 2, 50)])
def test_budget_of_evaluations(prepare: Prepare, trials: int, batch: int, limit: int) -> None:
    settings = {"seed": 3, "trials": trials, "batch": batch, "epochs": 1, "tables": {"budget": {"evaluations": limit}}}
    run = prepare("random-search", **settings)
    go(run)
    assert len(run.context.trials) == min(limit, trials)
    again = prepare("random-search", into=run.store.path, **settings)
    go(again)
    assert len(again.context.trials) == min(limit, trials), "a resumed search must not spend the budget twice"


def test_budget_of_minutes_ends_a_search_after_a_step(prepare: Prepare, settings: dict[str, Any]) -> None:
    run = prepare(**{**settings, "tables": {**settings.get("tables", {}), "budget": {"minutes": 1e-9}}})
    assert go(run).steps == 1


def test_recommends_a_member_after_any_step(prepare: Prepare, settings: dict[str, Any]) -> None:
    run = prepare(**settings)
    state = run.strategy.begin(run.context)
    for step in range(STEPS + 1):
        found = run.strategy.recommend(run.context, state)
        assert found
        assert all(genotype in run.space for genotype in found)
        run.context.step = step
        state = run.strategy.step(run.context, state)


def test_global_random_state_is_left_alone(prepare: Prepare, settings: dict[str, Any]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    go(prepare(**settings))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(a, b) for a, b in zip(before[2], after[2], strict=True))


@nastk.mark.dataset("sealed", config=SyntheticConfig)
class Sealed(Synthetic):
    """A data set whose test part nobody may open."""

    def test(self) -> Any:
        raise AssertionError("the search asked for the test data")


@nastk.mark.operation("broken-operation")
class Broken(Operation):
    """An operation that fails when it is used."""

    def __init__(self, site: Site) -> None:  # noqa: ARG002  the interface's argument
        super().__init__()

    def forward(self, x_TBCHW: Tensor) -> Tensor:  # noqa: ARG002
        raise RuntimeError("this operation is broken")


@pytest.fixture
def offered() -> Iterator[None]:
    """The plug-ins of this file, installed for a test."""
    registry().offer(Sealed, Broken)
    yield
    registry().withdraw(Sealed, Broken)


@pytest.mark.usefixtures("offered")
def test_the_search_never_asks_for_the_test_data(prepare: Prepare, settings: dict[str, Any], tmp_path: Path) -> None:
    tables = {**settings.get("tables", {}), "dataset": {"name": "sealed", "size": 8, "train_images": 160}}
    run = prepare(**{**settings, "tables": tables})
    with pytest.raises(AssertionError):
        run.dataset.test()
    assert isinstance(go(run).genotype, Genotype)
    assert nastk.search(run.config, out=tmp_path / "through-the-face") in run.space


def test_a_space_of_one_member_terminates(prepare: Prepare, settings: dict[str, Any]) -> None:
    tables = {**settings.get("tables", {}), "space": {"operations": ["conv_3x3"]}, "budget": {"evaluations": 4}}
    run = prepare(**{**settings, "tables": tables})
    assert run.space.size == 1
    found = go(run)
    assert found.genotype == run.space.decode([0] * len(run.space.decisions))
    assert found.steps <= STEPS
    assert len(run.context.trials) <= 1


@pytest.mark.usefixtures("offered")
def test_a_failed_candidate_is_reported_and_loses(prepare: Prepare) -> None:
    tables = {"space": {"operations": ["conv_3x3", "broken-operation"]}}
    run = prepare("random-search", seed=1, trials=6, batch=2, epochs=1, tables=tables)
    found = go(run)
    reports = list(run.context.trials.values())
    failed = [r for r in reports if r.failure is not None]
    assert failed
    assert len(failed) < len(reports), "this seed draws candidates of both kinds"
    assert all("this operation is broken" in str(r.failure) for r in failed)
    assert all(any(e.op == "broken-operation" for e in r.proposal.genotype.cell("shared").edges) for r in failed)
    assert all(e.op == "conv_3x3" for e in found.genotype.cell("shared").edges)
    saved = run.store.load(STAGE)
    assert saved is not None
    assert saved["state"]["failed"] >= len(failed)
    best = max(r.accuracy for r in reports)
    assert saved["state"]["accuracy"] == best


def test_a_diverging_candidate_is_a_failed_report(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepare("random-search", trials=2, batch=2, epochs=1)
    monkeypatch.setattr(type(run.task), "loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    found = go(run)
    assert found.genotype in run.space
    assert all("epoch 1, step 1" in str(r.failure) for r in run.context.trials.values())


def test_a_known_trial_is_not_run_again(prepare: Prepare) -> None:
    run = prepare("random-search", trials=4, batch=2, epochs=1, tables={"space": {"operations": ["conv_3x3"]}})
    calls: list[int] = []
    inner = run.context._executor.run

    def counted(trials: Any, work: Any) -> Any:
        calls.append(len(trials))
        return inner(trials, work)

    run.context._executor.run = counted  # type: ignore[method-assign]
    go(run)
    assert calls == [1]


@pytest.mark.parametrize(
    "damage", [lambda blob: blob[:-1], lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])], ids=["cut", "flipped"]
)
def test_damaged_checkpoint_falls_back_to_the_one_before(
    prepare: Prepare, settings: dict[str, Any], damage: Callable[[bytes], bytes]
) -> None:
    whole = prepare(**settings)
    go(whole)
    wanted = end_state(whole)
    last = whole.store.path / "checkpoints" / f"{STAGE}-{STEPS:06d}.safetensors"
    last.write_bytes(damage(last.read_bytes()))
    again = prepare(into=whole.store.path, **settings)
    assert RunDirectory(whole.store.path).load(STAGE)["step"] == STEPS - 1  # type: ignore[index]
    go(again)
    assert same(end_state(again), wanted)
