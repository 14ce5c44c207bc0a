"""Every way to fail that is not a bug: one sentence for the user, exit code 2, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class NastkError(Exception):
    """Says what was wrong, with which value, where it came from, and what to do."""

    exit_code = 2


class UnknownName(NastkError):
    """A name that no installed plug-in has."""


class BrokenPlugin(NastkError):
    """A plug-in that was named but cannot be used: import error, duplicate name, not a plug-in."""


class ConfigError(NastkError):
    """One or more faults in a configuration, each with its path."""

    def __init__(self, faults: Sequence[str], source: str) -> None:
        self.faults = tuple(faults)
        self.source = source
        lines = "; ".join(self.faults) if len(self.faults) == 1 else "\n  - " + "\n  - ".join(self.faults)
        super().__init__(f"Configuration refused ({source}): {lines}")


class NotInSpace(NastkError):
    """A genotype that the named search space cannot return."""


class SchemaError(NastkError):
    """A file that is not what its name promises, or of another schema version."""


class DataError(NastkError):
    """A data set that is missing, damaged or too small for what is asked of it."""


class OutputError(NastkError):
    """A run directory that cannot be written or read."""


class DeviceError(NastkError):
    """A device that is not there."""


class ShapeError(NastkError):
    """A setting that does not fit the shape it meets (a temporal reduction above T, say)."""


class Diverged(NastkError):
    """A loss or a gradient became NaN or infinite, or a gradient exploded, in the batch ``step`` (from 0) of an epoch."""

    def __init__(self, text: str, step: int = 0) -> None:
        super().__init__(text)
        self.step = step

    def adding(self, text: str) -> Diverged:
        """The same, with one more sentence."""
        return type(self)(f"{self} {text}", self.step)


class TrialsFailed(NastkError):
    """So many trials failed that to go on would be to no purpose."""


class Interrupted(NastkError):
    """The user pressed Ctrl-C; says how to go on."""

    exit_code = 130


class Paused(NastkError):
    """The slice of time that the process was given is over; says how to go on."""

    exit_code = 75


class Terminated(NastkError):
    """The process got SIGTERM; says how to go on."""

    exit_code = 143


def near(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the nearest known names, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(m) for m in matches)}?" if matches else ""
