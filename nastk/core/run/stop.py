"""SIGTERM, as a cluster sends it before it kills: the batch is finished, what is there is kept, the process exits with 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nastk.core.errors import Terminated


class Stop:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise :class:`Terminated` once the process was asked to end."""
        if self.requested:
            raise Terminated("Terminated")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM as a request while the block runs; in a thread, where no signal arrives, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.requested = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
