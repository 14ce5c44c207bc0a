"""Latency of a network on this machine, by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import ClassVar

import torch
from attrs import field, frozen
from attrs.validators import ge

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.model.estimator import Estimator, Measurement
from nastk.core.model.network import Network
from nastk.core.seeds import generator, seeded
from nastk.core.types import Shape


@frozen(kw_only=True)
class LatencyConfig:
    """Settings of ``latency``."""

    runs: int = field(default=20, validator=ge(1), metadata={"help": "timed forward passes; the median is taken"})
    warmup: int = field(default=3, validator=ge(0), metadata={"help": "forward passes before those"})
    batch: int = field(default=1, validator=ge(1), metadata={"help": "samples in a forward pass"})
    threads: int = field(default=1, validator=ge(1), metadata={"help": "threads of torch within an operation"})


@mark.estimator("latency", config=LatencyConfig)
class Latency(Estimator):
    """Time of a forward pass on this machine's CPU, in ms: the median of several, by the clock.

    The network is the whole one of the genotype, in evaluation mode without gradients, on noise. The number of torch's
    threads is set for the measurement and put back. Two measurements differ, and what else the machine does is in them:
    compare numbers of one machine at rest.
    """

    unit = "ms"
    breaks: ClassVar = {"same_answer_twice": "it is measured by a clock, and two measurements differ"}

    def __init__(self, config: LatencyConfig) -> None:
        self.config = config

    def estimate(self, genotype: Genotype, sample: Shape, classes: int) -> Measurement:
        with seeded(0, "latency", genotype.digest):
            network = Network(genotype, sample, classes).eval()
        T, *rest = sample
        x_TBCHW = torch.randn(T, self.config.batch, *rest, generator=generator(0, "latency"))
        with _threads(self.config.threads), torch.inference_mode():
            for _ in range(self.config.warmup):
                network(x_TBCHW)
            times = [_timed(network, x_TBCHW) for _ in range(self.config.runs)]
        return Measurement(1000 * median(times), self.unit)


def _timed(network: Network, x_TBCHW: torch.Tensor) -> float:
    start = time.perf_counter()
    network(x_TBCHW)
    return time.perf_counter() - start


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
