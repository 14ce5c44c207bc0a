"""bfloat16 is of convolutions in training passes alone; ``auto`` is settled once, before a run is written."""

from __future__ import annotations

import json
import random
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nastk
from nastk.core.model.compute import Compute
from nastk.core.model.network import Network
from nastk.core.model.norm_mix import norm_mix
from nastk.core.model.norm_mix_kernels import Term
from nastk.core.run import precision as probing
from nastk.core.run.precision import PAYS, Probe, settled, uniform
from nastk.core.run.run import prepare
from nastk.core.run.runfile import configure
from nastk.core.run.store import RunDirectory
from nastk.core.types import Shape

torch.set_num_threads(1)
SAMPLE = Shape(1, 3, 8, 8)
SMALL = (
    "dataset.name=synthetic", "dataset.size=8", "dataset.train_images=160", "dataset.test_images=40", "space=toy", "device=cpu",
    "model.channels=4", "model.cells=2", "proxy.channels=0", "proxy.cells=0", "strategy.epochs=2", "strategy.warmup=1",
    "train.epochs=1", "train.batch=16",
)  # fmt: skip


def built(space: str, *, supernet: bool, precision: Any) -> Network:
    config = configure(sets=[f"space={space}", "model.channels=4"])
    made = config.space.build(config.model)
    genotype = made.full() if supernet else made.sample(random.Random(1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(genotype, SAMPLE, 4, affine=not supernet, compute=Compute(precision=precision)).train()


def learned(net: Network, *, supernet: bool) -> tuple[Tensor, Tensor]:
    """A loss, and its gradient as one vector."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 8, *SAMPLE[1:], generator=generator), torch.arange(8) % 4
    logits = net(x, uniform(net, torch.device("cpu")) if supernet else None)
    assert logits.dtype == torch.float32
    loss = F.cross_entropy(logits.mean(0), y)
    grads = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    return loss.detach(), torch.cat([g.flatten() for g in grads if g is not None])


@pytest.mark.parametrize("supernet", [False, True], ids=["member", "supernet"])
@pytest.mark.parametrize("space", ["toy", "darts-cells"])
def test_bfloat16_rounds_and_no_more(space: str, supernet: bool) -> None:
    exact, rounded = (built(space, supernet=supernet, precision=p) for p in ("float32", "bfloat16"))
    (loss, grad), (other, near) = (learned(net, supernet=supernet) for net in (exact, rounded))
    assert loss != other
    assert abs(loss - other) < 0.1
    # Spikes flip where a current is near a threshold, so their gradients agree in direction only roughly.
    assert F.cosine_similarity(grad, near, dim=0) > (0.95 if space == "darts-cells" else 0.4)
    assert {t.dtype for t in rounded.state_dict().values()} == {torch.float32, torch.int64}
    assert near.dtype == torch.float32


def test_convolutions_are_rounded_in_training_mode_alone() -> None:
    net = built("darts-cells", supernet=False, precision="bfloat16")
    seen: list[torch.dtype] = []
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda *given: seen.append(given[-1].dtype))
    x = torch.randn(1, 2, *SAMPLE[1:])
    net(x)
    assert set(seen) == {torch.bfloat16}
    seen.clear()
    net.eval()(x)
    assert set(seen) == {torch.float32}


def test_statistics_are_those_of_the_rounded_values_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    wide, narrow = (100 + torch.randn(4, 6, 5, 5, generator=generator) for _ in range(2))
    terms = [Term(0, 0, 0, True), Term(0, 1, 0, True), Term(1, 0, 0, True), Term(1, 1, 0, False)]
    weights = torch.rand(4, generator=generator)
    found = norm_mix(terms, 1, 3, 1e-5, weights, [wide, narrow.bfloat16()])
    expected = norm_mix(terms, 1, 3, 1e-5, weights, [wide, narrow.bfloat16().float()])
    for one, two in zip(chain(*found), chain(*expected), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, two)


def test_it_pays_from_a_tenth_on() -> None:
    assert Probe({"float32": 1.0, "bfloat16": 0.8}).choice == "bfloat16"
    assert Probe({"float32": 1.0, "bfloat16": 1 / PAYS + 1e-6}).choice == "float32"
    assert Probe({"float32": 1.0, "bfloat16": 2.0}).choice == "float32"
    said = Probe({"float32": 0.02, "bfloat16": 0.01}).sentence(torch.device("cpu"))
    assert all(part in said for part in ("'bfloat16'", "10 ms", "20 ms", "cpu"))


def test_the_probe_times_both_in_turns_and_keeps_the_random_state() -> None:
    run: Any = prepare(configure(sets=SMALL))
    tried = probing.networks(run.config, run.space, run.task)
    assert [mixing is None for _, mixing in tried] == [True, False]
    order: list[str] = []
    for network, _ in tried:
        network.register_forward_pre_hook(lambda net, _: order.append(net.compute.precision))
    ticks = iter(range(10**6))
    before = torch.get_rng_state()
    found = probing.probe(tried, run.task, run.config, lambda: float(next(ticks)))
    assert torch.equal(before, torch.get_rng_state())
    assert found.seconds == {"float32": 2.0, "bfloat16": 2.0}  # a tick a pass, two networks
    assert order == ["float32", "bfloat16"] * (len(order) // 2)
    assert len(order) == 2 * 2 * (probing.ROUNDS + 1)


def test_a_strategy_that_samples_has_no_supernet_to_try() -> None:
    run: Any = prepare(configure(sets=[*SMALL[:-4], "strategy=random-search", "train.batch=16"]))
    assert [mixing for _, mixing in probing.networks(run.config, run.space, run.task)] == [None]


def test_what_is_not_open_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "probe", lambda *_: pytest.fail("probed"))
    config = configure(sets=["precision=bfloat16"])
    assert settled(config, None, None) == (config, [])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def settled_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that chose bfloat16."""
    out = tmp_path_factory.mktemp("precision") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "probe", lambda *_: Probe({"float32": 2.0, "bfloat16": 1.0}))
        nastk.run(out=out, set=[*SMALL, "precision=auto"])
    return out


def test_the_choice_is_in_the_manifest_and_said_once(settled_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = tomllib.loads((settled_run / "manifest.toml").read_text())
    assert manifest["config"]["precision"] == "bfloat16"
    monkeypatch.setattr(probing, "probe", lambda *_: pytest.fail("a resumed run probed again"))
    nastk.run(resume=settled_run)
    notices = [line for line in (settled_run / "metrics.jsonl").read_text().splitlines() if "was chosen" in line]
    assert len(notices) == 1
    assert json.loads(notices[0])["event"] == "notice"


def test_a_run_in_bfloat16_keeps_float32(settled_run: Path) -> None:
    def dtypes(tree: Any) -> set[torch.dtype]:
        if isinstance(tree, Tensor):
            return {tree.dtype}
        return set().union(*map(dtypes, tree.values())) if isinstance(tree, dict) else set()

    for stage in ("search", "train"):
        saved = RunDirectory(settled_run).load(stage)
        assert torch.float32 in dtypes(saved)
        assert torch.bfloat16 not in dtypes(saved)


def test_trials_and_the_final_network_are_of_the_run_too() -> None:
    run: Any = prepare(configure(sets=[*SMALL, "precision=bfloat16", "recompute=true"]))
    wanted = Compute(precision="bfloat16", recompute=True)
    assert run.context.evaluation.compute == wanted
    assert run.build(run.space.sample(random.Random(0))).compute == wanted
    assert run.context.supernet().compute == wanted
