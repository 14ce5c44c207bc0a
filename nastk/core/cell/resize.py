"""A genotype at another size: its cells with parts that a run sets anew (wider, deeper, another neuron)."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from nastk.core.cell.cells import LAYERS, part_decisions
from nastk.core.cell.graph import Genotype
from nastk.core.config import AttentionPart, NeuronPart, unstructure
from nastk.core.errors import SchemaError
from nastk.core.settings import ModelConfig
from nastk.core.types import Scalar


def settings_of(genotype: Genotype) -> dict[str, Any]:
    """The space and the ``[model]`` table that a genotype was made for, as plain data of a run file.

    Raises :class:`SchemaError` for a genotype without one of these parts.
    """
    try:
        neuron = NeuronPart.from_flat(str(genotype.part("neuron")), genotype.section("neuron"))
        attention = AttentionPart.from_flat(str(genotype.part("attention")), genotype.section("attention"))
        model = {name: genotype.part(name) for name in ("attention_location", "time_steps", "channels")}
        cells = len(str(genotype.part(LAYERS)))
    except KeyError as error:
        raise SchemaError(f"The genotype {genotype.digest} has no part {error}.") from error
    parts = {"neuron": unstructure(neuron), "attention": unstructure(attention)}
    return {"space": genotype.space, "model": {**parts, "cells": cells, **model}}


def resized(genotype: Genotype, model: ModelConfig) -> Genotype:
    """The genotype's cells with the parts of a model; its own path of layers where the number of cells is the same."""
    parts: dict[str, Scalar] = {}
    for decision in part_decisions(model):
        parts |= dict(decision.options[0])
    if len(str(parts[LAYERS])) == len(str(genotype.part(LAYERS))):
        parts[LAYERS] = genotype.part(LAYERS)
    sections = {decision.name for decision in part_decisions(model)}
    kept = {name: value for name, value in genotype.parts if name.partition(".")[0] not in sections}
    return evolve(genotype, parts={**kept, **parts})
