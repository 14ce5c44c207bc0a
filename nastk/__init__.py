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
    "Cell": "nastk.core.graph:Cell",
    "Edge": "nastk.core.graph:Edge",
    "Genotype": "nastk.core.graph:Genotype",
    "fold": "nastk.core.graph:fold",
    "Decision": "nastk.core.space:Decision",
    "SearchSpace": "nastk.core.space:SearchSpace",
    "Relaxable": "nastk.core.space:Relaxable",
    "Surrogate": "nastk.core.surrogate:Surrogate",
    "Neuron": "nastk.core.neuron:Neuron",
    "ThresholdNeuron": "nastk.core.neuron:ThresholdNeuron",
    "Attention": "nastk.core.attention:Attention",
    "Operation": "nastk.core.operation:Operation",
    "Site": "nastk.core.operation:Site",
    "over_time": "nastk.core.operation:over_time",
    "Dataset": "nastk.core.dataset:Dataset",
    "Samples": "nastk.core.dataset:Samples",
    "Estimator": "nastk.core.estimator:Estimator",
    "Executor": "nastk.core.executor:Executor",
    "Reporter": "nastk.core.events:Reporter",
    "Strategy": "nastk.core.strategy:Strategy",
    "AskTell": "nastk.core.strategy:AskTell",
    "RunConfig": "nastk.core.settings:RunConfig",
    "run": "nastk.core.run:run",
    "search": "nastk.core.run:search",
    "train": "nastk.core.run:train",
    "evaluate": "nastk.core.run:evaluate",
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
