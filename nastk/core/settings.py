"""The tables of a run file: what a run is, as one tree of frozen classes. Torch-free until a default is looked up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from nastk.core.config import (
    AttentionPart,
    BenchmarkPart,
    DatasetPart,
    ExecutorPart,
    NeuronPart,
    Options,
    ReporterPart,
    SpacePart,
    StrategyPart,
    TaskPart,
    default_part,
)

Location = Literal["after_every", "end", "both", "candidate", "searched"]
Coding = Literal["direct", "poisson", "latency", "delta"]
Norm = Literal["bn", "tdbn", "tebn", "bntt"]


def _each(validator: Callable[[Any, Any, int], Any]) -> Callable[[Any, Any, Any], None]:
    def check(instance: Any, attribute: Any, value: Options[int]) -> None:
        for option in value.values:
            validator(instance, attribute, option)

    return check


def _device(_instance: object, _attribute: object, value: str) -> None:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"expected auto, cpu, mps, cuda or cuda:N, got {value!r}")


def _fixed(value: Any) -> Options[Any]:
    return value if isinstance(value, Options) else Options((value,))


@frozen(kw_only=True)
class ModelConfig:
    """The network that is wanted at the end. Each entry is fixed, or searched when written ``{ choices = [...] }``."""

    neuron: Options[NeuronPart] = field(
        factory=lambda: _fixed(NeuronPart.named("plif")), converter=_fixed, metadata={"help": "neuron of every layer"}
    )
    attention: Options[AttentionPart] = field(
        factory=lambda: _fixed(AttentionPart.named("none")), converter=_fixed, metadata={"help": "attention module"}
    )
    attention_location: Options[Location] = field(
        default="after_every",
        converter=_fixed,
        metadata={
            "help": "after every mixed edge, at the end of a cell, both, as one more candidate operation, or chosen edge by edge"
        },
    )
    input_attention: Options[AttentionPart] = field(
        factory=lambda: _fixed(AttentionPart.named("none")),
        converter=_fixed,
        metadata={"help": "attention module on the encoder's current, in front of its neuron"},
    )
    time_steps: Options[int] = field(default=2, converter=_fixed, validator=_each(ge(1)), metadata={"help": "T"})
    channels: Options[int] = field(default=16, converter=_fixed, validator=_each(ge(1)), metadata={"help": "initial channels C"})
    cells: Options[int] = field(default=3, converter=_fixed, validator=_each(ge(1)), metadata={"help": "cells in the network"})
    encoder: Options[Coding] = field(
        default="direct",
        converter=_fixed,
        metadata={"help": "how samples enter: as they are at every step, or as spikes by rate, by time, by change"},
    )
    batch_norm: Options[Norm] = field(
        default="bn",
        converter=_fixed,
        metadata={"help": "batch norm: plain, scaled to the threshold, with a scale a time step, or one a time step"},
    )


@frozen(kw_only=True)
class ProxyConfig:
    """The smaller network that the search trains; what is 0 is as in ``[model]``."""

    channels: int = field(default=8, validator=ge(0), metadata={"help": "initial channels; 0: as model"})
    cells: int = field(default=3, validator=ge(0), metadata={"help": "cells; 0: as model"})


@frozen(kw_only=True)
class TrainConfig:
    """Training a discrete network from scratch: SGD with momentum and a cosine schedule (DARTS, Liu et al. 2019)."""

    epochs: int = field(default=10, validator=ge(1), metadata={"help": "passes over the training data"})
    batch: int = field(default=32, validator=ge(2), metadata={"help": "samples a step"})
    lr: float = field(default=0.1, validator=gt(0), metadata={"help": "first learning rate"})
    lr_min: float = field(default=0.0, validator=ge(0), metadata={"help": "last learning rate"})
    warmup: int = field(default=0, validator=ge(0), metadata={"help": "epochs of linear warm-up of the learning rate"})
    momentum: float = field(default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum"})
    nesterov: bool = field(default=False, metadata={"help": "Nesterov momentum"})
    weight_decay: float = field(default=3e-4, validator=ge(0), metadata={"help": "L2 penalty"})
    clip: float = field(default=5.0, validator=gt(0), metadata={"help": "largest gradient norm"})
    label_smoothing: float = field(default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "label smoothing"})
    auxiliary: float = field(default=0.0, validator=ge(0), metadata={"help": "weight of an auxiliary head at 2/3 of the depth"})
    drop_path: float = field(
        default=0.0, validator=and_(ge(0), lt(1)), metadata={"help": "drop-path probability at the last epoch"}
    )
    data: Literal["all", "hold-out"] = field(
        default="all", metadata={"help": "all training samples, or all but the validation part"}
    )


@frozen(kw_only=True)
class SplitConfig:
    """Shares of the training data for weights and architecture; the rest is the validation part."""

    weights: float = field(default=0.4, validator=and_(gt(0), lt(1)), metadata={"help": "share that trains weights"})
    alpha: float = field(default=0.4, validator=and_(gt(0), lt(1)), metadata={"help": "share that trains the architecture"})

    def __attrs_post_init__(self) -> None:
        if self.weights + self.alpha >= 1:
            raise ValueError(f"weights + alpha must leave a validation part, got {self.weights} + {self.alpha}")


@frozen(kw_only=True)
class BudgetConfig:
    """When the search stops, whatever comes first; unset: the strategy's own end."""

    steps: int | None = field(default=None, validator=optional(ge(1)), metadata={"help": "steps of the strategy"})
    evaluations: int | None = field(default=None, validator=optional(ge(1)), metadata={"help": "trained candidates"})
    minutes: float | None = field(default=None, validator=optional(gt(0)), metadata={"help": "wall time of the search"})
    device_hours: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"help": "hours that trials take, summed; simulated ones in a table"}
    )
    failed: float = field(
        default=0.5,
        validator=and_(gt(0), le(1)),
        metadata={"help": "share of failed trials, once there are ten of them, above which the search gives up; 1: never"},
    )


@frozen(kw_only=True)
class DivergenceConfig:
    """What counts as divergence of a search or a training beside NaN and infinity, and what is done then."""

    retries: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "how often a stage that diverges goes on from its last good checkpoint at a lower rate; 0: it ends"},
    )
    factor: float = field(
        default=0.5, validator=and_(gt(0), lt(1)), metadata={"help": "of the learning rates, once more for each retry"}
    )
    explosion: float = field(
        default=1e10,
        validator=gt(1),
        metadata={"help": "norm of a gradient, before clipping, over the median (1 at least) of the steps before it"},
    )


@frozen(kw_only=True)
class RunConfig:
    """A whole run. ``nastk run`` takes it as TOML; every entry has a default."""

    strategy: StrategyPart = field(default=default_part(StrategyPart, "ma-darts"), metadata={"help": "search strategy"})
    space: SpacePart = field(default=default_part(SpacePart, "spiking-cells"), metadata={"help": "search space"})
    dataset: DatasetPart = field(default=default_part(DatasetPart, "digits"), metadata={"help": "data set"})
    task: TaskPart = field(default=default_part(TaskPart, "classification"), metadata={"help": "what is learned from it"})
    executor: ExecutorPart = field(default=default_part(ExecutorPart, "inline"), metadata={"help": "who runs trials"})
    reporters: tuple[ReporterPart, ...] = field(
        default=(), metadata={"help": "who hears of the run, beside the record (jsonl) and the live display (console)"}
    )
    benchmark: BenchmarkPart | None = field(
        default=None, metadata={"help": "a table of trained candidates to search in, instead of training on data"}
    )
    model: ModelConfig = field(factory=ModelConfig, metadata={"help": "the network wanted at the end"})
    proxy: ProxyConfig = field(factory=ProxyConfig, metadata={"help": "the smaller network of the search"})
    train: TrainConfig = field(factory=TrainConfig, metadata={"help": "training the found network from scratch"})
    split: SplitConfig = field(factory=SplitConfig, metadata={"help": "shares of the training data"})
    checkpoint_minutes: float = field(
        default=5.0, validator=gt(0), metadata={"help": "most minutes between two checkpoints, within a step or an epoch too"}
    )
    slice_minutes: float | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata={"help": "minutes after which the process keeps everything and ends, to be resumed; exit code 75"},
    )
    budget: BudgetConfig = field(factory=BudgetConfig, metadata={"help": "when the search stops"})
    divergence: DivergenceConfig = field(
        factory=DivergenceConfig, metadata={"help": "NaN, infinite and exploding gradients: what counts, and what is done"}
    )
    prefer: tuple[str, ...] = field(
        default=(), metadata={"help": "packages whose plug-ins win, in this order, where several offer one name"}
    )
    precision: Literal["float32", "bfloat16", "auto"] = field(
        default="float32", metadata={"help": "of training passes (autocast); auto: bfloat16 where a short probe says it pays"}
    )
    recompute: bool = field(
        default=False, metadata={"help": "compute each cell anew in the backward pass: less memory, more time"}
    )
    seed: int = field(default=0, validator=ge(0), metadata={"help": "the one seed of the run"})
    device: str = field(default="auto", validator=_device, metadata={"help": "where to compute: auto, cpu, mps, cuda or cuda:N"})
    capture: bool = field(
        default=False,
        metadata={"help": "on CUDA, record a step of search and training as a graph and replay it (not run on a GPU yet)"},
    )

    def __attrs_post_init__(self) -> None:
        if self.capture and self.recompute:
            raise ValueError("recompute and capture exclude each other: what is computed anew cannot be recorded; leave one out")
