"""What every section has: where it runs, how it times, and the rows it gives."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
Step = Callable[[], object]


@dataclass(frozen=True)
class Setup:
    """The device, and whether sizes are those that a CPU does in seconds."""

    device: str = "cuda"
    toy: bool = False

    def pick(self, full: T, toy: T) -> T:
        """The value for this size."""
        return toy if self.toy else full

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")


@dataclass
class Row:
    """One figure. ``ratio`` is what the bar is about (see ``bars.py``); a row without a figure says why in ``remark``."""

    bar: str
    case: str
    side: str
    value: float | None = None
    unit: str = "ms"
    ratio: float | None = None
    peak_mb: float | None = None
    remark: str = ""

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class FailedCheck(Exception):
    """A side is not the same function as the others: it is not timed."""


def require(holds: bool, what: str) -> None:
    """Raises :class:`FailedCheck`."""
    if not holds:
        raise FailedCheck(what)


def wait(setup: Setup) -> None:
    """Until the device has done all it was told."""
    if setup.cuda:
        import torch

        torch.cuda.synchronize()


def seconds(setup: Setup, step: Step, budget: float = 1.5) -> float:
    """Seconds of a step: the median of five samples or more, each long enough for the clock; the first calls warm up."""
    samples: list[float] = []
    times, end = 1, time.perf_counter() + setup.pick(budget, 0.0)
    for _ in range(setup.pick(3, 1)):
        once = sample(setup, step, 1)
    times = max(1, min(1000, round(setup.pick(0.02, 0.0) / once)))
    while len(samples) < setup.pick(5, 2) or (time.perf_counter() < end and len(samples) < 50):
        samples.append(sample(setup, step, times))
    return median(samples)


def sample(setup: Setup, step: Step, times: int) -> float:
    """Seconds a step over so many."""
    wait(setup)
    start = time.perf_counter()
    for _ in range(times):
        step()
    wait(setup)
    return (time.perf_counter() - start) / times


def timed(setup: Setup, row: Row, make: Callable[[], Step], budget: float = 1.5) -> Row:
    """Build a side, check it (``make`` raises :class:`FailedCheck`), time it in ms; whatever goes wrong is the remark."""
    import torch

    free(setup)
    try:
        row.value = 1e3 * seconds(setup, make(), budget)
        if setup.cuda:
            row.peak_mb = torch.cuda.max_memory_allocated() / 2**20
    except torch.OutOfMemoryError:
        row.remark = "needs more memory than the device has"
    except Exception as error:
        row.remark = reason(error)
    free(setup)
    return row


def reason(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())[:200]
    if isinstance(error, FailedCheck):
        return f"failed check: {text}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def free(setup: Setup) -> None:
    """Give back what the last side held, and count peaks anew."""
    gc.collect()
    if setup.cuda:
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def over(mine: Row, other: Row) -> float | None:
    """How many times as long another row takes."""
    return other.value / mine.value if mine.value and other.value else None


def close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Require two tensors to differ by less than so much of the largest number."""
    found, expected = found.detach().double(), expected.detach().double()
    gap = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    require(gap < tolerance, f"{what} differ by {gap:.2g} of the largest")


Section = Callable[[Setup], Iterator[Row]]
