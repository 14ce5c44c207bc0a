"""Names that every floor shares. Torch-free.

Shapes are written with one letter an axis, time first:
``T`` time steps, ``B`` batch, ``C`` channels, ``H``, ``W`` height and width, ``K`` classes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

Scalar = str | int | float
Pairs = tuple[tuple[str, Scalar], ...]


class Kind(StrEnum):
    """What a plug-in can be."""

    NEURON = "neuron"
    SURROGATE = "surrogate"
    ATTENTION = "attention"
    OPERATION = "operation"
    SPACE = "space"
    STRATEGY = "strategy"
    DATASET = "dataset"
    TASK = "task"
    ESTIMATOR = "estimator"
    EXECUTOR = "executor"
    REPORTER = "reporter"
    EXPORTER = "exporter"
    BENCHMARK = "benchmark"


class Axis(StrEnum):
    """An axis that an attention may mix. The batch is not among them."""

    T = "T"
    C = "C"
    HW = "HW"


class Face(StrEnum):
    """Which face of a node an operation reads: the sum of arrivals, or the neuron's answer to it."""

    VALUE = "value"
    ACTIVATION = "activation"


class Split(StrEnum):
    """Four disjoint parts of a data set. The first three come from the training data."""

    WEIGHTS = "weights"
    ALPHA = "alpha"
    VALID = "valid"
    TEST = "test"


class Shape(NamedTuple):
    """Shape of one sample's activation: time steps, channels, height, width."""

    T: int
    C: int
    H: int
    W: int
