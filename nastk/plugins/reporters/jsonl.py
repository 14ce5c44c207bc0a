"""Keeps the events of a run in ``metrics.jsonl``, one JSON object a line."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

from nastk.core import mark
from nastk.core.errors import OutputError
from nastk.core.events import Event, Notice, Reporter, StageDone, StageStarted, StepDone
from nastk.core.run.metrics import FILE, line
from nastk.plugins.reporters.figures import plain


@mark.reporter("jsonl")
class Jsonl(Reporter):
    """Appends every stage, step and notice to metrics.jsonl, one JSON object a line.

    ``time`` is in seconds since the epoch, ``crc32`` a checksum of the rest of the line. The file is opened at the first
    event that is stored, and every line is
    handed to the system at once, so a killed run loses nothing that it said. A step that is done again after a resume
    stands twice: the later one counts. Raises :class:`OutputError` when a line cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / FILE
        self._file: io.FileIO | None = None

    def hear(self, event: Event) -> None:
        """Store the event if it is one to keep."""
        entry = stored(event)
        if entry is None:
            return
        written = line({**plain(entry), "time": round(time.time(), 3)})
        try:
            if self._file is None:
                self._file = _open(self.path)
            _write(self._file, written)
        except OSError as error:
            self.close()  # the next event opens anew, and so ends the line that was torn here
            raise OutputError(
                f"Cannot write {self.path} ({error.strerror or error}): free some space, or name a directory that can be written."
            ) from error

    def close(self) -> None:
        """Close the file; a later event would open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def stored(event: Event) -> dict[str, Any] | None:
    """What is kept of an event, without its time; ``None`` for events that are not kept."""
    match event:
        case StageStarted(stage, total, unit, done):
            return {"event": "stage_started", "stage": stage, "total": total, "unit": unit, "done": done}
        case StepDone(stage, step, figures):
            return {"event": "step", "stage": stage, "step": step, "figures": figures}
        case StageDone(stage, seconds):
            return {"event": "stage_done", "stage": stage, "seconds": seconds}
        case Notice(text):
            return {"event": "notice", "text": text}
    return None


def _open(path: Path) -> io.FileIO:
    """Open for appending, without a buffer; a last line without its end gets one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.FileIO(path, "a+")
    try:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                _write(file, b"\n")
    except OSError:
        file.close()
        raise
    return file


def _write(file: io.FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) or 0 :]
