"""A training step as one CUDA graph: hundreds of small kernels are started by one call, without Python between them.

What a step must keep to, so that it can be recorded once and replayed, is what a test checks on the CPU:

- it reads no value back from the device, and moves nothing to or from it;
- what lasts from step to step (weights, optimizer state, norm statistics, counts) is changed in place, and stays where it is;
- what differs from step to step comes in as its inputs. Dropout and drop-path are the exception: they draw from the
  device's own generator, which a graph knows how to go on with.

Numbers of Python are frozen in the record (learning rate, drop-path probability, temperature): a record lasts an epoch.
This follows the notes of PyTorch on CUDA graphs. It has not been run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor

Answer = tuple[Tensor, Tensor, Tensor]
Step = Callable[..., Answer]
"""Tensors of the device to (detached loss, number correct, norm of the gradient before clipping)."""

WARM_UPS = 3
"""Steps before the record: optimizers make their state in the first, libraries choose their kernels."""


class Recorder(Protocol):
    """Runs a call beside the usual stream, records one, and replays it."""

    def warm_up(self, call: Callable[[], Answer]) -> Answer:
        """What the call gives; it is run as it is."""

    def record(self, call: Callable[[], Answer]) -> Answer:
        """The tensors that every replay fills; the call itself need not be run."""

    def replay(self) -> None:
        """Run what was recorded."""


class Graph:
    """A CUDA graph with memory of its own. Warm-up and record share one stream, so that no gradient waits for another."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's
        self.graph = torch.cuda.CUDAGraph()

    def warm_up(self, call: Callable[[], Answer]) -> Answer:
        """Run it on the side stream."""
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            found = call()
        here.wait_stream(self.stream)
        return found

    def record(self, call: Callable[[], Answer]) -> Answer:
        """Record it; nothing is computed."""
        with torch.cuda.graph(self.graph, stream=self.stream):
            return call()

    def replay(self) -> None:
        """Run the graph on the usual stream."""
        self.graph.replay()


class Captured:
    """A step that is recorded after :data:`WARM_UPS` calls and replayed from then on; without a recorder it is just called.

    The warm-up calls are steps like all others. Inputs of another shape than those of the first call (an odd last batch) are
    handed to the step itself, at any time. The answers are copies: the next call leaves them as they are.
    """

    def __init__(self, step: Step, recorder: Recorder | None) -> None:
        self.step, self.recorder = step, recorder
        self._form: list[tuple[torch.Size, torch.dtype]] = []
        self._warm = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> Answer:
        form = [(x.shape, x.dtype) for x in inputs]
        self._form = self._form or form
        if self.recorder is None or form != self._form:
            return self.step(*inputs)
        if self._warm < WARM_UPS:
            self._warm += 1
            return self.recorder.warm_up(lambda: self.step(*inputs))
        if self._inputs:
            for own, given in zip(self._inputs, inputs, strict=True):
                own.copy_(given, non_blocking=True)
        else:
            own_inputs = self._inputs = tuple(x.clone() for x in inputs)
            self._outputs = self.recorder.record(lambda: self.step(*own_inputs))
        self.recorder.replay()
        return cast(Answer, tuple(answer.clone() for answer in self._outputs))


def recorder(wanted: bool, device: torch.device) -> Recorder | None:
    """How steps on this device are recorded, where they can be and somebody wants it: on CUDA."""
    return Graph() if wanted and device.type == "cuda" else None
