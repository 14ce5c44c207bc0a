"""nastk: a modular, plug-in based toolkit for neural architecture search, spiking networks first.

The public face. Names are loaded on first use, so ``import nastk`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_FACE = {
    "mark": "nastk.core.mark",
    "hookimpl": "nastk.core.hookspecs:hookimpl",
    "registry": "nastk.core.registry:registry",
    "NastkError": "nastk.core.errors:NastkError",
    "Axis": "nastk.core.types:Axis",
    "Face": "nastk.core.types:Face",
    "Kind": "nastk.core.types:Kind",
    "Shape": "nastk.core.types:Shape",
    "Split": "nastk.core.types:Split",
    "Cell": "nastk.core.cell.graph:Cell",
    "Edge": "nastk.core.cell.graph:Edge",
    "Genotype": "nastk.core.cell.graph:Genotype",
    "fold": "nastk.core.cell.graph:fold",
    "Decision": "nastk.core.cell.space:Decision",
    "SearchSpace": "nastk.core.cell.space:SearchSpace",
    "Relaxable": "nastk.core.cell.space:Relaxable",
    "Surrogate": "nastk.core.model.surrogate:Surrogate",
    "Neuron": "nastk.core.model.neuron:Neuron",
    "ThresholdNeuron": "nastk.core.model.neuron:ThresholdNeuron",
    "Attention": "nastk.core.model.attention:Attention",
    "Operation": "nastk.core.model.operation:Operation",
    "Site": "nastk.core.model.operation:Site",
    "over_time": "nastk.core.model.operation:over_time",
    "Dataset": "nastk.core.data.dataset:Dataset",
    "Samples": "nastk.core.data.dataset:Samples",
    "Estimator": "nastk.core.model.estimator:Estimator",
    "Executor": "nastk.core.run.executor:Executor",
    "Reporter": "nastk.core.events:Reporter",
    "Strategy": "nastk.core.run.strategy:Strategy",
    "AskTell": "nastk.core.run.strategy:AskTell",
    "RunConfig": "nastk.core.settings:RunConfig",
    "run": "nastk.core.run.run:run",
    "search": "nastk.core.run.run:search",
    "train": "nastk.core.run.run:train",
    "evaluate": "nastk.core.run.run:evaluate",
}

__all__ = sorted([*_FACE, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'nastk' has no attribute {name!r}")
    module, _, attribute = _FACE[name].partition(":")
    loaded = importlib.import_module(module)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
