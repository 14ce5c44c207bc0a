"""What a network's file says beside its weights: text that is checked like any file from a stranger."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from attrs import field, frozen
from attrs.validators import deep_iterable, ge, gt
from torch import Tensor

import nastk
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import SEARCHED
from nastk.core.config import structure, unstructure
from nastk.core.errors import NastkError, SchemaError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Trained
from nastk.core.seeds import seeded
from nastk.core.types import Shape

SCHEMA = "1"
SHA256 = "sha256"


def _finite(_instance: object, _attribute: object, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")


@frozen(kw_only=True)
class Facts:
    """The plain entries, each of them JSON in the file."""

    sample: tuple[int, int, int, int] = field(validator=deep_iterable(ge(1)))
    classes: int = field(validator=ge(1))
    mean: tuple[float, ...] = field(validator=deep_iterable(_finite))
    std: tuple[float, ...] = field(validator=deep_iterable([_finite, gt(0)]))

    def __attrs_post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.sample[1]:
            raise ValueError(f"{self.sample[1]} channels, but {len(self.mean)} means and {len(self.std)} deviations")


@frozen
class Card:
    """A network without its weights: genotype, shape ``(T, C, H, W)`` of a sample, classes, normalisation."""

    genotype: Genotype
    facts: Facts

    @staticmethod
    def of(trained: Trained) -> Card:
        """The card of a trained network. Raises :class:`NastkError` for facts that make no sense."""
        facts = {"sample": trained.sample, "classes": trained.classes, "mean": trained.mean, "std": trained.std}
        return Card(trained.network.genotype, structure(facts, Facts, "the trained network"))

    def text(self) -> dict[str, str]:
        """The metadata of a file, without its checksum."""
        plain = {name: json.dumps(value) for name, value in unstructure(self.facts).items()}
        return {"format": "pt", "nastk": nastk.__version__, "schema": SCHEMA, "genotype": self.genotype.to_json(), **plain}

    @staticmethod
    def read(metadata: Mapping[str, str] | None, source: str) -> Card:
        """The inverse of :meth:`text`. Raises :class:`SchemaError`, naming the source."""
        if not metadata or not {"nastk", "schema", "genotype"} <= set(metadata):
            raise SchemaError(f"{source} was not exported by nastk: its metadata has no schema and genotype.")
        if metadata["schema"] != SCHEMA:
            raise SchemaError(f"{source} has network schema {metadata['schema']!r:.40}, this nastk reads {SCHEMA}.")
        genotype = Genotype.from_json(metadata["genotype"], f"The genotype in {source}")
        names = ("sample", "classes", "mean", "std")
        try:
            facts = structure({n: json.loads(metadata[n]) for n in names if n in metadata}, Facts, source)
        except (ValueError, RecursionError) as error:
            raise SchemaError(f"{source} is damaged: its metadata is not JSON: {error}.") from error
        except NastkError as error:
            raise SchemaError(f"{source} is damaged: {error}") from error
        return Card(genotype, facts)

    def network(self) -> Network:
        """A network of this card with arbitrary weights, which takes no mixing weights.

        Raises :class:`NastkError`, also for whatever a plug-in raises that meets settings it does not know.
        """
        mixed = any(len(edge.candidates) > 1 for _, cell in self.genotype.cells for edge in cell.edges)
        try:
            if mixed or SEARCHED in str(self.genotype.part("layers")):
                raise SchemaError("it is a supernet, which has no answer without mixing weights; derive a genotype first")
            with seeded(0, "exported network"):
                return Network(self.genotype, Shape(*self.facts.sample), self.facts.classes).eval()
        except NastkError:
            raise
        except Exception as error:  # a genotype from a stranger may ask for anything
            raise SchemaError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that the network has, on the meta device: shapes and types, no numbers and no memory."""
        with torch.device("meta"):
            return dict(self.network().state_dict())


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over metadata (but for the checksum itself) and tensors: names, types, shapes, bytes; order is irrelevant."""
    digest = hashlib.sha256()

    def add(*values: Any) -> None:
        digest.update(json.dumps(values).encode() + b"\n")

    for name, text in sorted(metadata.items()):
        if name != SHA256:
            add(name, text)
    for name, tensor in sorted(tensors.items()):
        add(name, str(tensor.dtype), list(tensor.shape))
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
