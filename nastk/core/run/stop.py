"""When a process has to end before its run: SIGTERM, as a cluster sends it before it kills, or the end of its slice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nastk.core.errors import NastkError, Paused, Terminated
from nastk.core.run.parallel import anyone


class Stopped(BaseException):
    """The process has to end: no exception of a trial, which those who run trials catch."""

    def __init__(self, error: NastkError) -> None:
        super().__init__(str(error))
        self.error = error


class Stop:
    """Whether the process was asked to end: the batch is finished then, what is there is kept, and the process ends."""

    def __init__(self, minutes: float | None = None) -> None:
        self.minutes = minutes
        self._deadline: float | None = None
        self._signalled = False
        self._agreed = False

    @property
    def requested(self) -> bool:
        """Whether it is time to keep what is there, for one of the processes that share the run. Each has to ask alike."""
        if not self._agreed:
            late = self._deadline is not None and time.monotonic() >= self._deadline
            self._agreed = anyone(self._signalled or late)
        return self._agreed

    def check(self) -> None:
        """Raise :class:`Stopped` when it is time to end."""
        if self.requested and self.minutes is not None and not self._signalled:
            raise Stopped(Paused(f"Paused after {self.minutes:g} minutes (slice_minutes)"))
        if self.requested:
            raise Stopped(Terminated("Terminated"))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Begin the slice, and take SIGTERM as a request while the block runs (in the main thread: others hear no signal)."""
        if self.minutes is not None:
            self._deadline = time.monotonic() + 60 * self.minutes
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._signalled = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
