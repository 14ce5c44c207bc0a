"""nastk: a modular, plug-in based toolkit for neural architecture search, spiking networks first.

The public face. Names are loaded on first use, so ``import nastk`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # what a type checker sees; at run time the same names are loaded on first use
    from nastk.core import mark as mark
    from nastk.core.ablation.ablate import ablate as ablate
    from nastk.core.ablation.outcome import StudyResult as StudyResult
    from nastk.core.bench.bench import bench as bench
    from nastk.core.bench.outcome import BenchResult as BenchResult
    from nastk.core.cell.distance import distance as distance
    from nastk.core.cell.graph import Cell as Cell
    from nastk.core.cell.graph import Edge as Edge
    from nastk.core.cell.graph import Genotype as Genotype
    from nastk.core.cell.graph import fold as fold
    from nastk.core.cell.space import Decision as Decision
    from nastk.core.cell.space import Relaxable as Relaxable
    from nastk.core.cell.space import SearchSpace as SearchSpace
    from nastk.core.data.dataset import Augmentation as Augmentation
    from nastk.core.data.dataset import Dataset as Dataset
    from nastk.core.data.dataset import Samples as Samples
    from nastk.core.data.splits import TrainingData as TrainingData
    from nastk.core.data.task import Task as Task
    from nastk.core.describe import describe as describe
    from nastk.core.errors import NastkError as NastkError
    from nastk.core.events import Reporter as Reporter
    from nastk.core.hookspecs import hookimpl as hookimpl
    from nastk.core.laws.check import check as check
    from nastk.core.laws.check import check_all as check_all
    from nastk.core.model.attention import Attention as Attention
    from nastk.core.model.estimator import Estimator as Estimator
    from nastk.core.model.estimator import Measurement as Measurement
    from nastk.core.model.neuron import Neuron as Neuron
    from nastk.core.model.neuron import ThresholdNeuron as ThresholdNeuron
    from nastk.core.model.operation import Operation as Operation
    from nastk.core.model.operation import Site as Site
    from nastk.core.model.operation import over_time as over_time
    from nastk.core.model.surrogate import Surrogate as Surrogate
    from nastk.core.registry import registry as registry
    from nastk.core.report.report import report as report
    from nastk.core.run.benchmark import Benchmark as Benchmark
    from nastk.core.run.estimate import estimate as estimate
    from nastk.core.run.executor import Executor as Executor
    from nastk.core.run.export import export as export
    from nastk.core.run.exporter import Exporter as Exporter
    from nastk.core.run.exporter import Trained as Trained
    from nastk.core.run.run import evaluate as evaluate
    from nastk.core.run.run import run as run
    from nastk.core.run.run import search as search
    from nastk.core.run.run import train as train
    from nastk.core.run.runs import compare_runs as compare_runs
    from nastk.core.run.runs import runs as runs
    from nastk.core.run.strategy import AskTell as AskTell
    from nastk.core.run.strategy import SearchContext as SearchContext
    from nastk.core.run.strategy import Strategy as Strategy
    from nastk.core.run.trial import Proposal as Proposal
    from nastk.core.run.trial import Report as Report
    from nastk.core.run.verify import verify as verify
    from nastk.core.scaffold import new as new
    from nastk.core.settings import RunConfig as RunConfig
    from nastk.core.types import Axis as Axis
    from nastk.core.types import Face as Face
    from nastk.core.types import Kind as Kind
    from nastk.core.types import Shape as Shape
    from nastk.core.types import Split as Split

_FACE = {
    "mark": "nastk.core.mark",
    "hookimpl": "nastk.core.hookspecs:hookimpl",
    "registry": "nastk.core.registry:registry",
    "describe": "nastk.core.describe:describe",
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
    "distance": "nastk.core.cell.distance:distance",
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
    "Augmentation": "nastk.core.data.dataset:Augmentation",
    "TrainingData": "nastk.core.data.splits:TrainingData",
    "Task": "nastk.core.data.task:Task",
    "Estimator": "nastk.core.model.estimator:Estimator",
    "Measurement": "nastk.core.model.estimator:Measurement",
    "Executor": "nastk.core.run.executor:Executor",
    "Reporter": "nastk.core.events:Reporter",
    "Exporter": "nastk.core.run.exporter:Exporter",
    "Trained": "nastk.core.run.exporter:Trained",
    "Benchmark": "nastk.core.run.benchmark:Benchmark",
    "Proposal": "nastk.core.run.trial:Proposal",
    "Report": "nastk.core.run.trial:Report",
    "SearchContext": "nastk.core.run.strategy:SearchContext",
    "Strategy": "nastk.core.run.strategy:Strategy",
    "AskTell": "nastk.core.run.strategy:AskTell",
    "RunConfig": "nastk.core.settings:RunConfig",
    "estimate": "nastk.core.run.estimate:estimate",
    "run": "nastk.core.run.run:run",
    "search": "nastk.core.run.run:search",
    "train": "nastk.core.run.run:train",
    "evaluate": "nastk.core.run.run:evaluate",
    "ablate": "nastk.core.ablation.ablate:ablate",
    "StudyResult": "nastk.core.ablation.outcome:StudyResult",
    "bench": "nastk.core.bench.bench:bench",
    "BenchResult": "nastk.core.bench.outcome:BenchResult",
    "check": "nastk.core.laws.check:check",
    "check_all": "nastk.core.laws.check:check_all",
    "runs": "nastk.core.run.runs:runs",
    "compare_runs": "nastk.core.run.runs:compare_runs",
    "verify": "nastk.core.run.verify:verify",
    "export": "nastk.core.run.export:export",
    "report": "nastk.core.report.report:report",
    "new": "nastk.core.scaffold:new",
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
