"""The laws of spaces that build networks: members run, and the supernet at one-hot weights is its members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor, nn

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Relaxable
from nastk.core.config import EstimatorPart
from nastk.core.errors import NastkError, ShapeError
from nastk.core.laws.ground import Ground, Walk, member
from nastk.core.laws.law import DoesNotApply, applies, ensure
from nastk.core.model.network import Network
from nastk.core.seeds import generator, seeded
from nastk.core.types import Shape

SAMPLE, CLASSES, BATCH = Shape(1, 2, 8, 8), 3, 3
EXTREME = (0.0, 1.0, -1.0, 1e-300, -1e-300, 1e300, -1e300)
TOLERANCE = 1e-9


def network(genotype: Genotype, **options: Any) -> Network:
    """The network of a member, or of a full genotype; a law does not apply where it is deeper than images are large."""
    try:
        with seeded(5):
            return Network(genotype, SAMPLE, CLASSES, **options)
    except ShapeError as fault:
        raise DoesNotApply(str(fault)) from fault


def images(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """``(1, B, C, H, W)``, normal, three wide."""
    return (3 * torch.randn(1, BATCH, *SAMPLE[1:], generator=generator(seed, "images"), dtype=torch.float64)).to(dtype)


def members_run(ground: Ground, case: Walk) -> None:
    """The network of a member gives finite logits ``(T, B, K)``, in training and in evaluation."""
    _, genotype = member(ground.space, case.rng("members run"))
    net = network(genotype)
    wanted = (int(genotype.part("time_steps")), BATCH, CLASSES)
    for training in (True, False):
        with torch.no_grad():
            logits = net.train(training)(images(case.seed, torch.float32))
        ensure(logits.shape == wanted, f"the logits of {genotype.digest} have the shape {tuple(logits.shape)}, not {wanted}")
        ensure(bool(logits.isfinite().all()), f"the logits of {genotype.digest} are not finite")


def parameters_add_up(ground: Ground, case: Walk) -> None:
    """The estimator ``parameters`` counts what the network of a member has."""
    _, genotype = member(ground.space, case.rng("parameters"))
    try:
        with torch.device("meta"):
            count = sum(p.numel() for p in network(genotype).parameters())
    except NastkError as fault:
        raise DoesNotApply(f"{genotype.digest} cannot be built: see members_run") from fault
    found = EstimatorPart.named("parameters").build().estimate(genotype, SAMPLE, CLASSES).value
    ensure(found == count, f"the network of {genotype.digest} has {count} parameters, the estimator says {found:g}")


def relaxable(ground: Ground) -> Relaxable:
    """The space, where it has a supernet."""
    applies(isinstance(ground.space, Relaxable), "it is no Relaxable space")
    assert isinstance(ground.space, Relaxable)
    return ground.space


def closed(space: Relaxable, genotype: Genotype) -> Genotype:
    """The member with the first option of every searched part that the supernet does not cover."""
    names = getattr(space, "open_parts", ())
    mine = {name: value for name, value in genotype.parts if name.partition(".")[0] not in names}
    firsts = {name: value for name, value in space.full().parts if name.partition(".")[0] in names}
    return evolve(genotype, parts={**mine, **firsts})


def mixing(space: Relaxable, case: Walk, salt: int) -> tuple[str, Mapping[str, NDArray[Any]]]:
    """Finite weights of a kind, and which: random, tied, extreme or equal."""
    _, genotype = member(space, case.rng("mixing"))
    rng = np.random.default_rng([case.seed, salt])
    kind = ("random", "tied", "extreme", "equal")[salt % 4]

    def drawn(shape: tuple[int, ...]) -> NDArray[Any]:
        if kind == "random":
            return rng.dirichlet(np.ones(shape[-1]), shape[:-1])
        if kind == "tied":
            return rng.integers(0, 2, shape).astype(float)
        return rng.choice(EXTREME, shape) if kind == "extreme" else np.full(shape, 1 / shape[-1])

    return kind, {name: drawn(np.asarray(weights).shape) for name, weights in space.one_hot(closed(space, genotype)).items()}


def derive_is_closed(ground: Ground, case: Walk) -> None:
    """Any finite mixing weights stand for a member: random, tied, extreme and equal ones; they are not written into."""
    space = relaxable(ground)
    for salt in range(12):
        kind, weights = mixing(space, case, salt)
        kept = {name: array.copy() for name, array in weights.items()}
        with np.errstate(all="ignore"):
            found = space.derive(weights)
            again = space.derive(kept)
        ensure(found in space, f"{kind} weights stand for {found}, which is not in the space")
        ensure(found == again, f"{kind} weights stand for another member when they are given again")
        ensure(all(np.array_equal(kept[name], weights[name]) for name in kept), "derive wrote into the weights")


def one_hot_derives_back(ground: Ground, case: Walk) -> None:
    """Derived from its one-hot weights, a member is itself."""
    space, rng = relaxable(ground), case.rng("one hot")
    for _ in range(5):
        choice, found = member(space, rng)
        genotype = closed(space, found)
        hot = space.one_hot(genotype)
        ensure(space.derive(hot) == genotype, f"the one-hot weights of {choice} stand for another member")


def supernet_is_its_members(ground: Ground, case: Walk) -> None:
    """At one-hot weights the supernet computes what the member with its weights computes."""
    space, rng = relaxable(ground), case.rng("supernet")
    supernet = network(space.full(), affine=False).double()
    _settle(supernet)
    for i in range(2):
        choice, found = member(space, rng)
        genotype = closed(space, found)
        hot = {name: torch.from_numpy(np.array(w, np.float64)) for name, w in space.one_hot(genotype).items()}
        applies(space.derive(space.one_hot(genotype)) == genotype, "one_hot is wrong: see the law about it")
        if not i:  # norms see other images under even weights, so that evaluation is about something
            with torch.no_grad():
                supernet.train()(images(case.seed + 1), {name: torch.full_like(w, 1 / w.shape[-1]) for name, w in hot.items()})
        alone = network(genotype).double()
        _settle(alone)
        alone.inherit(supernet)
        x = images(case.seed)
        for training in (False, True):  # training moves the statistics of both
            with torch.no_grad():
                gap = float((supernet.train(training)(x, hot) - alone.train(training)(x)).abs().max())
            when = "in training" if training else "in evaluation"
            ensure(gap <= TOLERANCE, f"{when}, the logits of the supernet and of the member {choice} are {gap:.3g} apart")


def _settle(net: Network) -> None:
    """Running statistics are plain means, so that one batch is enough."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
