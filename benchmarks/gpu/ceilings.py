"""G1: what the device can do at most: copying, multiplying matrices, starting kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from gpu.section import Row, Setup, seconds, timed, wait

EXPECTED = {"copy": 4.3e12, "bfloat16": 790e12}


def copy_rate(setup: Setup) -> float:
    """Bytes a second that a copy moves, read and written."""
    x = torch.empty(setup.pick(2**28, 2**18), device=setup.device)
    y = torch.empty_like(x)
    return 2 * x.numel() * x.element_size() / seconds(setup, lambda: y.copy_(x), 0.5)


def measure(setup: Setup) -> Iterator[Row]:
    """A row a ceiling."""
    rate = copy_rate(setup)
    yield Row("G1", "copy", "torch", rate / 1e9, "GB/s", rate / EXPECTED["copy"])
    size = setup.pick(8192, 128)
    for name, dtype, tf32 in (
        ("bfloat16", torch.bfloat16, False),
        ("TF32", torch.float32, True),
        ("float32", torch.float32, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(size, size, device=setup.device, dtype=dtype) for _ in range(2))
        row = timed(
            setup,
            Row("G1" if name in EXPECTED else "", f"matrix product, {size}", name, unit="TFLOP/s"),
            lambda a=a, b=b: lambda: a @ b,
        )
        if row.value:
            rate = 2 * size**3 / (row.value / 1e3)
            row.value, row.ratio = rate / 1e12, rate / EXPECTED[name] if name in EXPECTED else None
        yield row
    torch.backends.cuda.matmul.allow_tf32 = False
    few, many = torch.ones(8, device=setup.device), setup.pick(2000, 20)

    def starts() -> None:
        for _ in range(many):
            few.add_(1.0)

    row = timed(setup, Row("", "starting a kernel, eager", "torch", unit="us"), lambda: starts, 0.5)
    row.value = None if row.value is None else 1e3 * row.value / many
    yield row
    if setup.cuda:
        yield replayed(setup, starts, many)


def replayed(setup: Setup, starts: Callable[[], None], many: int) -> Row:
    """The same kernels as one graph."""
    graph = torch.cuda.CUDAGraph()
    wait(setup)
    with torch.cuda.graph(graph):
        starts()
    row = timed(setup, Row("", "starting a kernel, in a graph", "torch", unit="us"), lambda: graph.replay, 0.5)
    row.value = None if row.value is None else 1e3 * row.value / many
    return row
