"""A genotype at another size: its cells with parts that a run sets anew (wider, deeper, another neuron). Torch-free."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

from attrs import evolve

from nastk.core.cell.attended import attention_parts
from nastk.core.cell.cells import LATER, LAYERS, part_decisions
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import fixed_path
from nastk.core.config import NeuronPart, unstructure
from nastk.core.errors import SchemaError
from nastk.core.settings import ModelConfig
from nastk.core.types import Scalar


def settings_of(genotype: Genotype) -> dict[str, Any]:
    """The space and the ``[model]`` table that a genotype was made for, as plain data of a run file, and no smaller proxy.

    Raises :class:`SchemaError` for a genotype without one of these parts.
    """
    try:
        neuron = NeuronPart.from_flat(str(genotype.part("neuron")), genotype.section("neuron"))
        attention = attention_parts(genotype)
        model = {name: genotype.part(name) for name in ("attention_location", "time_steps", "channels")}
        model |= {name: genotype.part(name, usual) for name, usual in LATER.items()}
        first = attention_parts(genotype.with_parts(input_attention=model["input_attention"]), "input_attention")
        cells = len(str(genotype.part(LAYERS)))
    except KeyError as error:
        raise SchemaError(f"The genotype {genotype.digest} has no part {error}.") from error
    options = [unstructure(part) for part in attention]
    parts = {"neuron": unstructure(neuron), "attention": options[0] if len(options) == 1 else {"choices": options}}
    parts["input_attention"] = unstructure(first[0])
    return {"space": genotype.space, "model": {**model, **parts, "cells": cells}, "proxy": {"cells": 0}}


def resized(genotype: Genotype, model: ModelConfig) -> Genotype:
    """The genotype's cells with the parts of a model; its own path of layers where the number of cells is the same.

    Where every layer has a cell of its own, another number of layers is filled by :func:`tiled`.
    """
    parts: dict[str, Scalar] = {}
    for decision in part_decisions(model):
        parts |= dict(decision.options[0])
    if len(str(parts[LAYERS])) == len(str(genotype.part(LAYERS))):
        parts[LAYERS] = genotype.part(LAYERS)
    elif all(name.isdigit() for name, _ in genotype.cells):
        genotype = tiled(genotype, len(str(parts[LAYERS])))
    sections = {decision.name for decision in part_decisions(model)} | set(LATER)
    kept = {name: value for name, value in genotype.parts if name.partition(".")[0] not in sections}
    return evolve(genotype, parts={**kept, **parts})


def tiled(genotype: Genotype, layers: int) -> Genotype:
    """A genotype with a cell for each layer, at another depth, on the fixed path (D-DARTS, Heuillet et al., arXiv 2108.09306).

    The reductions stay reductions, now at ``layers // 3`` and ``2 * layers // 3``; the layers of each third take the cells
    of the same third in turn. Ours: a third that has none takes those of the one before it, the first its reduction.
    """
    ends, new_ends = _reductions(str(genotype.part(LAYERS))), _reductions(fixed_path(layers))
    pools: list[list[int]] = []
    for start, end in pairwise([-1, *ends, len(str(genotype.part(LAYERS)))]):
        pools.append([*range(start + 1, end)] or [*pools[-1:], [end]][0])
    sources: list[int] = []
    for third, (start, end) in enumerate(pairwise([-1, *new_ends, layers])):
        pool = pools[min(third, len(pools) - 1)]
        sources += [pool[i % len(pool)] for i in range(end - start - 1)]
        if end < layers:
            sources.append(ends[min(third, len(ends) - 1)] if ends else pool[-1])
    cells = {str(layer): genotype.cell(str(source)) for layer, source in enumerate(sources)}
    return evolve(genotype, cells=cells, parts={**dict(genotype.parts), LAYERS: fixed_path(layers)})


def _reductions(path: str) -> list[int]:
    """The layers whose scale is above the one before."""
    return [layer for layer, before, here in zip(count(), "0" + path, path, strict=False) if here > before]
