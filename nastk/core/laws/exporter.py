"""The laws of exporters: what is written and read again is the same function, and damage is said to be damage."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nastk.core import seeds
from nastk.core.config import Part, SpacePart, structure
from nastk.core.errors import NastkError
from nastk.core.laws.law import LawBook, LawBroken, applies, ensure
from nastk.core.laws.watch import Scratch, contents, random_state_kept, scratch
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.seeds import generator, seeded
from nastk.core.settings import ModelConfig
from nastk.core.types import Kind, Shape

CLASSES = 3
SIDE = 8


@frozen
class Member:
    """A small network: a member of the space toy from a seed, with these neurons, on static samples or recordings."""

    neuron: str
    time_steps: int
    channels: int
    recorded: bool
    seed: int

    @property
    def size(self) -> int:
        """Grows with the work."""
        return self.time_steps * self.channels

    @property
    def sample(self) -> Shape:
        """Shape of one sample."""
        return Shape(self.time_steps if self.recorded else 1, 2, SIDE, SIDE)

    def samples(self, count: int, salt: int = 0) -> Tensor:
        """Normalised samples ``(T, count, C, H, W)``, others for another ``salt``."""
        T, C, H, W = self.sample
        return torch.randn((T, count, C, H, W), generator=generator(self.seed, "samples", salt))

    def trained(self) -> Trained:
        """The network in evaluation mode, with weights and norms that are not those of a fresh one."""
        document = {"neuron": self.neuron, "time_steps": self.time_steps, "channels": self.channels, "cells": 2}
        space = SpacePart.named("toy").build(structure(document, ModelConfig, "a law"))
        with seeded(self.seed, "weights"), torch.no_grad():
            network = Network(space.sample(seeds.rng(self.seed, "member")), self.sample, CLASSES)
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            for salt in (1, 2):
                network(self.samples(4, salt))  # in training mode, which moves the statistics of the norms
        return Trained(network.eval(), self.sample, CLASSES, (0.5, 0.25), (0.2, 0.3))


def draw(rng: random.Random) -> Member:
    """Spiking neurons or ReLU, one to three steps."""
    neuron = rng.choice(["lif", "plif", "relu"])
    return Member(neuron, rng.randint(1, 3), rng.choice([2, 4]), rng.random() < 0.5, rng.randrange(10**6))


@frozen
class Exporting:
    """An exporter, and a network for it."""

    exporter: Exporter
    trained: Trained

    def write(self, place: Scratch, name: str = "network") -> Path:
        """Write the network into the folder. A network that the exporter refuses is none of a law's business."""
        path = place.folder / f"{name}{self.exporter.suffix}"
        try:
            self.exporter.write(self.trained, path)
        except NastkError as refusal:
            applies(False, str(refusal))
        return path


def prepare(part: Part, case: Member) -> Exporting:
    """A fresh exporter, and the network."""
    return Exporting(part.build(), case.trained())


BOOK: LawBook[Exporting, Member] = LawBook(Kind.EXPORTER, draw, prepare, examples=8, vary=True)


def logits_of(function: Callable[[Tensor], Tensor], x_TBCHW: Tensor) -> Tensor:
    """The logits without gradients."""
    with torch.no_grad():
        return function(x_TBCHW.clone())


@BOOK.law
def round_trip(it: Exporting, case: Member) -> None:
    """The file that was written holds the same function: logits ``(T, B, K)`` within ``tolerance``, for any batch size."""
    batches = [case.samples(count) for count in (4, 1)]
    before = [logits_of(it.trained.network, x_TBCHW) for x_TBCHW in batches]
    with scratch() as place:
        function = it.exporter.read(it.write(place))
        for x_TBCHW, wanted in zip(batches, before, strict=True):
            found = logits_of(function, x_TBCHW)
            ensure(found.shape == wanted.shape, f"logits {tuple(wanted.shape)} came back as {tuple(found.shape)}")
            apart = float((found.double() - wanted.double()).abs().mean() / wanted.double().abs().mean())
            ensure(apart <= it.exporter.tolerance, f"logits lie {apart:.2g} apart, tolerance is {it.exporter.tolerance:g}")


@BOOK.law_tried(2)
def reading_gives_a_pure_function(it: Exporting, case: Member) -> None:
    """The function that is read gives equal answers to equal samples, whatever ran before."""
    with scratch() as place:
        path = it.write(place)
        function, fresh = it.exporter.read(path), it.exporter.read(path)
        x_TBCHW, other = case.samples(2), case.samples(2, salt=3)
        first = logits_of(function, x_TBCHW)
        between, alone = logits_of(function, other), logits_of(fresh, other)
        again = logits_of(function, x_TBCHW)
        ensure(torch.equal(between, alone), "a call after another gave another answer than a first call")
        ensure(torch.equal(first, again), "the second call gave another answer: something is kept between calls")


@BOOK.law_tried(1)
def writes_that_file_only(it: Exporting, case: Member) -> None:
    """The file is there, under the name it was given, and no other file is written or changed."""
    del case
    ensure(it.exporter.suffix.startswith("."), f"its suffix is {it.exporter.suffix!r}, without a dot")
    with scratch() as place:
        path = it.write(place)
        written = list(contents(place.folder))
        ensure(path.is_file(), f"{path.name} is not there, but {', '.join(written) or 'nothing'}")
        ensure(written == [path.name], f"beside {path.name} it wrote {', '.join(set(written) - {path.name})}")
        touched = place.touched()
        ensure(not touched, f"it touched {', '.join(touched[:3])} elsewhere")


@BOOK.law_tried(3)
def the_network_is_left_as_it_is(it: Exporting, case: Member) -> None:
    """Writing changes nothing in the network: mode, weights, gradients, hooks, and what it computes."""
    network = it.trained.network
    x_TBCHW = case.samples(2)
    before, logits = looks(network), logits_of(network, x_TBCHW)
    with scratch() as place:
        it.write(place, "another")
    after = looks(network)
    changed = [name for name in before.keys() | after.keys() if not same(before.get(name), after.get(name))]
    ensure(not changed, f"it changed {', '.join(sorted(changed)[:3])}")
    ensure(torch.equal(logits_of(network, x_TBCHW), logits), "the network computes something else afterwards")


def looks(network: Network) -> dict[str, Any]:
    """All that can be seen of a network, by a name."""
    found: dict[str, Any] = {name: value.detach().clone() for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        found[f"{name}.requires_grad"], found[f"{name}.grad"] = parameter.requires_grad, parameter.grad
    for name, module in network.named_modules():
        found[f"the mode of {name or 'the network'}"] = (type(module), module.training)
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            found[f"the hooks of {name or 'the network'} ({kind})"] = len(getattr(module, kind))
    return found


def same(left: Any, right: Any) -> bool:
    """Whether two looks are equal."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.dtype == right.dtype and left.device == right.device and torch.equal(left, right)
    return bool(left is right or (not isinstance(left, Tensor) and left == right))


@BOOK.law_tried(1)
def damage_is_refused(it: Exporting, case: Member) -> None:
    """A file that is missing, cut off or filled with garbage raises a ``NastkError``, and no other error."""
    with scratch() as place:
        whole = it.write(place).read_bytes()
        noise = random.Random(case.seed).randbytes(len(whole))
        damaged = {
            "a missing file": None,
            "an empty file": b"",
            "a file of which half is there": whole[: len(whole) // 2],
            "a file without its last tenth": whole[: -max(1, len(whole) // 10)],
            "a file that begins with garbage": noise[:64] + whole[64:],
            "a file of garbage": noise,
            "a file of text": b"this is no network\n" * 20,
        }
        for number, (what, content) in enumerate(damaged.items()):
            path = place.folder / f"damaged-{number}{it.exporter.suffix}"
            if content is not None:
                path.write_bytes(content)
            try:
                it.exporter.read(path)
            except NastkError:
                continue
            except Exception as error:
                raise LawBroken(f"{what} raised {type(error).__name__}: {error}") from error
            raise LawBroken(f"{what} was read as a network")


@BOOK.law_tried(1)
def global_random_state_is_kept(it: Exporting, case: Member) -> None:
    """Writing and reading neither draw from the global random state (torch, numpy, random) nor seed it."""
    with scratch() as place, random_state_kept(case.seed, "exporter"):
        it.exporter.read(it.write(place))
