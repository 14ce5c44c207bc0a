"""Curves of a run in TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nastk.core import mark
from nastk.core.events import Event, Notice, Reporter, RunDone, RunStarted, StepDone
from nastk.core.extras import needed
from nastk.plugins.reporters.figures import plain
from nastk.plugins.reporters.scalars import scalars

FOLDER = "tensorboard"


@mark.reporter("tensorboard")
class TensorBoard(Reporter):
    """Every number of every step as a curve, for TensorBoard: ``tensorboard --logdir RUN``.

    Event files lie in the run's folder ``tensorboard``. Numbers are named by stage and path (``train/loss``,
    ``search/nos/cells/2``); configuration, notices and the result are texts. A step that is done again after a resume is
    drawn anew. Raises :class:`BrokenPlugin` without the package (``pip install "nastk[tensorboard]"``).
    """

    def __init__(self, directory: Path) -> None:
        needed("tensorboard", "tensorboard", "The reporter 'tensorboard'")
        self.folder = Path(directory) / FOLDER
        self._writer: Any = None
        self._notices = 0

    def hear(self, event: Event) -> None:
        """Write numbers and texts; other events are passed over."""
        match event:
            case RunStarted(_, config, _):
                self._text("config", plain(config))
            case StepDone(stage, step, figures):
                for path, value in scalars(figures, stage):
                    self.writer.add_scalar(path, value, step)
                self.writer.flush()
            case Notice(text):
                self._notices += 1
                self.writer.add_text("notices", text, self._notices)
            case RunDone(_, result):
                self._text("result", plain(result))

    def close(self) -> None:
        """Close the file; a later event opens another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @property
    def writer(self) -> Any:
        """torch's writer, opened at the first event."""
        if self._writer is None:
            module = needed("torch.utils.tensorboard", "tensorboard", "The reporter 'tensorboard'")
            self._writer = module.SummaryWriter(self.folder)
        return self._writer

    def _text(self, name: str, document: Any) -> None:
        lines = json.dumps(document, indent=2).splitlines()
        self.writer.add_text(name, "\n".join(f"    {line}" for line in lines))  # indented, so that it is shown as it is
        self.writer.flush()
