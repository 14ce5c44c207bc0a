"""G9: the share of a search step in which the device does nothing, as torch's profiler sees its kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpu.search import epoch_of
from gpu.section import Row, Setup, Step, reason, sample
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

STEPS = 5


def measure(setup: Setup) -> Iterator[Row]:
    """Eager and captured steps."""
    for variant, batch, capture in (("exact", 64, False), ("exact", 64, True), ("merged", 256, True)):
        batch = setup.pick(batch, 4)
        row = Row(
            "G9" if capture else "", f"idle, batch {batch}, float32", f"nastk {variant}, {'captured' if capture else 'eager'}"
        )
        row.unit = "%"
        try:
            _, step = epoch_of(setup, batch, variant, "float32", capture)
            for _ in range(setup.pick(8, 1)):
                sample(setup, step, 1)
            row.ratio = idle_share(setup, step)
            row.value = 100 * row.ratio
            row.remark = "" if setup.cuda else "of the host's own operations"
        except Exception as error:
            row.remark = reason(error)
        yield row
        if setup.toy:
            return


def idle_share(setup: Setup, step: Step) -> float:
    """One less the time in which a kernel runs, over the time from the first to the last of them."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * setup.cuda
    with profile(activities=activities) as found:
        sample(setup, step, setup.pick(STEPS, 1))
    kind = DeviceType.CUDA if setup.cuda else DeviceType.CPU
    spans = [(e.time_range.start, e.time_range.end) for e in found.events() if e.device_type == kind]
    return 1 - covered(spans) / (max(end for _, end in spans) - min(start for start, _ in spans))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, reach = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return total
