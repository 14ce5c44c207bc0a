"""A run as a run of MLflow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nastk.core import mark
from nastk.core.events import Event, Notice, Reporter, RunDone, RunStarted, StepDone
from nastk.core.extras import needed
from nastk.plugins.reporters.figures import plain
from nastk.plugins.reporters.scalars import scalars

NAMED = "mlflow.json"
"""Which run of MLflow a run directory is: a resumed run goes on in it."""
DATABASE = "mlflow.db"
AT_ONCE = 1000
"""Numbers that a server takes in one request."""
LONGEST = 500
"""Characters of a tag."""


@frozen(kw_only=True)
class MlflowConfig:
    """Settings of ``mlflow``."""

    uri: str = field(
        default="",
        metadata={"help": "tracking server or store; empty: MLFLOW_TRACKING_URI, else mlflow.db in the run's directory"},
    )
    experiment: str = field(default="nastk", metadata={"help": "experiment that the run belongs to; made where it is missing"})


@mark.reporter("mlflow", config=MlflowConfig)
class Mlflow(Reporter):
    """The numbers of every step and of the result as a run of MLflow.

    They are named by stage and path (``train/loss``, ``search/nos/cells/2``, ``result/test/accuracy``); configuration and
    notices become tags. A resumed run goes on in its run of MLflow, whose name is kept in ``mlflow.json``. Raises
    :class:`BrokenPlugin` without the package (``pip install "nastk[mlflow]"``).
    """

    def __init__(self, directory: Path, config: MlflowConfig) -> None:
        self.directory, self.config = Path(directory), config
        self._mlflow = needed("mlflow", "mlflow", "The reporter 'mlflow'")
        self._client: Any = None
        self._run = ""
        self._notices = 0
        self._over = False

    def hear(self, event: Event) -> None:
        """Send configuration, numbers and notices; other events are passed over."""
        match event:
            case RunStarted(_, config, _):
                self._begin()
                for name, value in _flat(plain(config), ""):
                    self._client.set_tag(self._run, f"config.{name}"[:250], str(value)[:LONGEST])
            case StepDone(stage, step, figures):
                self._begin()
                now = round(1000 * time.time())
                metric = self._mlflow.entities.Metric
                found = [metric(path, value, now, step) for path, value in scalars(figures, stage)]
                for start in range(0, len(found), AT_ONCE):
                    self._client.log_batch(self._run, metrics=found[start : start + AT_ONCE])
            case Notice(text):
                self._begin()
                self._notices += 1
                self._client.set_tag(self._run, f"notice.{self._notices}", text[:LONGEST])
            case RunDone(_, result):
                self._begin()
                now = round(1000 * time.time())
                for path, value in scalars(result, "result"):
                    self._client.log_metric(self._run, path, value, now)
                self._client.set_terminated(self._run, "FINISHED")
                self._over = True

    def close(self) -> None:
        """Say that the run was stopped, if it had not ended; a later event goes on in it."""
        client, self._client = self._client, None
        if client is not None and not self._over:
            client.set_terminated(self._run, "KILLED")

    def _begin(self) -> None:
        """The client, and this directory's run of MLflow: the one that is named there, or a new one."""
        if self._client is not None:
            return
        self._client = self._mlflow.MlflowClient(tracking_uri=self._place())
        file = self.directory / NAMED
        if file.is_file():
            self._run = str(json.loads(file.read_text(encoding="utf-8"))["run"])
            self._client.update_run(self._run, "RUNNING")
            return
        known = self._client.get_experiment_by_name(self.config.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self.config.experiment)
        self._run = self._client.create_run(experiment, run_name=self.directory.resolve().name).info.run_id
        file.write_text(json.dumps({"run": self._run}) + "\n", encoding="utf-8")

    def _place(self) -> str:
        return self.config.uri or os.environ.get("MLFLOW_TRACKING_URI", "") or f"sqlite:///{self.directory.resolve() / DATABASE}"


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, tree
