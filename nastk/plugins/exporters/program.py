"""A network as a program of torch's own operations, for any number of samples."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nastk.core.errors import OutputError
from nastk.core.model.network import Network
from nastk.core.run.exporter import Trained

INPUT, OUTPUT = "samples", "logits"


class Plain(nn.Module):
    """Samples ``(T, B, C, H, W)`` to logits ``(T, B, K)``, without the arguments that training has."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor) -> Tensor:
        return self.network(samples)


def reason(error: BaseException) -> str:
    """What went wrong first, in one line: torch's exporters wrap it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def program_of(trained: Trained) -> torch.export.ExportedProgram:
    """The network in evaluation mode as ``torch.export`` records it: T and sizes fixed, the batch free.

    Compiled kernels are not part of it: under tracing nastk computes by operations of torch. Raises :class:`OutputError`.
    """
    plain = Plain(copy.deepcopy(trained.network)).eval().requires_grad_(False)
    T, *picture = trained.sample
    samples = torch.zeros(T, 2, *picture)
    free = {INPUT: {1: torch.export.Dim("batch")}}
    try:
        with torch.no_grad():
            program = torch.export.export(plain, (samples,), dynamic_shapes=free, strict=False)
    except Exception as error:  # of torch, or whatever a plug-in's code does with a tensor without numbers
        raise OutputError(f"The network cannot be recorded by torch.export: {reason(error)}") from error
    for node in program.graph.nodes:  # where the code lies on this machine is nobody's business
        node.meta.pop("stack_trace", None)
    return program
