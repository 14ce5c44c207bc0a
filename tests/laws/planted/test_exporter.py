"""Exporters with one fault each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nastk import mark
from nastk.core import seeds
from nastk.core.cell.graph import Genotype
from nastk.core.errors import NastkError, OutputError, SchemaError
from nastk.core.laws.exporter import BOOK
from nastk.core.model.network import Network
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.types import Shape


class Right(Exporter):
    """One .npz file; what every faulty exporter below would be without its fault."""

    suffix = ".npz"

    def write(self, trained: Trained, path: Path) -> None:
        state = {name: self.stored(value) for name, value in trained.network.state_dict().items()}
        card = [trained.network.genotype.to_json(), trained.sample, trained.classes]
        np.savez(path, __card__=json.dumps(card), **state)

    def stored(self, value: Tensor) -> Any:
        return value.numpy()

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        try:
            return self.loaded(path)
        except NastkError:
            raise
        except Exception as error:
            raise SchemaError(f"{path} holds no network: {error}") from error

    def loaded(self, path: Path) -> Network:
        with np.load(path, allow_pickle=False) as file:
            genotype, sample, classes = json.loads(str(file["__card__"]))
            network = self.network(Genotype.from_json(genotype), Shape(*sample), classes)
            state = {name: torch.from_numpy(file[name]).float() for name in file.files if name != "__card__"}
        network.load_state_dict(state)
        return network.eval()

    def network(self, genotype: Genotype, sample: Shape, classes: int) -> Network:
        with seeds.seeded(0):
            return Network(genotype, sample, classes)


@mark.exporter("arrays")
class Arrays(Right):
    """No fault."""


@mark.exporter("spiking-only")
class SpikingOnly(Right):
    """No fault: refuses a network without spikes."""

    def write(self, trained: Trained, path: Path) -> None:
        if trained.network.genotype.part("neuron") == "relu":
            raise OutputError("The network does not spike: nothing to export.")
        super().write(trained, path)


@mark.exporter("halved")
class Halved(Right):
    """Stores 16 bits, and promises more."""

    def stored(self, value: Tensor) -> Any:
        return value.half().numpy() if value.is_floating_point() else value.numpy()


@mark.exporter("averaged")
class Averaged(Right):
    """Reads a function that has no time."""

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        network = super().read(path)
        return lambda x_TBCHW: network(x_TBCHW).mean(0)


@mark.exporter("single")
class Single(Right):
    """Reads a function that is good for a batch of four."""

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        network = super().read(path)
        return lambda x_TBCHW: network(x_TBCHW)[:, :4].expand(-1, 4, -1) if x_TBCHW.shape[1] != 2 else network(x_TBCHW)


@mark.exporter("caching")
class Caching(Right):
    """Reads a function that keeps an answer for each shape."""

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        network, kept = super().read(path), {}

        def cached(x_TBCHW: Tensor) -> Tensor:
            if x_TBCHW.shape not in kept:
                kept[x_TBCHW.shape] = network(x_TBCHW)
            return kept[x_TBCHW.shape]

        return cached


@mark.exporter("drifting")
class Drifting(Right):
    """Reads a function that changes from call to call."""

    tolerance = 0.5

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        network, calls = super().read(path), []

        def drifting(x_TBCHW: Tensor) -> Tensor:
            calls.append(1)
            return network(x_TBCHW) * (1 + 0.001 * len(calls))

        return drifting


@mark.exporter("talkative")
class Talkative(Right):
    """Writes a second file."""

    def write(self, trained: Trained, path: Path) -> None:
        super().write(trained, path)
        path.with_suffix(".json").write_text("{}")


@mark.exporter("scattering")
class Scattering(Right):
    """Leaves a file in the current folder."""

    def write(self, trained: Trained, path: Path) -> None:
        super().write(trained, path)
        Path("last-export.txt").write_text(str(path))


@mark.exporter("waking")
class Waking(Right):
    """Leaves the network in training mode."""

    def write(self, trained: Trained, path: Path) -> None:
        super().write(trained, path)
        trained.network.train()


@mark.exporter("freezing")
class Freezing(Right):
    """Leaves the weights without gradients."""

    def write(self, trained: Trained, path: Path) -> None:
        super().write(trained, path)
        trained.network.requires_grad_(False)


@mark.exporter("hooking")
class Hooking(Right):
    """Leaves a hook."""

    def write(self, trained: Trained, path: Path) -> None:
        super().write(trained, path)
        trained.network.body.register_forward_hook(lambda *_: None)


@mark.exporter("trusting")
class Trusting(Right):
    """Lets numpy's errors through."""

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        return self.loaded(path)


@mark.exporter("forgiving")
class Forgiving(Right):
    """Reads any file as a network that says zero."""

    def read(self, path: Path) -> Callable[[Tensor], Tensor]:
        try:
            return super().read(path)
        except NastkError:
            return lambda x_TBCHW: torch.zeros(len(x_TBCHW), x_TBCHW.shape[1], 1)


@mark.exporter("drawing")
class Drawing(Right):
    """Builds a fresh network from the global generator before it loads the weights."""

    def network(self, genotype: Genotype, sample: Shape, classes: int) -> Network:
        return Network(genotype, sample, classes)


FAULTS: list[tuple[type[Exporter], set[str]]] = [
    (Arrays, set()),
    (SpikingOnly, set()),
    (Halved, {"round_trip"}),
    (Averaged, {"round_trip"}),
    (Single, {"round_trip"}),
    (Caching, {"reading_gives_a_pure_function"}),
    (Drifting, {"reading_gives_a_pure_function"}),
    (Talkative, {"writes_that_file_only"}),
    (Scattering, {"writes_that_file_only"}),
    (Waking, {"the_network_is_left_as_it_is"}),
    (Freezing, {"the_network_is_left_as_it_is"}),
    (Hooking, {"the_network_is_left_as_it_is"}),
    (Trusting, {"damage_is_refused"}),
    (Forgiving, {"damage_is_refused"}),
    (Drawing, {"global_random_state_is_kept"}),
]


@pytest.mark.parametrize(("cls", "laws"), FAULTS, ids=[cls.__name__ for cls, _ in FAULTS])
def test_each_fault_breaks_the_law_it_is_about_and_no_other(cls: type[Exporter], laws: set[str], failed: Any) -> None:
    assert set(failed(cls)) == laws


def test_the_round_trip_is_tried_on_spikes_and_relu_on_images_and_recordings() -> None:
    cases = BOOK.cases(next(law for law in BOOK.laws if law.name == "round_trip"))
    assert {case.neuron == "relu" for case in cases} == {True, False}
    assert {case.recorded for case in cases if case.time_steps > 1} == {True, False}
    assert any(case.neuron != "relu" and case.time_steps > 1 for case in cases)
